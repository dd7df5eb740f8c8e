package tests

import (
	"bytes"
	"encoding/hex"
	"encoding/xml"
	"io"
	"iter"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// dissected is a node of what tshark makes of a packet: a protocol, a field or a
// line of text with fields below it.
type dissected struct {
	Name     string      `xml:"name,attr"`
	Show     string      `xml:"show,attr"`
	Showname string      `xml:"showname,attr"`
	Pos      int         `xml:"pos,attr"`
	Size     int         `xml:"size,attr"`
	Value    string      `xml:"value,attr"`         // in hex
	Unmasked string      `xml:"unmaskedvalue,attr"` // of a bit field: the bytes it lies in
	Hide     string      `xml:"hide,attr"`
	Fields   []dissected `xml:",any"`
}

// raw returns the bytes that a field was read from.
func (d *dissected) raw() []byte {
	text := d.Value
	if d.Unmasked != "" {
		text = d.Unmasked
	}
	b, _ := hex.DecodeString(text)
	return b
}

// walk calls fn for every node below d, in order, until it says not to go down.
func (d *dissected) walk(fn func(*dissected) bool) {
	for i := range d.Fields {
		if f := &d.Fields[i]; fn(f) {
			f.walk(fn)
		}
	}
}

// find returns the first node below d with one of the names, or nil.
func (d *dissected) find(names ...string) (found *dissected) {
	d.walk(func(f *dissected) bool {
		for _, name := range names {
			if found == nil && f.Name == name {
				found = f
			}
		}
		return found == nil
	})
	return found
}

// dissect lets one tshark read datagrams to port 2055 as protocol, its cflow or sflow,
// and yields a tree for each of them, a group at a time: the trees of many datagrams
// are large. Each group is one exporter with an address of its own, so that its
// templates are its own.
func dissect(t testing.TB, protocol string, groups ...[][]byte) iter.Seq2[int, []dissected] {
	t.Helper()
	tshark := peer(t, "tshark")
	var packets []timedPacket
	for i, datagrams := range groups {
		for _, d := range datagrams {
			packets = append(packets, timedPacket{time.Now(), udpPacket(t, byte(i), d)})
		}
	}
	file := filepath.Join(t.TempDir(), "flows.pcap")
	writePcap(t, file, packets)
	return func(yield func(int, []dissected) bool) {
		cmd := exec.Command(tshark, "-n", "-r", file, "-d", "udp.port==2055,"+protocol, "-T", "pdml", "-o",
			"ip.check_checksum:TRUE")
		var complaint bytes.Buffer
		cmd.Stderr = &complaint
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatalf("tshark: %v", err)
		}
		defer func() {
			_ = out.Close() // where the reader has stopped, tshark does, too
			_ = cmd.Wait()
		}()
		packets := xml.NewDecoder(out)
		for i, datagrams := range groups {
			trees := make([]dissected, len(datagrams))
			for n := range trees {
				if err := nextPacket(packets, &trees[n]); err != nil {
					t.Fatalf("group %d, datagram %d: what tshark writes: %v\n%s", i, n, err,
						tail(complaint.String(), 2000))
				}
			}
			if !yield(i, trees) {
				return
			}
		}
		if err := nextPacket(packets, new(dissected)); err != io.EOF {
			t.Fatalf("tshark reads more packets than were given to it: %v", err)
		}
	}
}

// nextPacket reads the next packet of a document of tshark. At its end that is io.EOF.
func nextPacket(doc *xml.Decoder, into *dissected) error {
	for {
		token, err := doc.Token()
		if err != nil {
			return err
		}
		if start, ok := token.(xml.StartElement); ok && start.Name.Local == "packet" {
			return doc.DecodeElement(into, &start)
		}
	}
}

// dissectOne is dissect for one exporter.
func dissectOne(t testing.TB, protocol string, datagrams [][]byte) (trees []dissected) {
	t.Helper()
	for _, all := range dissect(t, protocol, datagrams) {
		trees = all
	}
	return trees
}

// complaints returns what tshark's experts say of a packet, with the severity as it
// prints it, but for what is only a remark on TCP's course ("chat" and "note").
func complaints(packet *dissected) (list []string) {
	packet.walk(func(f *dissected) bool {
		if f.Name == "_ws.malformed" {
			list = append(list, "malformed: "+f.Showname)
		}
		if f.Name == "_ws.expert" && !strings.Contains(f.Showname, "(Chat/") &&
			!strings.Contains(f.Showname, "(Note/") {
			list = append(list, f.Showname)
		}
		return true
	})
	return list
}

// dissectedFlows returns the records of NetFlow and IPFIX in the order of the
// datagram: flows, and what options say.
func dissectedFlows(packet *dissected) (flows []*dissected) {
	packet.walk(func(f *dissected) bool {
		if f.Name == "" && (strings.HasPrefix(f.Show, "Flow ") || strings.HasPrefix(f.Show, "pdu ")) {
			flows = append(flows, f)
			return false
		}
		return true
	})
	return flows
}

// leaves returns the fields of a record that were read from its bytes, in the order of
// these: one for each place, a word of flags once.
func (d *dissected) leaves() (list []*dissected) {
	end := map[int]int{} // of what has been taken, by its begin
	d.walk(func(f *dissected) bool {
		switch _, taken := end[f.Pos]; {
		case f.Name == "cflow.timedelta", f.Name == "": // two times, or a line of text: their fields count
			return true
		case f.Size == 0 || f.Hide == "yes" || taken:
			return false
		}
		end[f.Pos] = f.Pos + f.Size
		list = append(list, f)
		return false
	})
	slices.SortStableFunc(list, func(a, b *dissected) int { return a.Pos - b.Pos })
	return list
}
