// Command mailclient measures how long a mail server takes to accept a mail: from the
// end of the message to the answer 250. It sends mails over several sessions at a time, each
// over one connection, and prints the rate and the percentiles.
//
//	mailclient ADDRESS SESSIONS MAILS OCTETS
package main

import (
	"fmt"
	"net/textproto"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

func main() {
	if err := sendMails(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func sendMails(args []string) error {
	if len(args) != 4 {
		return fmt.Errorf("expected ADDRESS SESSIONS MAILS OCTETS")
	}
	var numbers [3]int
	for i, arg := range args[1:] {
		n, err := strconv.Atoi(arg)
		if err != nil || n < 1 {
			return fmt.Errorf("%q: expected a positive number", arg)
		}
		numbers[i] = n
	}
	sessions, mails := numbers[0], numbers[1]/numbers[0]
	const line = "0123456789012345678901234567890123456789012345678901234567890123456789\r\n"
	message := "Subject: bench\r\n\r\n" + strings.Repeat(line, numbers[2]/len(line)+1)
	times := make([][]time.Duration, sessions)
	errs := make([]error, sessions)
	begin := time.Now()
	var wg sync.WaitGroup
	for i := range sessions {
		wg.Go(func() { times[i], errs[i] = session(args[0], mails, message) })
	}
	wg.Wait()
	took := time.Since(begin)
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	all := slices.Concat(times...)
	slices.Sort(all)
	at := func(share float64) float64 {
		return float64(all[min(len(all)-1, int(share*float64(len(all))))].Microseconds()) / 1000
	}
	fmt.Printf("%8.0f accepted/s   p50 %.2f ms   p99 %.2f ms   longest %.2f ms   %d mails\n",
		float64(len(all))/took.Seconds(), at(0.5), at(0.99), at(1), len(all))
	return nil
}

// session sends mails over one connection and gives the time that each took to be
// accepted.
func session(addr string, mails int, message string) ([]time.Duration, error) {
	c, err := textproto.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	say := func(code int, text string) error {
		if text != "" {
			if err := c.PrintfLine("%s", text); err != nil {
				return err
			}
		}
		_, _, err := c.ReadResponse(code)
		return err
	}
	for i, step := range []string{"", "EHLO client.example.com"} {
		if err := say(220+30*i, step); err != nil {
			return nil, err
		}
	}
	times := make([]time.Duration, 0, mails)
	for range mails {
		for _, step := range []struct {
			code int
			text string
		}{{250, "MAIL FROM:<a@example.com>"}, {250, "RCPT TO:<b@example.com>"}, {354, "DATA"}} {
			if err := say(step.code, step.text); err != nil {
				return nil, err
			}
		}
		if _, err := c.W.WriteString(message); err != nil {
			return nil, err
		}
		begin := time.Now()
		if err := say(250, "."); err != nil {
			return nil, err
		}
		times = append(times, time.Since(begin))
	}
	return times, say(221, "QUIT")
}
