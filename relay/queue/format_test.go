package queue

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// formatMail returns an envelope with a value in every field, and a body.
func formatMail() (*Envelope, []byte) {
	return &Envelope{ID: "0000000a-000000000000000b", From: "a@example.com",
		To: []string{"b@example.org", "c@example.org"}, Received: time.Date(2026, 5, 4, 3, 2, 1, 500, time.UTC),
		Origin: OriginSMTP, Client: "192.0.2.1", Critical: true,
		Return: "HDRS", EnvelopeID: "x+2By", Notify: map[string]Notify{"b@example.org": {On: "NEVER",
			Original: "rfc822;b@x"}},
		Note: json.RawMessage(`{"k":1}`)}, []byte("Subject: x\r\n\r\nbody\r\n")
}

// A mail as it lies in a file, by its description: magic, two lengths, envelope, body, a
// CRC-32C over all of that, and an end mark.
func TestMailByItsBytes(t *testing.T) {
	env, body := formatMail()
	b, err := encodeMail(env, body)
	if err != nil {
		t.Fatal(err)
	}
	head, err := json.Marshal(env)
	if err != nil {
		t.Fatal(err)
	}
	want := append([]byte("FGMAIL1\n"), 0, 0, byte(len(head)>>8), byte(len(head)), 0, 0, 0, 0, 0, 0, 0, byte(len(body)))
	want = append(append(want, head...), body...)
	sum := crc32.Checksum(want, crc32.MakeTable(crc32.Castagnoli))
	want = append(want, byte(sum>>24), byte(sum>>16), byte(sum>>8), byte(sum))
	want = append(want, "\nFGEND1\n"...)
	if !bytes.Equal(b, want) {
		t.Fatalf("got\n%q, want\n%q", b, want)
	}
	m, size, err := decodeMail(append(slices.Clone(b), "behind"...))
	if err != nil || size != len(b) || !reflect.DeepEqual(&m.Envelope, env) || !bytes.Equal(m.Body, body) {
		t.Errorf("%+v of %d octets, %v", m, size, err)
	}
	if cap(m.Body) != len(m.Body) {
		t.Error("what is appended to the body would be written over what follows it")
	}
}

// A mail that is cut anywhere, or of which any bit is another, is none: the error wraps
// ErrCorrupt, and that of a cut says so.
func TestEveryBitOfAMail(t *testing.T) {
	env, body := formatMail()
	good, err := encodeMail(env, body)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range good {
		if _, _, err := decodeMail(good[:cut]); !errors.Is(err, errShort) || !errors.Is(err, ErrCorrupt) {
			t.Errorf("cut at %d: %v", cut, err)
		}
	}
	for bit := range 8 * len(good) {
		bad := slices.Clone(good)
		bad[bit/8] ^= 1 << (bit % 8)
		if m, _, err := decodeMail(bad); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("bit %d: %+v, %v", bit, m, err)
		}
	}
}

// Results behind a mail are read up to the first that is cut, changed, or of a recipient that
// there is not; what was before stays.
func TestEveryBitOfAResult(t *testing.T) {
	env, body := formatMail()
	mail, err := encodeMail(env, body)
	if err != nil {
		t.Fatal(err)
	}
	results := []Result{{Recipient: 0, State: Deferred, Time: env.Received, Host: "mx", Code: 451, Status: "4.7.1",
		Text: "later"}, {Recipient: 1, State: Delivered, Time: env.Received, Said: "250 ok", Passed: true, Told: true}}
	file := slices.Clone(mail)
	ends := []int{len(file)}
	for i := range results {
		if file, err = encodeResult(file, &results[i]); err != nil {
			t.Fatal(err)
		}
		ends = append(ends, len(file))
	}
	whole := func(n int) int {
		i := 0
		for i+1 < len(ends) && ends[i+1] <= n {
			i++
		}
		return i
	}
	for cut := ends[0]; cut <= len(file); cut++ {
		m, good, err := decodeFile(file[:cut])
		if want := whole(cut); err != nil || len(m.Results) != want || good != ends[want] ||
			want > 0 && !reflect.DeepEqual(m.Results, results[:want]) {
			t.Fatalf("cut at %d: %d results up to %d, %v, want %d", cut, len(m.Results), good, err, want)
		}
	}
	for bit := 8 * ends[0]; bit < 8*len(file); bit++ {
		bad := slices.Clone(file)
		bad[bit/8] ^= 1 << (bit % 8)
		if m, good, err := decodeFile(bad); err != nil || len(m.Results) != whole(bit/8) || good != ends[len(m.Results)] {
			t.Fatalf("bit %d: %d results up to %d, %v", bit, len(m.Results), good, err)
		}
	}
	for _, recipient := range []int{-1, 2, 1 << 30} {
		odd, err := encodeResult(slices.Clone(file), &Result{Recipient: recipient, State: Delivered})
		if err != nil {
			t.Fatal(err)
		}
		if m, good, err := decodeFile(odd); err != nil || len(m.Results) != 2 || good != len(file) {
			t.Errorf("recipient %d: %d results up to %d, %v", recipient, len(m.Results), good, err)
		}
	}
	if _, err := encodeResult(nil, &Result{Said: strings.Repeat("x", maxResult)}); err == nil ||
		!strings.Contains(err.Error(), "at most 65536 expected") {
		t.Errorf("a result that is too long: %v", err)
	}
}

