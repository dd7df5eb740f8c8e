package report

import (
	"bytes"
	"encoding/csv"
	"math/big"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/outputs/query"
	"github.com/flowgraf/flowgraf/plugins/flow"
)

// distinct returns a flow in which no two values are alike, so that a column with the
// value of another is seen.
func distinct() *query.Flow {
	at := flow.TimeOf(time.Date(2026, 11, 22, 23, 59, 58, 7e6, time.UTC))
	r := &flow.Record{
		Version: flow.V9, EngineType: 3, EngineID: 4, Exporter: netip.MustParseAddr("192.0.2.254"),
		First: at, Last: at + 4e9, Received: at + 5e9,
		Src: netip.MustParseAddr("10.1.2.3"), Dst: netip.MustParseAddr("198.51.100.77"), SrcPort: 50001, DstPort: 8443,
		Proto: 6, TCPFlags: 0x1b, SrcTOS: 184, DstTOS: 46, FwdStatus: 64, ICMP: 3<<8 | 13,
		Packets: 12, Bytes: 6000, RevPackets: 8, RevBytes: 700, Flows: 5, Input: 101, Output: 102, SrcMask: 20,
		DstMask: 25, Direction: 1, BiflowDir: 2, EndReason: 9, FragFlags: 6, MinTTL: 57, MaxTTL: 63,
		SrcVLAN: 301, DstVLAN: 302, SrcAS: 64501, DstAS: 64502, NextAS: 64503, PrevAS: 64504,
		NextHop: netip.MustParseAddr("203.0.113.1"), BGPNextHop: netip.MustParseAddr("203.0.113.2"),
		InSrcMAC: [6]byte{2, 0, 0, 0, 0, 0x1a}, OutDstMAC: [6]byte{2, 0, 0, 0, 0, 0x2b},
		InDstMAC: [6]byte{2, 0, 0, 0, 0, 0x3c}, OutSrcMAC: [6]byte{2, 0, 0, 0, 0, 0x4d},
		XlateSrc: netip.MustParseAddr("203.0.113.11"), XlateDst: netip.MustParseAddr("203.0.113.12"), XlateSPort: 1001,
		XlateDPort: 1002, FwEvent: 2, FwXEvent: 1001, EventTime: at + 6e9,
		IngressACL: [12]byte{0, 0, 0, 0xa1, 0, 0, 0, 0xa2, 0, 0, 0, 0xa3},
		EgressACL:  [12]byte{0, 0, 1, 1, 0, 0, 1, 2, 0, 0, 1, 3}, User: []byte("alice"),
		PortBlock: [4]uint16{2000, 2511, 1, 512}, AppID: []byte{13, 0, 1, 187}, IngressVRF: 71, EgressVRF: 72,
		ObservationPoint: 0x1234, FlowID: 987654,
	}
	for i := range r.MPLS {
		r.MPLS[i] = uint32(1000+i)<<4 | uint32(i%8)<<1
	}
	r.MPLS[9] |= 1
	r.MPLSDepth = 10
	for f := range flow.Field(flow.NumFields) {
		r.Present.Add(f)
	}
	return &query.Flow{Record: r, SysID: 17, Number: 42, Ident: "edge1", Elements: 1<<64 - 1,
		Names: []nffile.Name{{Kind: nffile.InterfaceName, ID: 101, Name: "uplink"},
			{Kind: nffile.InterfaceName, ID: 102, Name: "office"}, {Kind: nffile.VRFName, ID: 71, Name: "blue"},
			{Kind: nffile.VRFName, ID: 72, Name: "red"},
			{Kind: nffile.AppName, App: "\x0d\x00\x01\xbb", Name: "https"}},
		Extra: &nffile.Extra{Has: nffile.HasDelays | nffile.HasLabel | nffile.HasPayload | nffile.HasOutPayload |
			nffile.HasPF | nffile.HasNokia | nffile.HasNokiaText, ClientDelay: 1234, ServerDelay: 5, AppDelay: 1000000,
			Label: []byte("guests"), InPayload: []byte("GET / HTTP/1.1"), OutPayload: []byte{0, 1, 'A'}, Domain: 0x99,
			PF: nffile.PF{Action: 1, Reason: 5, Direction: 1, Rule: 77, Interface: []byte("em0")}, NokiaIn: 31,
			NokiaOut: 32, NokiaText: []byte("pool-a")}}
}

