package relay

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/relay/monitor"
)

// fastSink takes mails with as little work as can be, so that the relay is what is
// measured.
func fastSink(b *testing.B) (addr string, taken *atomic.Int64) {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	taken = &atomic.Int64{}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go sinkMails(c, taken)
		}
	}()
	return l.Addr().String(), taken
}

func sinkMails(c net.Conn, taken *atomic.Int64) {
	defer c.Close()
	r, w := bufio.NewReader(c), bufio.NewWriter(c)
	io.WriteString(c, "220 sink\r\n")
	inData := false
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return
		}
		switch {
		case inData && string(line) != ".\r\n":
			continue
		case inData:
			inData = false
			taken.Add(1)
			io.WriteString(w, "250 ok\r\n")
		case bytes.HasPrefix(line, []byte("EHLO")):
			io.WriteString(w, "250-sink\r\n250 PIPELINING\r\n")
		case bytes.HasPrefix(line, []byte("DATA")):
			inData = true
			io.WriteString(w, "354 go\r\n")
		default:
			io.WriteString(w, "250 ok\r\n")
		}
		if r.Buffered() == 0 {
			w.Flush()
		}
	}
}

// BenchmarkRelay measures mails of 3 kB accepted, on disk and delivered; the clients
// do not pipeline. The budget is ten times exim's 237 mails/s with 8 sessions
// (tests/bench/relay.sh measures both).
func BenchmarkRelay(b *testing.B) {
	message := "Subject: alert\r\n\r\n" + strings.Repeat(strings.Repeat("x", 76)+"\r\n", 38)
	for _, sessions := range []int{1, 8, 50} {
		b.Run(fmt.Sprintf("sessions=%d", sessions), func(b *testing.B) {
			addr, taken := fastSink(b)
			opts := testOptions(b, addr)
			opts.Monitor = monitor.New(nil, nil)
			r := start(b, opts)
			work := make(chan struct{}, sessions)
			var wg sync.WaitGroup
			for range sessions {
				c := dial(b, r)
				wg.Go(func() {
					for range work {
						c.say(250, "MAIL FROM:<a@example.com>")
						c.say(250, "RCPT TO:<b@example.com>")
						c.say(354, "DATA")
						c.W.WriteString(message)
						c.say(250, ".")
					}
				})
			}
			start := time.Now()
			n := int64(0)
			for b.Loop() {
				work <- struct{}{}
				n++
			}
			close(work)
			wg.Wait()
			accepted := time.Since(start)
			for taken.Load() < n {
				time.Sleep(time.Millisecond)
			}
			b.ReportMetric(float64(n)/accepted.Seconds(), "accepted/s")
			b.ReportMetric(float64(n)/time.Since(start).Seconds(), "delivered/s")
			b.ReportMetric(0, "ns/op")
		})
	}
}