// A mark that a mail is done, cut anywhere or with any bit another.
func TestEveryBitOfADoneMark(t *testing.T) {
	for _, id := range []string{"a", "0000000a-000000000000000b", strings.Repeat("f", maxID)} {
		good := encodeDone(id)
		if got, size, err := decodeDone(append(slices.Clone(good), 1, 2, 3)); got != id || size != len(good) || err != nil {
			t.Errorf("%s: %s, %d of %d octets, %v", id, got, size, len(good), err)
		}
		for cut := range good {
			if _, _, err := decodeDone(good[:cut]); !errors.Is(err, errShort) {
				t.Errorf("%s cut at %d: %v", id, cut, err)
			}
		}
		for bit := 8 * len(doneMagic); bit < 8*len(good); bit++ {
			bad := slices.Clone(good)
			bad[bit/8] ^= 1 << (bit % 8)
			if got, _, err := decodeDone(bad); !errors.Is(err, ErrCorrupt) {
				t.Errorf("%s, bit %d: %q, %v", id, bit, got, err)
			}
		}
	}
	if _, _, err := decodeDone(encodeDone(strings.Repeat("f", maxID+1))); !errors.Is(err, ErrCorrupt) ||
		errors.Is(err, errShort) {
		t.Errorf("an id that is too long: %v", err)
	}
}

// A journal of mails and marks in any order is read to the first record that is damaged, and
// the next whole one is found behind it, whatever the damage looks like.
func TestSegmentsWithDamage(t *testing.T) {
	rng := rand.New(rand.NewPCG(111, 112))
	for round := range 150 {
		var records [][]byte
		var names []string
		for i := range 1 + rng.IntN(6) {
			env, body := formatMail()
			env.ID = fmt.Sprintf("%08x-%x", i, rng.Uint32())
			if rng.IntN(2) == 0 {
				body = append(body, "FGMAIL1\nFGDONE1\nFG"[:rng.IntN(19)]...) // what looks like a record
				b, err := encodeMail(env, body)
				if err != nil {
					t.Fatal(err)
				}
				records, names = append(records, b), append(names, "mail "+env.ID)
			} else {
				records, names = append(records, encodeDone(env.ID)), append(names, "done "+env.ID)
			}
		}
		read := func(b []byte) (got []string, good int, err error) {
			good, err = scanSegment(b, func(m *Mail, offset, size int) {
				if n, _, err := decodeMail(b[offset : offset+size]); err != nil || n.ID != m.ID {
					t.Fatalf("round %d: mail at %d of %d octets: %v", round, offset, size, err)
				}
				got = append(got, "mail "+m.ID)
			}, func(id string) { got = append(got, "done "+id) })
			return got, good, err
		}
		segment := slices.Concat(records...)
		if got, good, err := read(segment); err != nil || good != len(segment) || !slices.Equal(got, names) {
			t.Fatalf("round %d: %q up to %d of %d, %v, want %q", round, got, good, len(segment), err, names)
		}
		hurt := rng.IntN(len(records))
		begin := len(slices.Concat(records[:hurt]...))
		bad := slices.Clone(segment)
		bad[begin+rng.IntN(len(records[hurt]))] ^= byte(1 + rng.IntN(255))
		got, good, err := read(bad)
		if !errors.Is(err, ErrCorrupt) || good != begin || !slices.Equal(got, names[:hurt]) {
			t.Fatalf("round %d, record %d is damaged: %q up to %d, %v", round, hurt, got, good, err)
		}
		if next, want := good+nextRecord(bad[good:]), begin+len(records[hurt]); next != want {
			t.Fatalf("round %d, record %d of %d octets at %d is damaged: the next one is at %d, want %d", round, hurt,
				len(records[hurt]), begin, next, want)
		}
	}
}

// Ids come back as names of files: nothing but digits, letters to f and hyphens, 64 at most.
func TestIDsAreHarmless(t *testing.T) {
	for id, want := range map[string]bool{"0": true, "0000000a-000000000000000b": true, "-": true,
		strings.Repeat("a", 64): true, strings.Repeat("a", 65): false, "": false, "g": false, "A": false, "..": false,
		"a/b": false, "a b": false, "a\x00": false,
		"é": false, "a\n": false, "`": false, ":": false} {
		if validID(id) != want {
			t.Errorf("%q: %v", id, !want)
		}
	}
	for n, want := range map[Notify]string{{}: "FAILURE DELAY", {On: "NEVER"}: "", {On: "SUCCESS"}: "SUCCESS",
		{On: "SUCCESS,FAILURE,DELAY"}: "SUCCESS FAILURE DELAY", {On: "DELAY", Original: "rfc822;x"}: "DELAY",
		{On: "FAILURES"}: ""} {
		var got []string
		for _, event := range []string{"SUCCESS", "FAILURE", "DELAY"} {
			if n.Wants(event) {
				got = append(got, event)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%+v wants %q, want %q", n, got, want)
		}
	}
}

// Of a recipient's results the last one counts.
func TestLastResults(t *testing.T) {
	m := Mail{Envelope: Envelope{To: []string{"a", "b", "c"}}, Results: []Result{
		{Recipient: 0, State: Deferred, Code: 1}, {Recipient: 1, State: Deferred, Code: 2},
		{Recipient: 0, State: Delivered, Code: 3}, {Recipient: 1, State: Deferred, Code: 4}}}
	if got := m.States(); !slices.Equal(got, []State{Delivered, Deferred, ""}) {
		t.Errorf("%q", got)
	}
	if got := m.Last(); got[0].Code != 3 || got[1].Code != 4 || got[2] != (Result{}) {
		t.Errorf("%+v", got)
	}
	for s, want := range map[State]bool{Delivered: true, Undeliverable: true, Deferred: false, "": false} {
		if s.Final() != want {
			t.Errorf("%q is final: %v", s, !want)
		}
	}
}
