package report

import (
	"bufio"
	"io"
	"math"
	"net/netip"

	"github.com/parquet-go/parquet-go"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/outputs/query"
	"github.com/flowgraf/flowgraf/plugins/flow"
)

// parquetGroup is how many flows stand in a row group, and parquetBatch how many are
// handed over at once.
const (
	parquetGroup = 1 << 17
	parquetBatch = 256
)

// parquetColumn is one column of the schema, which PARQUET.md documents. Names do not
// change; new columns are added at the end.
type parquetColumn struct {
	name     string
	node     parquet.Node
	optional bool
	value    func(p *parquetFile, f row) parquet.Value // the null value where there is none
}

// parquetColumns is the schema.
var parquetColumns = []parquetColumn{
	required("flow_start", parquet.Timestamp(parquet.Millisecond),
		func(_ *parquetFile, f row) parquet.Value { return parquetTime(f.First) }),
	required("flow_end", parquet.Timestamp(parquet.Millisecond),
		func(_ *parquetFile, f row) parquet.Value { return parquetTime(f.Last) }),
	optional("received", parquet.Timestamp(parquet.Millisecond), func(_ *parquetFile, f row) parquet.Value {
		if f.Received == 0 {
			return parquet.NullValue()
		}
		return parquetTime(f.Received)
	}),
	optional("ident", dictionary, func(p *parquetFile, f row) parquet.Value { return p.text([]byte(f.Ident)) }),
	optional("source", dictionary, func(p *parquetFile, f row) parquet.Value { return p.addr(f.Exporter) }),
	optional("version", dictionary, func(p *parquetFile, f row) parquet.Value {
		if f.Version == 0 {
			return parquet.NullValue()
		}
		return p.text([]byte(f.Version.String()))
	}),
	optional("domain", parquet.Uint(32), func(_ *parquetFile, f row) parquet.Value {
		if f.Domain == 0 {
			return parquet.NullValue()
		}
		return parquet.Int32Value(int32(f.Domain))
	}),
	addrColumn(flow.Src), addrColumn(flow.Dst),
	numberColumn(flow.SrcPort, 16), numberColumn(flow.DstPort, 16), numberColumn(flow.Proto, 8),
	numberColumn(flow.TCPFlags, 16), numberColumn(flow.SrcTOS, 8), numberColumn(flow.DstTOS, 8),
	required("in_packets", parquet.Uint(64), func(_ *parquetFile, f row) parquet.Value { return parquetUint(f.Packets) }),
	required("in_bytes", parquet.Uint(64), func(_ *parquetFile, f row) parquet.Value { return parquetUint(f.Bytes) }),
	required("rev_packets", parquet.Uint(64),
		func(_ *parquetFile, f row) parquet.Value { return parquetUint(f.RevPackets) }),
	required("rev_bytes", parquet.Uint(64), func(_ *parquetFile, f row) parquet.Value { return parquetUint(f.RevBytes) }),
	required("flows", parquet.Uint(64), func(_ *parquetFile, f row) parquet.Value { return parquetUint(f.flows()) }),
	required("sampled", parquet.Leaf(parquet.BooleanType),
		func(_ *parquetFile, f row) parquet.Value { return parquet.BooleanValue(f.Extra.Sampled) }),
	numberColumn(flow.Input, 32), numberColumn(flow.Output, 32), numberColumn(flow.SrcMask, 8),
	numberColumn(flow.DstMask, 8), numberColumn(flow.SrcAS, 32), numberColumn(flow.DstAS, 32),
	numberColumn(flow.NextAS, 32), numberColumn(flow.PrevAS, 32), addrColumn(flow.NextHop),
	addrColumn(flow.BGPNextHop), numberColumn(flow.Direction, 8), numberColumn(flow.FwdStatus, 8),
	numberColumn(flow.EndReason, 8), numberColumn(flow.BiflowDir, 8), numberColumn(flow.MinTTL, 8),
	numberColumn(flow.MaxTTL, 8), numberColumn(flow.FragFlags, 8), numberColumn(flow.FlowID, 64),
	numberColumn(flow.IngressVRF, 32), numberColumn(flow.EgressVRF, 32), numberColumn(flow.SrcVLAN, 16),
	numberColumn(flow.DstVLAN, 16), macColumn(flow.InSrcMAC), macColumn(flow.OutDstMAC), macColumn(flow.InDstMAC),
	macColumn(flow.OutSrcMAC),
	optional("mpls_labels", dictionary, func(p *parquetFile, f row) parquet.Value { return p.labels(f) }),
	optional("event_time", parquet.Timestamp(parquet.Millisecond), func(_ *parquetFile, f row) parquet.Value {
		if !f.Has(flow.EventTime) || f.EventTime == 0 {
			return parquet.NullValue()
		}
		return parquetTime(f.EventTime)
	}),
	numberColumn(flow.FwEvent, 8), numberColumn(flow.FwXEvent, 16), numberColumn(flow.NATEvent, 8),
	numberColumn(flow.NATPool, 32), addrColumn(flow.XlateSrc), addrColumn(flow.XlateDst),
	numberColumn(flow.XlateSPort, 16), numberColumn(flow.XlateDPort, 16),
	optional("in_acl_id", dictionary, func(p *parquetFile, f row) parquet.Value { return p.acl(f, flow.IngressACL) }),
	optional("out_acl_id", dictionary, func(p *parquetFile, f row) parquet.Value { return p.acl(f, flow.EgressACL) }),
	optional("username", dictionary, func(p *parquetFile, f row) parquet.Value { return p.text(f.User) }),
	blockColumn("port_range_start", 0), blockColumn("port_range_end", 1), blockColumn("port_range_step", 2),
	blockColumn("port_range_size", 3),
	optional("app_id", dictionary, func(p *parquetFile, f row) parquet.Value { return p.app(f) }),
	addrColumn(flow.TunSrc), addrColumn(flow.TunDst), numberColumn(flow.TunProto, 8),
	numberColumn(flow.ObservationPoint, 64), numberColumn(flow.SegmentID, 64),
	delayColumn("client_latency_us", 0), delayColumn("server_latency_us", 1), delayColumn("app_latency_us", 2),
	extraText("label", nffile.HasLabel, func(x *nffile.Extra) []byte { return x.Label }),
	countryColumn("src_country", flow.Src), countryColumn("dst_country", flow.Dst),
	numberColumn(flow.EngineType, 8), numberColumn(flow.EngineID, 8),
	optional("exporter_sysid", parquet.Uint(32), func(_ *parquetFile, f row) parquet.Value {
		if f.SysID == 0 {
			return parquet.NullValue()
		}
		return parquet.Int32Value(int32(f.SysID))
	}),
	optional("app_name", dictionary, func(p *parquetFile, f row) parquet.Value {
		if len(f.AppID) == 0 {
			return parquet.NullValue()
		}
		return p.text([]byte(p.names.app(f)))
	}),
	nameColumn("in_interface", nffile.InterfaceName, flow.Input),
	nameColumn("out_interface", nffile.InterfaceName, flow.Output),
	nameColumn("in_vrf_name", nffile.VRFName, flow.IngressVRF), nameColumn("out_vrf_name", nffile.VRFName, flow.EgressVRF),
	optional("ethertype", parquet.Uint(16), func(_ *parquetFile, f row) parquet.Value {
		if f.Extra.Has&nffile.HasLayer2 == 0 || f.Extra.Layer2.EtherType == 0 {
			return parquet.NullValue()
		}
		return parquet.Int32Value(int32(f.Extra.Layer2.EtherType))
	}),
	payloadColumn("payload", nffile.HasPayload, func(x *nffile.Extra) []byte { return x.InPayload }),
	payloadColumn("out_payload", nffile.HasOutPayload, func(x *nffile.Extra) []byte { return x.OutPayload }),
	extraText("pf_interface", nffile.HasPF, func(x *nffile.Extra) []byte { return x.PF.Interface }),
	extraColumn("pf_action", 8, nffile.HasPF, func(x *nffile.Extra) uint32 { return uint32(x.PF.Action) }),
	extraColumn("pf_reason", 8, nffile.HasPF, func(x *nffile.Extra) uint32 { return uint32(x.PF.Reason) }),
	extraColumn("pf_direction", 8, nffile.HasPF, func(x *nffile.Extra) uint32 { return uint32(x.PF.Direction) }),
	extraColumn("pf_rewritten", 8, nffile.HasPF, func(x *nffile.Extra) uint32 { return uint32(x.PF.Rewritten) }),
	extraColumn("pf_rule", 32, nffile.HasPF, func(x *nffile.Extra) uint32 { return x.PF.Rule }),
	extraColumn("pf_subrule", 32, nffile.HasPF, func(x *nffile.Extra) uint32 { return x.PF.Subrule }),
	extraColumn("pf_uid", 32, nffile.HasPF, func(x *nffile.Extra) uint32 { return x.PF.UID }),
	extraColumn("pf_pid", 32, nffile.HasPF, func(x *nffile.Extra) uint32 { return x.PF.PID }),
	extraColumn("in_service_id", 16, nffile.HasNokia, func(x *nffile.Extra) uint32 { return uint32(x.NokiaIn) }),
	extraColumn("out_service_id", 16, nffile.HasNokia, func(x *nffile.Extra) uint32 { return uint32(x.NokiaOut) }),
	extraText("nat_string", nffile.HasNokiaText, func(x *nffile.Extra) []byte { return x.NokiaText }),
}