// print1 prints a flow in a format.
func print1(t *testing.T, format string, opt Options, f *query.Flow) string {
	t.Helper()
	var out bytes.Buffer
	opt.Location = time.UTC
	p, err := Open(&out, format, opt)
	if err == nil {
		err = p.Begin()
	}
	if err == nil {
		err = p.Flow(f)
	}
	if err == nil {
		err = p.End(&query.Totals{Records: 1}, Usage{})
	}
	if err != nil {
		t.Fatalf("%s: %v", format, err)
	}
	return out.String()
}

// Each tag prints the value that it is named after, not a neighbour's, without nfdump on
// the machine too. Values are what a person reads in the flow above.
func TestEveryTagHasItsValue(t *testing.T) {
	want := map[string]string{
		"ts": "2026-11-22 23:59:58.007", "tfs": "2026-11-22 23:59:58.007", "tsg": "2026-11-22 23:59:58.007",
		"te": "2026-11-23 00:00:02.007", "teg": "2026-11-23 00:00:02.007", "tr": "2026-11-23 00:00:03.007",
		"trg": "2026-11-23 00:00:03.007", "tsr": "1795391998.007", "ter": "1795392002.007", "trr": "1795392003.007",
		"td": "00:00:04.000", "tds": "4.000", "pr": "TCP",
		"sa": "10.1.2.3", "da": "198.51.100.77", "sap": "10.1.2.3:50001", "dap": "198.51.100.77:8443",
		"gsa": "10.1.2.3(..)", "gda": "198.51.100.77(..)", "gsap": "10.1.2.3(..):50001",
		"gdap": "198.51.100.77(..):8443", "sn": "10.1.0.0/20", "dn": "198.51.100.0/25", "sp": "50001", "dp": "8443",
		"it": "3", "ic": "13", "nh": "203.0.113.1", "nhb": "203.0.113.2", "ra": "192.0.2.254", "gra": "192.0.2.254(..)",
		"sas": "64501", "das": "64502", "nas": "64503", "pas": "64504", "in": "101", "out": "102", "inam": "uplink",
		"onam": "office", "smk": "20", "dmk": "25", "svln": "301", "dvln": "302",
		"ismc": "02:00:00:00:00:1a", "odmc": "02:00:00:00:00:2b", "idmc": "02:00:00:00:00:3c",
		"osmc":  "02:00:00:00:00:4d",
		"mpls1": "1000-0-0", "mpls2": "1001-1-0", "mpls3": "1002-2-0", "mpls4": "1003-3-0", "mpls5": "1004-4-0",
		"mpls6": "1005-5-0", "mpls7": "1006-6-0", "mpls8": "1007-7-0", "mpls9": "1008-0-0", "mpls10": "1009-1-1",
		"mpls": "1000-0-0 1001-1-0 1002-2-0 1003-3-0 1004-4-0 1005-5-0 1006-6-0 1007-7-0 1008-0-0 1009-1-1",
		"pkt":  "12", "ipkt": "12", "opkt": "8", "byt": "6000", "ibyt": "6000", "obyt": "700", "fl": "5",
		"flg": "...AP.SF", "tos": "184", "stos": "184", "dtos": "46", "dir": "E", "fwd": "64", "bfd": "2", "end": "9",
		"bps": "12000", "pps": "3", "bpp": "500", "ttl": "57", "minttl": "57", "maxttl": "63", "frag": "DFMF",
		"cnt": "42", "eng": "3/4", "exp": "17", "idt": "edge1", "lbl": "guests",
		"tevt": "2026-11-23 00:00:04.007", "msec": "1795392004007", "evt": "DELETE", "nevt": "DELETE", "xevt": "I-ACL",
		"iacl": "0xa1 0xa2 0xa3", "eacl": "257 258 259", "nfc": "987654",
		"xsa": "203.0.113.11", "xda": "203.0.113.12", "xsp": "1001", "xdp": "1002", "xsap": "203.0.113.11:1001",
		"xdap": "203.0.113.12:1002", "nsa": "203.0.113.11", "nda": "203.0.113.12", "nsp": "1001", "ndp": "1002",
		"nsap": "203.0.113.11:1001", "ndap": "203.0.113.12:1002", "uname": "alice", "pbstart": "2000",
		"pbend": "2511", "pbstep": "1", "pbsize": "512", "cl": "1.234", "sl": "0.005", "al": "1000.000",
		"nbid": "13..443", "nbnam": "https", "odid": "0x000000099", "opid": "0x0000001234", "vrf": "71", "ivrf": "71",
		"ivrfnam": "blue", "evrf": "72", "evrfnam": "red", "ipl": "GET / HTTP/1.1", "pfifn": "em0", "pfact": "block",
		"pfrea": "memory", "pfdir": "in", "pfrule": "77", "isid": "31", "osid": "32", "nats": "pool-a",
	}
	f := distinct()
	for name, value := range want {
		got := strings.Join(strings.Fields(print1(t, "fmt:%"+name, Options{Quiet: true}, f)), " ")
		if got != value {
			t.Errorf("%%%s is %q, want %q", name, got, value)
		}
	}
	// Those are left out of which files know nothing, and what depends on the version.
	const without = " sc dc stz dtz sloc dloc sasn dasn stor dtor nfv sgt opl ja3 ja4 sni tls flid n "
	for i := range tags {
		if name := tags[i].name; want[name] == "" && !strings.Contains(without, " "+name+" ") {
			t.Errorf("no value of %%%s is checked", name)
		}
	}
}

