package execd

import (
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/influxdata/line-protocol/v2/lineprotocol"
	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/metric"
	"github.com/influxdata/telegraf/plugins/parsers/influx"
)

// odd is a metric with all that is hard to write.
func odd() telegraf.Metric {
	return metric.New("a measure,ment=\n", map[string]string{
		"tag key,=": "value of it,=\t\n\f\r", "source": "192.0.2.1", "empty": "", "back": `slash\`, `x\`: "y",
	}, map[string]any{
		"u": uint64(math.MaxUint64), "i": int64(math.MinInt64), "f": -1.5e300, "whole": 3.0, "yes": true, "no": false,
		"text":  "two\nlines, \"quoted\" \\ and = more",
		"long":  strings.Repeat("x", 300_000),
		"empty": "", "a b=c,d": uint64(1), "nan": math.NaN(), "inf": math.Inf(1),
	}, time.Unix(1, 23))
}

// same says what of a metric differs from another one, once what has no form is left out.
func same(t *testing.T, got, want telegraf.Metric) {
	t.Helper()
	// Of control characters in names the protocol has no form but Telegraf's.
	control := strings.NewReplacer("\t", `\t`, "\n", `\n`, "\f", `\f`, "\r", `\r`)
	tags, fields := want.Tags(), want.Fields()
	for k, v := range tags {
		key, value := strings.TrimRight(k, `\`), control.Replace(strings.TrimRight(v, `\`))
		delete(tags, k)
		if key != "" && value != "" {
			tags[key] = value
		}
	}
	for k, v := range fields {
		if f, ok := v.(float64); ok && (math.IsNaN(f) || math.IsInf(f, 0)) {
			delete(fields, k)
		}
	}
	if got.Name() != control.Replace(want.Name()) || !got.Time().Equal(want.Time()) {
		t.Errorf("got %q at %s, want %q at %s", got.Name(), got.Time(), want.Name(), want.Time())
	}
	if !reflect.DeepEqual(got.Tags(), tags) {
		t.Errorf("got tags %q, want %q", got.Tags(), tags)
	}
	if !reflect.DeepEqual(got.Fields(), fields) {
		t.Errorf("got fields %.200v, want %.200v", got.Fields(), fields)
	}
}

// What is written is read back by three: this package, InfluxData's decoder, which it is
// built on, and the parser with which Telegraf reads what an execd writes.
func TestLineIsReadBack(t *testing.T) {
	m := odd()
	line := AppendMetric(nil, m)
	again := append(line, line...)
	r := newReader(strings.NewReader(string(again)))
	for range 2 {
		got, err := r.next()
		if err != nil {
			t.Fatal(err)
		}
		same(t, got, m)
	}
	stream := influx.NewStreamParser(strings.NewReader(string(again)))
	for range 2 {
		got, err := stream.Next()
		if err != nil {
			t.Fatalf("Telegraf's parser: %v", err)
		}
		same(t, got, m)
	}
}

// A metric of which nothing can be written leaves no trace.
func TestNothingToWrite(t *testing.T) {
	for _, m := range []telegraf.Metric{
		metric.New("m", nil, map[string]any{"x": math.NaN()}, time.Now()),
		metric.New("", nil, map[string]any{"x": 1}, time.Now()),
		metric.New("m", map[string]string{"a": "b"}, map[string]any{}, time.Now()),
	} {
		if got := AppendMetric([]byte("before\n"), m); string(got) != "before\n" {
			t.Errorf("%v is written as %q", m, got)
		}
	}
}

// flow is a metric as inputs.netflow makes it.
func flowLike() telegraf.Metric {
	fields := map[string]any{
		"src": "192.0.2.17", "dst": "198.51.100.200", "protocol": "tcp", "src_tos": "0x00", "tcp_flags": "...AP...",
		"next_hop": "203.0.113.9",
	}
	for _, name := range strings.Fields("src_port dst_port in_bytes in_packets first_switched last_switched in_snmp " +
		"out_snmp bgp_src_as bgp_dst_as src_mask dst_mask flow_start flow_end sampling_rate") {
		fields[name] = rand.Uint64N(1 << 40)
	}
	return metric.New("netflow", map[string]string{"source": "10.0.0.1", "version": "NetFlowV9"}, fields, time.Now())
}

func TestAppendDoesNotAllocate(t *testing.T) {
	m, buf := flowLike(), make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(100, func() { buf = AppendMetric(buf[:0], m) }); n != 0 {
		t.Errorf("%v allocations a metric, want none", n)
	}
}

func BenchmarkAppendMetric(b *testing.B) {
	m, buf := flowLike(), make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendMetric(buf[:0], m)
	}
}

// BenchmarkEncoder is the same with the encoder of line-protocol/v2.
func BenchmarkEncoder(b *testing.B) {
	m := flowLike()
	var e lineprotocol.Encoder
	e.SetPrecision(lineprotocol.Nanosecond)
	b.ReportAllocs()
	for b.Loop() {
		e.Reset()
		e.StartLine(m.Name())
		for _, tag := range m.TagList() {
			e.AddTag(tag.Key, tag.Value)
		}
		for _, f := range m.FieldList() {
			e.AddField(f.Key, lineprotocol.MustNewValue(f.Value))
		}
		e.EndLine(m.Time())
	}
}

func BenchmarkRead(b *testing.B) {
	line := AppendMetric(nil, flowLike())
	r := newReader(&repeating{line: line})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.next(); err != nil {
			b.Fatal(err)
		}
	}
}

// repeating reads a line again and again.
type repeating struct {
	line []byte
	at   int
}

func (r *repeating) Read(p []byte) (n int, err error) {
	for n < len(p) {
		c := copy(p[n:], r.line[r.at:])
		n, r.at = n+c, (r.at+c)%len(r.line)
	}
	return n, nil
}

func FuzzRead(f *testing.F) {
	f.Add(string(AppendMetric(nil, metric.New("a b", map[string]string{"t": "v"}, map[string]any{"x": uint64(1),
		"s": "two\nlines"}, time.Unix(1, 2)))))
	f.Add("m,a=1,a=2 x=1u,y=2i,z=\"\\\"\" 12\nbad\nm x=1\n")
	f.Add("m x=1u 9223372036854775807\r\n# comment\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		r := newReader(strings.NewReader(text))
		for range len(text) + 2 {
			m, err := r.next()
			if m == nil && err == nil {
				t.Fatal("neither a metric nor an error")
			}
			if m == nil {
				if err.Error() == "EOF" {
					return
				}
				continue
			}
			again, err := newReader(strings.NewReader(string(AppendMetric(nil, m)))).next()
			if err != nil {
				continue // of what has no form
			}
			same(t, again, m)
		}
		t.Fatal("no end")
	})
}
