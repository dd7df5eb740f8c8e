package queue

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"time"
)

const (
	mailMagic = "FGMAIL1\n"
	mailEnd   = "\nFGEND1\n"
	doneMagic = "FGDONE1\n"

	headSize = 20
	tailSize = 12

	maxEnvelope = 1 << 20
	maxBody     = 1 << 30
	maxResult   = 64 << 10
	maxID       = 64
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrCorrupt is wrapped by every error about the content of a spool file.
var ErrCorrupt = errors.New("corrupt spool file")

// errShort says that the input ends inside a record.
var errShort = fmt.Errorf("%w: cut short", ErrCorrupt)

// Envelope is what the queue knows of a mail besides its message.
type Envelope struct {
	// ID is unique on this spool and for ever, from Queue.NewID.
	ID string `json:"id"`
	// From is the reverse-path without brackets, "" for the null one.
	From string `json:"from"`
	// To are the recipients, without brackets.
	To []string `json:"to"`
	// Received is when the mail was accepted.
	Received time.Time `json:"received"`
	// Origin is the way the mail came: OriginSMTP, OriginAlert or OriginDSN.
	Origin string `json:"origin"`
	// Client is the sending host's address, for the log; empty for our own mail.
	Client string `json:"client,omitempty"`
	// Critical mails are delivered before others.
	Critical bool `json:"critical,omitempty"`
	// Return and EnvelopeID are the sender's RET and ENVID (RFC 3461), the latter as xtext;
	// empty: none.
	Return     string `json:"ret,omitempty"`
	EnvelopeID string `json:"envid,omitempty"`
	// Notify is what the sender wants to hear of a recipient, by its address in To.
	Notify map[string]Notify `json:"notify,omitempty"`
	// Note belongs to the origin; the queue carries it along.
	Note json.RawMessage `json:"note,omitempty"`
}

// Notify is what RFC 3461 lets a sender say of a recipient.
type Notify struct {
	// On is "NEVER", or what the sender wants to hear of: "SUCCESS", "FAILURE" and
	// "DELAY", with commas; empty: failures and delays.
	On string `json:"on,omitempty"`
	// Original is ORCPT, "rfc822;" and an address as xtext; empty: none.
	Original string `json:"orcpt,omitempty"`
}

// Wants tells whether the sender wants to hear of "SUCCESS", "FAILURE" or "DELAY".
func (n Notify) Wants(event string) bool {
	if n.On == "" {
		return event != "SUCCESS"
	}
	return slices.Contains(strings.Split(n.On, ","), event)
}

// The origins of a mail.
const (
	OriginSMTP  = "smtp"
	OriginAlert = "alert"
	OriginDSN   = "dsn"
)

// State is what became of a recipient in an attempt.
type State string

// The states. Delivered and Undeliverable are final.
const (
	Delivered     State = "delivered"
	Undeliverable State = "failed"
	Deferred      State = "deferred"
)

// Final tells whether no further attempt is due.
func (s State) Final() bool { return s == Delivered || s == Undeliverable }

// Result is the outcome of an attempt for one recipient.
type Result struct {
	// Recipient is an index into Envelope.To.
	Recipient int `json:"rcpt"`
	// State is the outcome.
	State State `json:"state"`
	// Time is when it was learnt.
	Time time.Time `json:"time"`
	// Host is the next server, empty when none was reached.
	Host string `json:"host,omitempty"`
	// Code is its reply code, 0 when there was no reply.
	Code int `json:"code,omitempty"`
	// Status is the enhanced status code (RFC 3463), "5.1.1".
	Status string `json:"status,omitempty"`
	// Text is the reply or the error, printable, at most 512 octets.
	Text string `json:"text,omitempty"`
	// Said is the reply as the server said it, printable, its lines ended by LF, at most
	// 4096 octets.
	Said string `json:"said,omitempty"`
	// Passed means that the next server notifies the sender of what becomes of it.
	Passed bool `json:"passed,omitempty"`
	// Told means that the sender has been notified of this failure, or of the delay.
	Told bool `json:"told,omitempty"`
}

// Mail is one mail of the queue.
type Mail struct {
	Envelope
	// Results are in the order in which they were recorded.
	Results []Result
	// Body is the message, lines ended by CRLF.
	Body []byte
}

// States gives the newest state of each recipient, "" before the first attempt.
func (m *Mail) States() []State {
	states := make([]State, len(m.To))
	for _, r := range m.Results {
		states[r.Recipient] = r.State
	}
	return states
}

// Last gives the newest result of each recipient, by its index, a zero one before the
// first attempt.
func (m *Mail) Last() []Result {
	last := make([]Result, len(m.To))
	for _, r := range m.Results {
		last[r.Recipient] = r
	}
	return last
}

// encodeMail gives the mail file's bytes up to the end mark.
func encodeMail(env *Envelope, body []byte) ([]byte, error) {
	head, err := json.Marshal(env)
	if err != nil {
		return nil, fmt.Errorf("envelope of mail %s: %w", env.ID, err)
	}
	if len(head) > maxEnvelope || len(body) > maxBody {
		return nil, fmt.Errorf("mail %s: envelope of %d and body of %d octets, at most %d and %d expected",
			env.ID, len(head), len(body), maxEnvelope, maxBody)
	}
	b := make([]byte, 0, headSize+len(head)+len(body)+tailSize)
	b = append(b, mailMagic...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(head)))
	b = binary.BigEndian.AppendUint64(b, uint64(len(body)))
	b = append(b, head...)
	b = append(b, body...)
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	return append(b, mailEnd...), nil
}