// payloadColumn is a column of first bytes of a flow, null where a file has none.
func payloadColumn(name string, has uint64, of func(*nffile.Extra) []byte) parquetColumn {
	return optional(name, parquet.Leaf(parquet.ByteArrayType), func(p *parquetFile, f row) parquet.Value {
		payload := of(f.Extra)
		if f.Extra.Has&has == 0 || len(payload) == 0 {
			return parquet.NullValue()
		}
		n := len(p.bytes)
		p.bytes = append(p.bytes, payload...)
		return p.since(n)
	})
}

// extraText is a column of a text that only files have, null where they have none.
func extraText(name string, has uint64, of func(*nffile.Extra) []byte) parquetColumn {
	return optional(name, dictionary, func(p *parquetFile, f row) parquet.Value {
		if f.Extra.Has&has == 0 {
			return parquet.NullValue()
		}
		return p.text(of(f.Extra))
	})
}

// extraColumn is a column of a number of so many bits that only files have, null where the
// element that it is in is not there.
func extraColumn(name string, bits int, has uint64, of func(*nffile.Extra) uint32) parquetColumn {
	return optional(name, parquet.Uint(bits), func(_ *parquetFile, f row) parquet.Value {
		if f.Extra.Has&has == 0 {
			return parquet.NullValue()
		}
		return parquet.Int32Value(int32(of(f.Extra)))
	})
}

