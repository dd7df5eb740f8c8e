package tests

import (
	"bytes"
	"fmt"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/flowmetric"
	"github.com/flowgraf/flowgraf/plugins/ie"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
)

const tableExported = flow.Time(1767323044e9)

// written are the fields that a metric has, but under other names, always, or by the
// exporter's own elements.
var written = map[flow.Field]string{
	flow.EventTime: "", flow.SamplingRate: "sampling_rate", flow.PortBlock: "",
}

// homeless are the fields that an nfdump file has no place for.
var homeless = flow.SetOf(flow.TunSrcPort, flow.TunDstPort, flow.SamplingRate, flow.SamplerID, flow.IngressAttr,
	flow.EgressAttr,
	flow.OutBytes, flow.OutPackets, flow.EngineType, flow.EngineID,
	flow.IPVersion) // which the addresses tell

// TestTableOfFields walks over the elements of the table of fields: each encodes, decodes,
// becomes a field of a metric, and goes into a file and comes back where that has a place
// for it.
func TestTableOfFields(t *testing.T) {
	b, err := flowmetric.NewBuilder(flowmetric.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range flow.AllUses() {
		name := fmt.Sprintf("%s by %d/%d", u.Field, u.PEN, u.ID)
		rec, length := fieldRecord(&u)
		tmpl := tableTemplate(t, &u, length)
		e := ipfix.Encoder{SetWriter: ipfix.SetWriter{Boot: tableExported - 3600e9}}
		e.Begin(nil, tableExported)
		if e.AddData(tmpl, []flow.Record{rec}) != 1 {
			t.Fatalf("%s is not encoded", name)
		}
		_, body, err := ipfix.ParseHeader(e.End())
		if err != nil {
			t.Fatal(err)
		}
		up := ipfix.Uptime{}
		up.SetBoot(tableExported - 3600e9)
		d := ipfix.RecordDecoder{Uptime: &up,
			Base: flow.Record{Version: flow.IPFIX, Exported: tableExported, Received: tableExported}}
		var got flow.Record
		if _, err := d.Decode(tmpl, &got, body[4:]); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !sameField(&got, &rec, &u) || !got.Has(u.Field) {
			t.Errorf("%s: decoded %v, want %v (present %t)", name, shown(&got, &u), shown(&rec, &u), got.Has(u.Field))
		}
		metricName, other := written[u.Field]
		if !other {
			metricName = u.Field.Name()
		}
		if m := b.Flow(&got, time.Unix(0, 1)); metricName != "" && !m.HasField(metricName) {
			t.Errorf("%s: no field %s in %v", name, metricName, m.Fields())
		}
		back := throughFile(t, &got)
		if !homeless.Has(u.Field) && !sameField(back, &got, &u) {
			t.Errorf("%s: the file has %v, want %v", name, shown(back, &u), shown(&got, &u))
		}
	}
}

// tableTemplate returns the template of one element, of a tenant with the addresses that
// make it one.
func tableTemplate(t *testing.T, u *flow.Use, length uint16) *ipfix.Template {
	t.Helper()
	fields := []ipfix.FieldSpec{{PEN: u.PEN, ID: u.ID, Length: length}}
	if u.Form == flow.FormInner && u.Field != flow.Src {
		fields = append(fields, ipfix.FieldSpec{PEN: ie.VMwarePEN, ID: ie.VMwareTenantSourceIPv4, Length: 4})
	}
	compile := ipfix.NewTemplate
	if u.Form == flow.FormV9 {
		compile = ipfix.NewV9Template
	}
	tmpl, err := compile(256, fields)
	if err != nil {
		t.Fatal(err)
	}
	return tmpl
}

// fieldRecord returns a record with a value for an element, and the length of that.
func fieldRecord(u *flow.Use) (r flow.Record, length uint16) {
	r.First, r.Last, r.EventTime = tableExported-20e9, tableExported-20e9, tableExported-20e9
	if u.Form == flow.FormInner {
		r.Src, r.TunSrc = netip.AddrFrom4([4]byte{192, 0, 2, 1}), netip.AddrFrom4([4]byte{192, 0, 2, 9})
	}
	d := u.Field.Describe()
	switch length = uint16(d.Size); {
	case d.Kind == flow.KindAddress:
		e, known := ie.Lookup(u.PEN, u.ID)
		if a := netip.AddrFrom4([4]byte{198, 51, 100, 7}); !known || e.Type == ie.IPv4Address {
			r.SetAddr(u.Field, a)
			return r, 4
		}
		r.SetAddr(u.Field, netip.MustParseAddr("2001:db8::7"))
		return r, 16
	case d.Kind == flow.KindText || d.Kind == flow.KindOctets || d.Kind == flow.KindMAC:
		length = max(length, 6)
		r.SetOctets(u.Field, bytes.Repeat([]byte{'a'}, int(length)))
	case d.Kind == flow.KindTimestamp:
		if u.Form == flow.FormSeconds || u.Form == flow.FormBefore || u.Form == flow.FormUptime {
			length = 4
		}
	case u.Form == flow.FormHigh:
		r.SetNumber(u.Field, 8<<8)
		length = 1
	case u.Form == flow.FormLow:
		r.SetNumber(u.Field, 3)
		length = 1
	case u.Form == flow.FormItem:
		r.SetItem(u.Field, u.Index, 0x31)
		r.MPLSDepth = 10
	default:
		r.SetNumber(u.Field, 3)
		r.OutBytes, r.OutPackets = r.OutBytes|r.Bytes, r.OutPackets|r.Packets // 23 and 24 may be either
	}
	return r, length
}

// shown returns the value that an element tells.
func shown(r *flow.Record, u *flow.Use) any {
	switch d := u.Field.Describe(); {
	case d.Kind == flow.KindAddress:
		return r.Addr(u.Field)
	case d.Kind == flow.KindText || d.Kind == flow.KindOctets:
		return string(r.Octets(u.Field))
	case u.Form == flow.FormItem:
		return r.Item(u.Field, u.Index)
	}
	return r.Number(u.Field)
}

// sameField says whether two records have the same value of an element.
func sameField(a, b *flow.Record, u *flow.Use) bool { return shown(a, u) == shown(b, u) }

// throughFile writes a record into a file and returns what comes back.
func throughFile(t *testing.T, r *flow.Record) *flow.Record {
	t.Helper()
	path := filepath.Join(t.TempDir(), "nfcapd")
	w, err := nffile.Create(path, nffile.Options{Extended: true})
	if err != nil {
		t.Fatal(err)
	}
	in := *r
	if in.Has(flow.ICMP) { // the file has it as the port
		in.Proto, in.DstPort = 1, in.ICMP
	}
	if in.Has(flow.TunProto) && !in.TunSrc.IsValid() {
		in.TunSrc, in.TunDst = netip.AddrFrom4([4]byte{192, 0, 2, 1}), netip.AddrFrom4([4]byte{192, 0, 2, 2})
	}
	if in.Has(flow.EventTime) { // a file has the times of events only
		in.Present.Add(flow.NATEvent)
	}
	if err := w.Append(&in); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := nffile.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if !f.Next() {
		t.Fatalf("no flow comes back: %v", f.Err())
	}
	back := *f.Record()
	back.User, back.AppID = bytes.Clone(back.User), bytes.Clone(back.AppID)
	return &back
}
