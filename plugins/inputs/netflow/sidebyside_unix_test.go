//go:build unix

package netflow

import (
	"net"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/logger"
	stock "github.com/influxdata/telegraf/plugins/inputs/netflow"
	"github.com/influxdata/telegraf/plugins/serializers/influx"

	"github.com/flowgraf/flowgraf/plugins/decoding/decodingtest"
)

// lines is an accumulator that writes line protocol and throws it away.
type lines struct {
	decodingtest.Accumulator
	s     *influx.Serializer
	count atomic.Int64
}

func (l *lines) AddMetric(m telegraf.Metric) {
	if l.s != nil {
		_, _ = l.s.Serialize(m)
	}
	l.count.Add(1)
}

// cpu returns the processor time that the process has used.
func cpu() time.Duration {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// BenchmarkSideBySide measures processor time per flow from a UDP socket to the
// accumulator, and to line protocol, for the stock plugin and for this one. The
// sender's time is in both. The budget is a quarter of the stock plugin's.
func BenchmarkSideBySide(b *testing.B) {
	log := logger.New("inputs", "netflow", "")
	for _, p := range []struct {
		name   string
		plugin func() telegraf.ServiceInput
	}{
		{"stock", func() telegraf.ServiceInput {
			return &stock.NetFlow{ServiceAddress: "udp://127.0.0.1:42055", ReadBufferSize: 4 << 20, Log: log}
		}},
		{"flowgraf", func() telegraf.ServiceInput {
			return &NetFlow{ServiceAddress: "udp://127.0.0.1:42055", Log: log}
		}},
	} {
		for _, serialize := range []bool{false, true} {
			name := p.name + " to metric"
			if serialize {
				name = p.name + " to line protocol"
			}
			b.Run(name, func(b *testing.B) {
				acc := &lines{}
				if serialize {
					acc.s = &influx.Serializer{UintSupport: true}
					if err := acc.s.Init(); err != nil {
						b.Fatal(err)
					}
				}
				plugin := p.plugin()
				if err := plugin.(telegraf.Initializer).Init(); err != nil {
					b.Fatal(err)
				}
				if err := plugin.Start(acc); err != nil {
					b.Fatal(err)
				}
				defer plugin.Stop()
				pump(b, acc)
			})
		}
	}
}

// pump sends 20,000 flows per round, never far ahead of the receiver.
func pump(b *testing.B, acc *lines) {
	conn, err := net.Dial("udp", "127.0.0.1:42055")
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	const n, ahead = 20000, 1000
	list := decodingtest.Datagrams(b, n)
	runtime.GC()
	before := cpu()
	b.ResetTimer()
	for round := range b.N {
		for i, payload := range list {
			if _, err := conn.Write(payload); err != nil {
				b.Fatal(err)
			}
			sent := int64(round*n + i*n/(len(list)-1))
			for sent-acc.count.Load() > ahead {
				time.Sleep(50 * time.Microsecond)
			}
		}
	}
	for deadline := time.Now().Add(5 * time.Second); acc.count.Load() < int64(b.N)*n; {
		if time.Now().After(deadline) {
			b.Fatalf("got %d flows, want %d", acc.count.Load(), b.N*n)
		}
		time.Sleep(time.Millisecond)
	}
	b.ReportMetric(float64((cpu()-before).Nanoseconds())/float64(b.N*n), "cpu-ns/flow")
}
