package web

import (
	"context"
	"net/netip"
	"slices"
	"sync"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/plugins/flow"
)

// ExporterInfo is what the newest complete file of a source that can be read tells of an exporter.
type ExporterInfo struct {
	Source    string     `json:"source"`
	File      string     `json:"file"`  // below the archive
	Start     int64      `json:"start"` // of its slot
	Interval  int64      `json:"interval"`
	Address   netip.Addr `json:"address"`
	Version   uint32     `json:"version"` // 5, 9, 10 is IPFIX
	Domain    uint32     `json:"domain"`
	Flows     uint64     `json:"flows"`
	Datagrams uint64     `json:"datagrams"`
	Failures  uint64     `json:"failures"` // of the sequence
	Rates     []uint64   `json:"rates"`    // of sampling, 1 in so many
	Doubled   float64    `json:"doubled"`  // share of its flows that are there twice
	Inputs    []InUse    `json:"interfaces"`

	// Lag is the least time between the end of a flow and its receipt, seconds: below 0 the exporter's
	// clock is ahead. nil where the file does not tell.
	Lag       *float64       `json:"lag,omitempty"`
	Templates []TemplateInfo `json:"templates"` // where the agent's state is read

	// Silent says that neither the newest complete file nor the one before has anything of it: what
	// is told is of the newest file that has.
	Silent bool `json:"silent"`
}

// InUse is an interface, with what went through it in the file.
type InUse struct {
	Index uint32   `json:"index"`
	Name  string   `json:"name"`
	Speed uint64   `json:"speed"` // bits a second, by the inventory; 0 is not known
	In    Counters `json:"in"`
	Out   Counters `json:"out"`
}

// exporterCache keeps what the newest files tell, by their paths.
type exporterCache struct {
	mu   sync.Mutex
	kept map[string][]ExporterInfo
}

// exporters returns what the newest complete file of each source tells that can be read, at
// most of maxExporterFiles, and what is wrong with the newest. Those that have fallen silent since
// are told of too.
func (a *Archive) exporters(ctx context.Context, cache *exporterCache, sources []*Source) ([]ExporterInfo, []string) {
	cache.mu.Lock()
	defer cache.mu.Unlock()
	list, wrong := []ExporterInfo{}, []string{}
	kept := map[string][]ExporterInfo{}
	for _, s := range sources[:min(len(sources), maxExporterFiles)] {
		files, err := s.newest(silentFiles)
		if err != nil {
			wrong = append(wrong, err.Error())
		}
		read := func(f *slotFile) []ExporterInfo {
			infos, err := a.exportersOf(ctx, cache, s, f)
			if err != nil {
				wrong = append(wrong, err.Error())
			} else if ctx.Err() == nil {
				kept[f.path] = infos
			}
			return infos
		}
		begin := len(list)
		look := func(files []*slotFile, silent bool) {
			for _, f := range files {
				for _, info := range missing(read(f), list[begin:]) {
					info.Silent = silent
					list = append(list, info)
				}
			}
		}
		recent := min(2, len(files))
		look(files[:recent], false)
		older := files[recent:]
		if len(older) > 0 && len(missing(read(older[len(older)-1]), list[begin:])) == 0 {
			older = slices.DeleteFunc(older, func(f *slotFile) bool { return cache.kept[f.path] == nil })
		}
		look(older, true)
	}
	cache.kept = kept
	return list, wrong
}

// newest returns the newest complete files that can be read, the newest first, and what is wrong with
// the newest when that cannot.
func (s *Source) newest(most int) (files []*slotFile, err error) {
	tries := 0
	for i := len(s.files) - 1; i >= 0 && tries < maxTries && len(files) < most; i-- {
		switch f := &s.files[i]; {
		case f.open || f.gone:
		case f.err != nil:
			if tries++; len(files) == 0 && err == nil {
				err = f.err
			}
		default:
			files = append(files, f)
		}
	}
	return files, err
}

// missing returns the exporters that a list does not have.
func missing(infos, list []ExporterInfo) (others []ExporterInfo) {
	for _, info := range infos {
		if !slices.ContainsFunc(list, info.isSame) {
			others = append(others, info)
		}
	}
	return others
}

// isSame says whether two are one exporter's domain.
func (e *ExporterInfo) isSame(o ExporterInfo) bool {
	return e.Address == o.Address && e.Domain == o.Domain && e.Version == o.Version
}

// silentFiles is how many of the newest complete files of a source tell which exporters there are:
// an hour of them.
const silentFiles = 13

// maxExporterFiles bounds the files that are read, and maxTries those of a source that are
// tried.
const (
	maxExporterFiles = 200
	maxTries         = 1000
)

// exportersOf returns what a file tells, from the cache where it is there.
func (a *Archive) exportersOf(ctx context.Context, cache *exporterCache, s *Source, f *slotFile) ([]ExporterInfo,
	error) {
	if infos, ok := cache.kept[f.path]; ok {
		return infos, nil
	}
	infos, err := readExporters(ctx, f.path)
	for i := range infos {
		infos[i].Source, infos[i].File, infos[i].Start = s.Name, a.name(f.path), f.start
		infos[i].Interval = s.Interval
	}
	return infos, err
}