// A heading stands above its column: in every format for people, header and rows are of
// one width, so that no number is read as that of another column.
func TestHeadingsStandAboveTheirColumns(t *testing.T) {
	// Of the others nfdump has headings that are narrower or wider than the values.
	const even = " ts te td tds pr sa da sp dp nh nhb sas das in out smk dmk svln dvln ismc odmc pkt byt ipkt opkt " +
		"ibyt obyt fl flg stos dtos dir bps pps fwd bfd end it ic "
	for _, f := range []*query.Flow{distinct(), {Record: &flow.Record{}, Extra: &noExtra}} {
		f := *f
		f.Names = nil
		for i := range tags {
			tag := &tags[i]
			if !strings.Contains(even, " "+tag.name+" ") {
				continue
			}
			for _, long := range []bool{false, true} {
				lines := strings.SplitN(print1(t, "fmt:%"+tag.name+"|", Options{LongIPv6: long}, &f), "\n", 3)
				if len(lines[0]) != len(lines[1]) {
					t.Errorf("%%%s: the heading %q stands above %q", tag.name, lines[0], lines[1])
				}
			}
		}
	}
}

// The columns of csv have the values that their names say, read by encoding/csv.
func TestColumnsOfCSV(t *testing.T) {
	read := func(format string, opt Options) (names, values []string) {
		rows, err := csv.NewReader(strings.NewReader(print1(t, format, opt, distinct()))).ReadAll()
		if err != nil || len(rows) < 2 {
			t.Fatalf("%s: %d rows, %v", format, len(rows), err)
		}
		return rows[0], rows[1]
	}
	names, values := read("csv", Options{})
	want := strings.Split("2026-11-22 23:59:58|2026-11-23 00:00:02|4.000|10.1.2.3|198.51.100.77|50001|8443|TCP|"+
		"...AP.SF|64|184|12|6000|8|700|101|102|64501|64502|20|25|46|1|203.0.113.1|203.0.113.2|301|302|"+
		"02:00:00:00:00:1a|"+
		"02:00:00:00:00:2b|02:00:00:00:00:3c|02:00:00:00:00:4d|1000-0-0|1001-1-0|1002-2-0|1003-3-0|1004-4-0|1005-5-0|"+
		"1006-6-0|1007-7-0|1008-0-0|1009-1-1|1.234|0.005|1000.000|192.0.2.254|3/4|17|2026-11-23 00:00:03.007", "|")
	if len(names) != 48 || len(values) != 48 {
		t.Fatalf("%d names and %d values, want 48", len(names), len(values))
	}
	for i := range want {
		if got := strings.TrimSpace(values[i]); got != want[i] {
			t.Errorf("csv: %s is %q, want %q", names[i], got, want[i])
		}
	}
	names, values = read("csv-fast", Options{})
	fast := map[string]string{"cnt": "42", "af": "2", "firstSeen": "1795391998007", "lastSeen": "1795392002007",
		"proto": "6", "srcAddr": "10.1.2.3", "srcPort": "50001", "dstAddr": "198.51.100.77", "dstPort": "8443",
		"srcAS": "64501", "dstAS": "64502", "input": "101", "output": "102", "flags": "...AP.SF", "srcTos": "184",
		"packets": "12", "bytes": "6000"}
	if len(names) != len(fast) {
		t.Errorf("csv-fast has the columns %q", names)
	}
	for i, name := range names {
		if values[i] != fast[name] {
			t.Errorf("csv-fast: %s is %q, want %q", name, values[i], fast[name])
		}
	}
	names, values = read("csv:%ts,%sa,%sp,%byt,%lbl", Options{})
	got := strings.Join(names, ",") + " " + strings.Join(values, ",")
	if got != "firstSeen,srcAddr,srcPort,bytes,label "+
		"2026-11-22 23:59:58.007,10.1.2.3,50001,6000,guests" {
		t.Errorf("csv of tags: %q", got)
	}
}