// nameColumn is a column of what a file calls a number.
func nameColumn(name string, kind nffile.NameKind, field flow.Field) parquetColumn {
	return optional(name, dictionary, func(p *parquetFile, f row) parquet.Value {
		if !f.Has(field) {
			return parquet.NullValue()
		}
		return p.text([]byte(p.names.of(f, kind, uint32(f.Record.Number(field)))))
	})
}

// countryColumn is a column of the country of an address.
func countryColumn(name string, field flow.Field) parquetColumn {
	return optional(name, dictionary, func(p *parquetFile, f row) parquet.Value {
		return p.text([]byte(p.opt.CountryOf(f.Flow, field)))
	})
}

// dictionary is a text that many flows have.
var dictionary = parquet.Encoded(parquet.String(), &parquet.RLEDictionary)

func required(name string, node parquet.Node, value func(*parquetFile, row) parquet.Value) parquetColumn {
	return parquetColumn{name, node, false, value}
}

func optional(name string, node parquet.Node, value func(*parquetFile, row) parquet.Value) parquetColumn {
	return parquetColumn{name, parquet.Optional(node), true, value}
}

// numberColumn is a column of a field that is a number of so many bits, null where the
// flow lacks it.
func numberColumn(field flow.Field, bits int) parquetColumn {
	return optional(field.Describe().Name, parquet.Uint(bits), func(_ *parquetFile, f row) parquet.Value {
		if !f.Has(field) {
			return parquet.NullValue()
		}
		if v := f.Record.Number(field); bits == 64 {
			return parquetUint(v)
		} else {
			return parquet.Int32Value(int32(uint32(v)))
		}
	})
}

// addrColumn is a column of a field that is an address, as text.
func addrColumn(field flow.Field) parquetColumn {
	return optional(field.Describe().Name, parquet.String(), func(p *parquetFile, f row) parquet.Value {
		if !f.Has(field) {
			return parquet.NullValue()
		}
		return p.addr(f.Addr(field))
	})
}

// macColumn is a column of a field that is a hardware address, as text.
func macColumn(field flow.Field) parquetColumn {
	return optional(field.Describe().Name, dictionary, func(p *parquetFile, f row) parquet.Value {
		if !f.Has(field) {
			return parquet.NullValue()
		}
		n := len(p.bytes)
		p.bytes = appendMAC(p.bytes, [6]byte(f.Octets(field)))
		return p.since(n)
	})
}

// blockColumn is a column of one number of a block of ports.
func blockColumn(name string, i int) parquetColumn {
	return optional(name, parquet.Uint(16), func(_ *parquetFile, f row) parquet.Value {
		if !f.Has(flow.PortBlock) {
			return parquet.NullValue()
		}
		return parquet.Int32Value(int32(f.PortBlock[i]))
	})
}

// delayColumn is a column of one delay, in microseconds.
func delayColumn(name string, i int) parquetColumn {
	return optional(name, parquet.Uint(64), func(_ *parquetFile, f row) parquet.Value {
		if f.Extra.Has&nffile.HasDelays == 0 {
			return parquet.NullValue()
		}
		return parquetUint(f.latencies()[i])
	})
}

func parquetTime(t flow.Time) parquet.Value {
	return parquet.Int64Value(int64(min(t.Milli(), math.MaxInt64)))
}

// parquetUint is a number of 64 bits without a sign, which is stored as one with a sign.
func parquetUint(v uint64) parquet.Value { return parquet.Int64Value(int64(v)) }