// mailSize gives the size of the mail record at the start of b, from its head.
func mailSize(b []byte) (envelope, body int, err error) {
	if len(b) < headSize {
		return 0, 0, errShort
	}
	if string(b[:8]) != mailMagic {
		return 0, 0, fmt.Errorf("%w: starts with %q, expected %q", ErrCorrupt, b[:8], mailMagic)
	}
	e, n := binary.BigEndian.Uint32(b[8:]), binary.BigEndian.Uint64(b[12:])
	if e > maxEnvelope || n > maxBody {
		return 0, 0, fmt.Errorf("%w: envelope of %d and body of %d octets, at most %d and %d expected",
			ErrCorrupt, e, n, maxEnvelope, maxBody)
	}
	return int(e), int(n), nil
}

// decodeMail reads the mail record at the start of b and gives its size. The
// mail's body points into b.
func decodeMail(b []byte) (*Mail, int, error) {
	e, n, err := mailSize(b)
	if err != nil {
		return nil, 0, err
	}
	sum := headSize + e + n
	size := sum + tailSize
	if len(b) < size {
		return nil, 0, fmt.Errorf("%w: %d octets, %d expected", errShort, len(b), size)
	}
	if got := crc32.Checksum(b[:sum], castagnoli); got != binary.BigEndian.Uint32(b[sum:]) {
		return nil, 0, fmt.Errorf("%w: checksum does not match", ErrCorrupt)
	}
	if string(b[sum+4:size]) != mailEnd {
		return nil, 0, fmt.Errorf("%w: end mark missing", ErrCorrupt)
	}
	m := &Mail{Body: b[headSize+e : sum : sum]}
	if err := json.Unmarshal(b[headSize:headSize+e], &m.Envelope); err != nil {
		return nil, 0, fmt.Errorf("%w: envelope: %w", ErrCorrupt, err)
	}
	if !validID(m.ID) || len(m.To) == 0 {
		return nil, 0, fmt.Errorf("%w: envelope without a valid id or recipients", ErrCorrupt)
	}
	return m, size, nil
}

// decodeFile reads a whole mail file. good is the offset behind the last whole
// result record; what follows it is a torn append.
func decodeFile(b []byte) (m *Mail, good int, err error) {
	m, good, err = decodeMail(b)
	if err != nil {
		return nil, 0, err
	}
	for {
		r, size, ok := decodeResult(b[good:])
		if !ok || r.Recipient < 0 || r.Recipient >= len(m.To) {
			return m, good, nil
		}
		m.Results = append(m.Results, r)
		good += size
	}
}

func encodeResult(b []byte, r *Result) ([]byte, error) {
	text, err := json.Marshal(r)
	if err != nil || len(text) > maxResult {
		return nil, fmt.Errorf("result of %d octets, at most %d expected: %w", len(text), maxResult, err)
	}
	start := len(b)
	b = binary.BigEndian.AppendUint32(b, uint32(len(text)))
	b = append(b, text...)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli)), nil
}

func decodeResult(b []byte) (r Result, size int, ok bool) {
	if len(b) < 8 {
		return r, 0, false
	}
	n := binary.BigEndian.Uint32(b)
	if n > maxResult || len(b) < int(n)+8 {
		return r, 0, false
	}
	sum := 4 + int(n)
	if crc32.Checksum(b[:sum], castagnoli) != binary.BigEndian.Uint32(b[sum:]) {
		return r, 0, false
	}
	if json.Unmarshal(b[4:sum], &r) != nil {
		return r, 0, false
	}
	return r, sum + 4, true
}

func encodeDone(id string) []byte {
	b := append([]byte(nil), doneMagic...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(id)))
	b = append(b, id...)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func decodeDone(b []byte) (id string, size int, err error) {
	if len(b) < 10 {
		return "", 0, errShort
	}
	n := int(binary.BigEndian.Uint16(b[8:]))
	if n > maxID {
		return "", 0, fmt.Errorf("%w: id of %d octets", ErrCorrupt, n)
	}
	if len(b) < 14+n {
		return "", 0, errShort
	}
	if crc32.Checksum(b[:10+n], castagnoli) != binary.BigEndian.Uint32(b[10+n:]) {
		return "", 0, fmt.Errorf("%w: checksum of a done mark does not match", ErrCorrupt)
	}
	return string(b[10 : 10+n]), 14 + n, nil
}

// scanSegment calls mail, with offset and size of its record, or done for every record
// of a journal segment, up to the first one that cannot be read, and gives the offset
// behind the last good one. The mail's body points into b.
func scanSegment(b []byte, mail func(m *Mail, offset, size int), done func(id string)) (good int, err error) {
	for good < len(b) {
		if bytes.HasPrefix(b[good:], []byte(doneMagic)) {
			id, size, err := decodeDone(b[good:])
			if err != nil {
				return good, err
			}
			done(id)
			good += size
			continue
		}
		m, size, err := decodeMail(b[good:])
		if err != nil {
			return good, err
		}
		mail(m, good, size)
		good += size
	}
	return good, nil
}

// nextRecord gives the offset of the first whole record behind the start of b; len(b)
// when there is none.
func nextRecord(b []byte) int {
	const common = "FG"
	for from := 1; from < len(b); {
		i := bytes.Index(b[from:], []byte(common))
		if i < 0 {
			break
		}
		from += i
		_, _, err := decodeMail(b[from:])
		if bytes.HasPrefix(b[from:], []byte(doneMagic)) {
			_, _, err = decodeDone(b[from:])
		}
		if err == nil {
			return from
		}
		from++
	}
	return len(b)
}

// validID keeps ids to what is harmless in a file name.
func validID(id string) bool {
	if id == "" || len(id) > maxID {
		return false
	}
	for i := 0; i < len(id); i++ {
		c := id[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') && c != '-' {
			return false
		}
	}
	return true
}