// The pipe format has addresses as four numbers of 32 bits: together they are the
// address, of both families.
func TestAddressesInThePipe(t *testing.T) {
	for text, family := range map[string]string{"10.1.2.3": "2", "255.255.255.255": "2", "2001:db8:1:2:3:4:5:6": "10",
		"ffff::": "10", "::1": "10"} {
		f := distinct()
		f.Src = netip.MustParseAddr(text)
		cells := strings.Split(strings.TrimSpace(print1(t, "pipe", Options{}, f)), "|")
		if len(cells) != 22 {
			t.Fatalf("%d values: %q", len(cells), cells)
		}
		sum := new(big.Int)
		for _, word := range cells[4:8] {
			n, ok := new(big.Int).SetString(word, 10)
			if !ok || n.BitLen() > 32 {
				t.Fatalf("%s: the word %q", text, word)
			}
			sum.Or(sum.Lsh(sum, 32), n)
		}
		if want := new(big.Int).SetBytes(f.Src.AsSlice()); sum.Cmp(want) != 0 || cells[0] != family {
			t.Errorf("%s is %d of family %s, want %d of family %s", text, sum, cells[0], want, family)
		}
		got := strings.Join(append(cells[1:4:4], cells[8:]...), "|")
		if got != "1795391998007|1795392002007|6|50001|0|0|"+
			"0|3325256781|8443|64501|64502|101|102|27|184|12|6000" {
			t.Errorf("the other values are %q", got)
		}
	}
}

// What a flow lacks is no value of somebody else: nothing panics, and nothing of the flow
// before is printed again.
func TestTagsOfAnEmptyFlow(t *testing.T) {
	var tagged []string
	for i := range tags {
		tagged = append(tagged, "%"+tags[i].name)
	}
	all := strings.Join(tagged, " ")
	for _, compat := range []Compat{Best, Nfdump171, Nfdump178} {
		var out bytes.Buffer
		p, err := NewText(&out, all, Options{Quiet: true, Location: time.UTC, Compat: compat})
		if err != nil {
			t.Fatal(err)
		}
		empty := &query.Flow{Record: &flow.Record{}, Extra: &noExtra}
		p.Flow(empty)
		p.w.Flush()
		alone := out.String()
		p.Flow(distinct())
		p.w.Flush()
		out.Reset()
		p.Flow(&query.Flow{Record: &flow.Record{}, Extra: &noExtra, File: 1})
		p.w.Flush()
		if out.String() != alone {
			t.Errorf("%s: an empty flow behind another is\n%s\nalone\n%s", compat, &out, alone)
		}
		for _, leak := range []string{"alice", "guests", "https", "uplink", "64501"} {
			if strings.Contains(alone, leak) {
				t.Errorf("%s: %q in an empty flow", compat, leak)
			}
		}
	}
}

// A payload that is text is printed, any other in the form of a dump with 16 bytes a
// line; what a terminal would act upon is a dot.
func TestPayloads(t *testing.T) {
	for _, c := range []struct {
		in   string
		want string
	}{
		{"GET /\r\n", "GET /\r\n\n"},
		{"\x00\x1b[2J", "00 1B 5B 32 4A                                    |  ..[2J \n"},
		{"0123456789abcde\x7f+", "30 31 32 33 34 35 36 37  38 39 61 62 63 64 65 7F  |  0123456789abcde. \n" +
			"2B                                                |  + \n"},
	} {
		f := &query.Flow{Record: &flow.Record{}, Extra: &nffile.Extra{Has: nffile.HasPayload, InPayload: []byte(c.in)}}
		if got := print1(t, "fmt:%ipl", Options{Quiet: true}, f); got != c.want+"\n" {
			t.Errorf("%q is\n%q, want\n%q", c.in, got, c.want+"\n")
		}
	}
	long := &query.Flow{Record: &flow.Record{}, Extra: &nffile.Extra{Has: nffile.HasPayload,
		InPayload: bytes.Repeat([]byte("x"), 5000)}}
	if got := print1(t, "fmt:%ipl", Options{Quiet: true}, long); len(got) != 256+2 {
		t.Errorf("%d bytes of a payload are printed, want 256", len(got)-2)
	}
}