// parquetFile prints flows as an Apache Parquet file: see PARQUET.md.
type parquetFile struct {
	w     *parquet.GenericWriter[any]
	out   *bufio.Writer
	rows  []parquet.Row
	n     int    // rows in use
	bytes []byte // of the texts in them
	opt   Options
	names names
}

func openParquet(w io.Writer, opt Options) (Printer, error) {
	out := bufio.NewWriterSize(w, 1<<20)
	p := &parquetFile{out: out, rows: make([]parquet.Row, parquetBatch), opt: opt}
	p.w = parquet.NewGenericWriter[any](out, parquetSchema(), parquet.Compression(&parquet.Zstd),
		parquet.DataPageVersion(1), parquet.MaxRowsPerRowGroup(parquetGroup), parquet.CreatedBy("flowgraf", "1", ""))
	for i := range p.rows {
		p.rows[i] = make(parquet.Row, len(parquetColumns))
	}
	return p, nil
}

// ordered is a group whose fields are in the order of the schema.
type ordered struct{ parquet.Group }

// Fields returns the fields.
func (o ordered) Fields() []parquet.Field {
	byName := map[string]parquet.Field{}
	for _, f := range o.Group.Fields() {
		byName[f.Name()] = f
	}
	fields := make([]parquet.Field, len(parquetColumns))
	for i, c := range parquetColumns {
		fields[i] = byName[c.name]
	}
	return fields
}

// parquetSchema returns the schema.
func parquetSchema() *parquet.Schema {
	group := parquet.Group{}
	for _, c := range parquetColumns {
		group[c.name] = c.node
	}
	return parquet.NewSchema("flow", ordered{group})
}

// Begin prints nothing.
func (p *parquetFile) Begin() error { return nil }

// Flow prints a flow.
func (p *parquetFile) Flow(q *query.Flow) error {
	values, f := p.rows[p.n], row{q}
	for i := range parquetColumns {
		c := &parquetColumns[i]
		v := c.value(p, f)
		level := 0
		if c.optional && !v.IsNull() {
			level = 1
		}
		values[i] = v.Level(0, level, i)
	}
	if p.n++; p.n == len(p.rows) {
		return p.flush()
	}
	return nil
}

// flush hands the rows over.
func (p *parquetFile) flush() error {
	_, err := p.w.WriteRows(p.rows[:p.n])
	p.n, p.bytes = 0, p.bytes[:0]
	return err
}

// End ends the file.
func (p *parquetFile) End(*query.Totals, Usage) error {
	if err := p.flush(); err != nil {
		return err
	}
	if err := p.w.Close(); err != nil {
		return err
	}
	return p.out.Flush()
}

// since returns what has been appended since there were n bytes.
func (p *parquetFile) since(n int) parquet.Value {
	return parquet.ByteArrayValue(p.bytes[n:len(p.bytes):len(p.bytes)])
}

// text returns a text of an exporter, null when it is empty. Parquet's are UTF-8.
func (p *parquetFile) text(s []byte) parquet.Value {
	if len(s) == 0 {
		return parquet.NullValue()
	}
	n := len(p.bytes)
	p.bytes = appendUTF8(p.bytes, s)
	return p.since(n)
}

// addr returns an address as text, null where there is none.
func (p *parquetFile) addr(a netip.Addr) parquet.Value {
	if !a.IsValid() {
		return parquet.NullValue()
	}
	n := len(p.bytes)
	p.bytes = appendPlainAddr(p.bytes, a)
	return p.since(n)
}

// labels returns the MPLS labels, as nfdump writes them, a slash between two.
func (p *parquetFile) labels(f row) parquet.Value {
	if !f.Has(flow.MPLS) || f.MPLSDepth == 0 {
		return parquet.NullValue()
	}
	n := len(p.bytes)
	for i, v := range f.MPLS[:f.MPLSDepth] {
		if i > 0 {
			p.bytes = append(p.bytes, '/')
		}
		p.bytes = appendLabel(p.bytes, v, 0)
	}
	return p.since(n)
}

// acl returns the numbers of an access list, as nfdump writes them.
func (p *parquetFile) acl(f row, field flow.Field) parquet.Value {
	if !f.Has(field) {
		return parquet.NullValue()
	}
	n := len(p.bytes)
	p.bytes = appendACL(p.bytes, [12]byte(f.Octets(field)), Best)
	return p.since(n)
}

// app returns the id of an application: engine, two dots, selector.
func (p *parquetFile) app(f row) parquet.Value {
	if len(f.AppID) == 0 {
		return parquet.NullValue()
	}
	n := len(p.bytes)
	p.bytes = appendAppID(p.bytes, f.AppID)
	if p.bytes[n] == ' ' {
		n++
	}
	return p.since(n)
}
