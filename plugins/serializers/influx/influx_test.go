package influx

import (
	"bytes"
	"io"
	"log"
	"math"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/metric"
	"github.com/influxdata/telegraf/plugins/serializers"
	"github.com/influxdata/telegraf/plugins/serializers/influx"
)

// options are those that a configuration can have, all of them in turn.
func options(yield func(influx.Serializer) bool) {
	for i := range 16 {
		s := influx.Serializer{UintSupport: i&1 != 0, OmitTimestamp: i&2 != 0, SortFields: i&4 != 0}
		if i&8 != 0 {
			s.MaxLineBytes = 60
		}
		if !yield(s) {
			return
		}
	}
}

// raw is a metric with fields of any type: Telegraf's own have converted them.
type raw struct {
	telegraf.Metric
	fields []*telegraf.Field
}

func (r *raw) FieldList() []*telegraf.Field { return slices.Clone(r.fields) }

// compare says whether both serializers write and say the same of metrics.
func compare(t *testing.T, list ...telegraf.Metric) {
	t.Helper()
	log.SetOutput(io.Discard) // where Telegraf's tells of each field that has no form
	defer log.SetOutput(os.Stderr)
	for o := range options {
		ours, theirs := &Serializer{Serializer: o}, o
		if ours.Init() != nil || theirs.Init() != nil {
			t.Fatal("Init fails")
		}
		for range 2 { // the second time with what the first has left
			for _, m := range list {
				got, err := ours.Serialize(m)
				want, wantErr := theirs.Serialize(m)
				if !bytes.Equal(got, want) || (err == nil) != (wantErr == nil) ||
					err != nil && err.Error() != wantErr.Error() {
					t.Errorf("%+v:\ngot  %q, %v\nwant %q, %v", o, got, err, want, wantErr)
				}
			}
			got, err := ours.SerializeBatch(list)
			want, wantErr := theirs.SerializeBatch(list)
			if !bytes.Equal(got, want) || err != nil || wantErr != nil {
				t.Errorf("%+v:\ngot  %q, %v\nwant %q, %v", o, got, err, want, wantErr)
			}
		}
	}
}

// metrics are what flows, roll-ups and other plugins' metrics are made of, and what they
// should not be.
func metrics() (list []telegraf.Metric) {
	at := time.Unix(1767323045, 123456789)
	for _, name := range []string{"netflow", "a b,c=d", "tab\tnew\nline\r\f", "", `back\`, "größe"} {
		for _, text := range []string{"10.0.0.1", "", `\`, `C:\`, `"quoted"`, "two words, one = sign", "a\tb\nc", "größe",
			"\xff\xfe", `\\\`} {
			m := metric.New(name, map[string]string{"source": text, text: "v", `k\`: `v\`, "version": "NetFlowV9"},
				map[string]any{}, at)
			for key, value := range map[string]any{"u": uint64(1<<63 + 5), "i": int64(-42), "f": 1e21, "s": text, "b": true,
				text + "k": math.SmallestNonzeroFloat64, "zero": uint64(0), "least": int64(math.MinInt64)} {
				m.AddField(key, value)
			}
			list = append(list, m, metric.New(name, nil, map[string]any{text: 0.5}, at))
		}
	}
	for _, value := range []any{math.NaN(), math.Inf(1), math.Inf(-1), nil, []byte("b"), int32(1)} {
		list = append(list, &raw{metric.New("m", nil, nil, at), []*telegraf.Field{{Key: "x", Value: value}}},
			&raw{metric.New("m", nil, nil, at), []*telegraf.Field{{Key: "x", Value: value}, {Key: "y", Value: int64(1)}}},
			&raw{metric.New("m", nil, nil, at), []*telegraf.Field{{Key: "y", Value: int64(1)}, {Key: "x", Value: value}}})
	}
	return append(list, metric.New("none", nil, nil, at), metric.New("early", nil, map[string]any{"x": 1},
		time.Unix(-1, 0)))
}

// TestSameAsTelegrafs: the lines, and what is said of metrics without one, are those of
// Telegraf's serializer.
func TestSameAsTelegrafs(t *testing.T) { compare(t, metrics()...) }

// TestRegistered: it is the one that configurations get, with Telegraf's options.
func TestRegistered(t *testing.T) {
	if _, ours := serializers.Serializers["influx"]().(*Serializer); !ours {
		t.Error("Telegraf's is registered")
	}
}

// FuzzSerializer compares metrics of any texts and numbers.
func FuzzSerializer(f *testing.F) {
	f.Add("netflow", "source", "10.0.0.1", "in_bytes", "tcp", uint64(1500), int64(-1), 0.5)
	f.Add("a b", `k\`, `v\`, "f,=", "\"\\\n", uint64(1<<63), int64(math.MinInt64), math.Inf(1))
	f.Fuzz(func(t *testing.T, name, tag, value, field, text string, u uint64, i int64, x float64) {
		at := time.Unix(0, i)
		m := metric.New(name, map[string]string{tag: value, "b": text}, nil, at)
		for _, add := range []struct {
			key   string
			value any
		}{{field, u}, {field + "i", i}, {"x" + field, x}, {"s" + text, text}} {
			m.AddField(add.key, add.value)
		}
		compare(t, m, metric.New(name, nil, map[string]any{field: text}, at))
	})
}

// BenchmarkSerialize measures a metric of a flow beside Telegraf's serializer.
func BenchmarkSerialize(b *testing.B) {
	m := metric.New("netflow", map[string]string{"source": "192.0.2.1", "version": "NetFlowV9"}, map[string]any{
		"flow_start": uint64(1767323035000), "flow_end": uint64(1767323043000), "src": "10.11.12.13",
		"dst": "198.51.100.17", "in_bytes": uint64(123456), "in_packets": uint64(120), "scaled_bytes": uint64(123456),
		"src_port":       uint64(51234),
		"scaled_packets": uint64(120), "dst_port": uint64(443), "protocol": "tcp", "tcp_flags": "...AP.SF",
		"src_tos": "0x00", "in_snmp": uint64(3), "out_snmp": uint64(4), "bgp_src_as": uint64(64500), "src_mask": uint64(24),
		"bgp_dst_as": uint64(64501), "dst_mask": uint64(16), "next_hop": "10.2.0.1", "direction": "ingress",
		"first_switched": uint64(991000), "last_switched": uint64(999000), "sampling_rate": uint64(1),
		"sampling_source": "unknown", "ip_version": "IPv4"}, time.Unix(1767323045, 0))
	for name, s := range map[string]telegraf.Serializer{"ours": &Serializer{}, "telegraf": &influx.Serializer{}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Serialize(m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