// readExporters reads what a file tells of its exporters and their interfaces.
func readExporters(ctx context.Context, path string) ([]ExporterInfo, error) {
	f, err := nffile.OpenFile(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	d := nffile.NewDecoder()
	use := map[uint32]map[uint32]*InUse{} // by exporter and index
	twice, late := twins{}, lags{}
	var b nffile.Block
	for ctx.Err() == nil {
		if err = f.ReadBlock(&b); err != nil {
			break
		}
		if b.Unpack() != nil {
			continue
		}
		for d.Next(&b) {
			countInterfaces(use, d)
			twice.addFlow(d)
			late.addFlow(d)
		}
	}
	names := d.Names()
	if len(d.Exporters()) > 1 {
		names = nil // they do not say whose they are
	}
	stats := d.ExporterStats()
	var list []ExporterInfo
	for i, e := range d.Exporters() {
		if !e.Addr.IsValid() {
			continue
		}
		info := ExporterInfo{Address: e.Addr, Version: uint32(e.Version), Domain: e.Domain, Rates: []uint64{},
			Flows: stats[i].Flows, Datagrams: stats[i].Datagrams, Failures: stats[i].Failures, Inputs: []InUse{}}
		for _, s := range d.Samplers() {
			if s.Exporter == e && !slices.Contains(info.Rates, s.Rate()) {
				info.Rates = append(info.Rates, s.Rate())
			}
		}
		info.Doubled = twice.share(uint32(i) + 1)
		info.Lag = late.of(uint32(i) + 1)
		info.Inputs = interfaces(use[uint32(i)+1], names)
		list = append(list, info)
	}
	return list, nil
}

// lags are the least milliseconds between the end of flows and their receipt, by exporter.
type lags map[uint32]int64

// addFlow looks at a flow.
func (l lags) addFlow(d *nffile.Decoder) {
	r := d.Record()
	if r.Received.Milli() == 0 || r.Last.Milli() == 0 {
		return
	}
	lag := int64(r.Received.Milli()) - int64(r.Last.Milli())
	if least, ok := l[d.SysID()]; !ok || lag < least {
		l[d.SysID()] = lag
	}
}

// of returns that of an exporter in seconds, nil where none is known.
func (l lags) of(exporter uint32) *float64 {
	least, ok := l[exporter]
	if !ok {
		return nil
	}
	seconds := float64(least) / 1000
	return &seconds
}

// maxInterfaces bounds the interfaces of one exporter.
const maxInterfaces = 1000

// countInterfaces counts a flow for its interfaces.
func countInterfaces(use map[uint32]map[uint32]*InUse, d *nffile.Decoder) {
	r := d.Record()
	if !r.Has(flow.Input) && !r.Has(flow.Output) {
		return
	}
	of := use[d.SysID()]
	if of == nil {
		of = map[uint32]*InUse{}
		use[d.SysID()] = of
	}
	c := Counters{1, r.Packets + r.RevPackets, r.Bytes + r.RevBytes}
	for i, index := range [...]uint32{r.Input, r.Output} {
		u := of[index]
		if u == nil && len(of) < maxInterfaces {
			u = &InUse{Index: index}
			of[index] = u
		}
		switch {
		case u == nil:
		case i == 0:
			u.In.addCounters(c)
		default:
			u.Out.addCounters(c)
		}
	}
}

// interfaces puts the interfaces of an exporter in order, with their names.
func interfaces(use map[uint32]*InUse, names []nffile.Name) []InUse {
	list := []InUse{}
	for _, u := range use {
		for _, n := range names {
			if n.Kind == nffile.InterfaceName && n.ID == u.Index {
				u.Name = n.Name
			}
		}
		list = append(list, *u)
	}
	slices.SortFunc(list, func(a, b InUse) int { return int(a.Index) - int(b.Index) })
	return list
}

// conversation is what flows have in common that are of the same packets.
type conversation struct {
	src, dst         netip.Addr
	srcPort, dstPort uint16
	proto            uint8
}

// twin is what was seen of a conversation: by the exporter that told of it first, as ingress
// and as egress, and by others.
type twin struct {
	exporter uint32
	in, out  bool
	others   bool
}

// twins finds flows that are there twice: told of as ingress and as egress, or by two
// exporters.
type twins map[conversation]*twin

// maxTwins bounds the conversations that are looked at.
const maxTwins = 50_000

// addFlow looks at a flow.
func (t twins) addFlow(d *nffile.Decoder) {
	r := d.Record()
	if r.Proto != 6 && r.Proto != 17 { // without ports much is alike
		return
	}
	key := conversation{r.Src, r.Dst, r.SrcPort, r.DstPort, r.Proto}
	seen := t[key]
	if seen == nil {
		if len(t) == maxTwins {
			return
		}
		seen = &twin{exporter: d.SysID()}
		t[key] = seen
	}
	switch {
	case seen.exporter != d.SysID():
		seen.others = true
	case r.Has(flow.Direction) && r.Direction == 1:
		seen.out = true
	default:
		seen.in = true
	}
}

// share returns which share of an exporter's conversations is there twice.
func (t twins) share(exporter uint32) float64 {
	all, twice := 0, 0
	for _, seen := range t {
		if seen.exporter != exporter {
			continue
		}
		if all++; seen.others || seen.in && seen.out {
			twice++
		}
	}
	if all == 0 {
		return 0
	}
	return float64(twice) / float64(all)
}
