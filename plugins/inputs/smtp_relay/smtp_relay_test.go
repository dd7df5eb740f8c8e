package smtp_relay

import (
	"reflect"
	"testing"
	"time"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/selfstat"
)

// collected takes what Gather gives, the fields by the tag reason.
type collected struct {
	telegraf.Accumulator
	fields map[string]map[string]any
	names  map[string]bool
	tags   map[string]string // of the last one
}

// AddFields implements telegraf.Accumulator.
func (c *collected) AddFields(name string, fields map[string]any, tags map[string]string, _ ...time.Time) {
	c.names[name] = true
	c.tags = tags
	c.fields[tags["reason"]] = fields
}

func TestGather(t *testing.T) {
	tags := map[string]string{"output": "smtp_relay", "alias": "a"}
	refused := map[string]string{"output": "smtp_relay", "alias": "a", "reason": "domain"}
	delivered := selfstat.Register("smtp_relay", "delivered", tags)
	latency := selfstat.Register("smtp_relay", "latency_ms", tags)
	selfstat.Register("smtp_relay", "refused", refused).Incr(3)
	selfstat.Register("else", "delivered", tags)
	t.Cleanup(func() {
		selfstat.Unregister("smtp_relay", "delivered", tags)
		selfstat.Unregister("smtp_relay", "latency_ms", tags)
		selfstat.Unregister("smtp_relay", "refused", refused)
		selfstat.Unregister("else", "delivered", tags)
	})
	p := &SMTPRelay{}
	for _, step := range []struct {
		delivered, latency int64
		mean               any
	}{
		{4, 100, 25.0}, {0, 0, nil}, {2, 30, 15.0},
	} {
		delivered.Incr(step.delivered)
		latency.Incr(step.latency)
		acc := &collected{fields: map[string]map[string]any{}, names: map[string]bool{}}
		if err := p.Gather(acc); err != nil {
			t.Fatal(err)
		}
		want := map[string]map[string]any{
			"":       {"delivered": delivered.Get(), "latency_ms": latency.Get()},
			"domain": {"refused": int64(3)},
		}
		if step.mean != nil {
			want[""]["latency_mean_ms"] = step.mean
		}
		if !reflect.DeepEqual(acc.fields, want) || !reflect.DeepEqual(acc.names, map[string]bool{"smtp_relay": true}) {
			t.Errorf("%v %v, want %v", acc.names, acc.fields, want)
		}
	}
}

// Two relays without an alias are one series: their counters are added up, the age is
// the higher one, and Telegraf's own number of a plugin is no tag.
func TestRelaysWithoutAlias(t *testing.T) {
	for i, id := range []string{"a", "b"} {
		for field, value := range map[string]int64{"queued": 3, "oldest_s": int64(10 * i)} {
			tags := map[string]string{"output": "smtp_relay", "_id": id}
			selfstat.Register("smtp_relay", field, tags).Set(value)
			t.Cleanup(func() { selfstat.Unregister("smtp_relay", field, tags) })
		}
	}
	acc := &collected{fields: map[string]map[string]any{}, names: map[string]bool{}}
	if err := (&SMTPRelay{}).Gather(acc); err != nil {
		t.Fatal(err)
	}
	want := map[string]map[string]any{"": {"queued": int64(6), "oldest_s": int64(10)}}
	if !reflect.DeepEqual(acc.fields, want) || len(acc.tags) != 1 {
		t.Errorf("%v with tags %v, want %v with the tag output alone", acc.fields, acc.tags, want)
	}
}
