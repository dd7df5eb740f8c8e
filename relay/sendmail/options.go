// Package sendmail is the program that others hand mail to: the command line of sendmail(8),
// as cron, mail(1) and scripts use it, a message on the standard input, and exit codes of
// sysexits(3). It makes of them an envelope and a message that can be sent (RFC 6409
// section 8: what is missing is added) and gives that to a relay over SMTP. It keeps nothing:
// whoever calls learns by the exit code whether the relay has the mail.
//
// Where sendmail, Postfix and exim differ it does what Debian's exim4 does: with -t
// recipients of the command line are left out, not added, and any user may set the sender
// with -f.
package sendmail

import (
	"fmt"
	"slices"
	"strings"
)

// Mode is what is to be done, by the letter of -b.
type Mode byte

// The modes.
const (
	Deliver  Mode = 'm' // take a mail from the standard input; the default
	SMTP     Mode = 's' // speak SMTP on the standard input and output
	List     Mode = 'p' // list the queue, as mailq does
	Aliases  Mode = 'i' // make the table of aliases anew, as newaliases does
	RunQueue Mode = 'q' // try what waits
)

// Options are a command line.
type Options struct {
	Mode Mode
	// FromHeader (-t) takes the recipients from To, Cc and Bcc.
	FromHeader bool
	// KeepDots (-i, -oi): a line with a dot alone does not end the message.
	KeepDots bool
	// Sender (-f, -r) is the envelope's; HasSender tells it from the null one.
	Sender    string
	HasSender bool
	// FullName (-F) is the sender's, for a message without From.
	FullName string
	// Notify (-N), Return (-R) and EnvelopeID (-V) are the wishes of RFC 3461.
	Notify             []string
	Return, EnvelopeID string
	// Config (-C) is another file of options.
	Config string
	// Verbose (-v) tells what the relay has answered.
	Verbose bool
	// Recipients are those of the command line, as written.
	Recipients []string
}

// maxEnvelopeID is in octets (RFC 3461 section 5.4).
const maxEnvelopeID = 100

const (
	optionFlags  = "GUimntv"        // without a value, may stand together as in -ti
	optionValues = "BCFLNOQRVXfhpr" // with one, in the same word or the next
)

// Parse reads a command line. What sendmail knows and is of no meaning here is passed over,
// as -oem, -odb, -B8BITMIME or -h; what would do something else than the caller wants is an
// error with Usage as its code.
func Parse(args []string) (*Options, error) {
	o := &Options{Mode: Deliver}
	for i := 0; i < len(args); i++ {
		arg := args[i]
		switch {
		case arg == "--":
			o.Recipients = append(o.Recipients, args[i+1:]...)
			return o, o.check()
		case len(arg) < 2 || arg[0] != '-':
			o.Recipients = append(o.Recipients, arg)
			continue
		}
		used, err := o.option(arg, args[i+1:])
		if err != nil {
			return nil, err
		}
		i += used
	}
	return o, o.check()
}

// option reads one word that begins with a dash, and tells how many of the next it has used.
func (o *Options) option(arg string, rest []string) (used int, err error) {
	letter, value := arg[1], arg[2:]
	switch {
	case letter == 'o':
		o.KeepDots = o.KeepDots || value == "i"
		return 0, nil
	case letter == 'b':
		return 0, o.mode(value)
	case letter == 'q':
		o.Mode = RunQueue
		return 0, nil
	case letter == 'd', letter == 'e', letter == 'A' && value != "": // debugging, errors, a file of sendmail's
		return 0, nil
	case strings.IndexByte(optionValues, letter) >= 0:
		if value == "" {
			if len(rest) == 0 {
				return 0, failure(Usage, "%s needs a value", arg)
			}
			value, used = rest[0], 1
		}
		o.value(letter, value)
		return used, nil
	}
	for _, letter := range arg[1:] {
		if letter > 0x7f || strings.IndexByte(optionFlags, byte(letter)) < 0 {
			return 0, failure(Usage, "unknown option %s: expected one of sendmail's, as -t, -i, -oi, -f SENDER or "+
				"-F NAME, or -- before an address that begins with a dash", arg)
		}
		o.flag(byte(letter))
	}
	return 0, nil
}

func (o *Options) flag(letter byte) {
	switch letter {
	case 't':
		o.FromHeader = true
	case 'i':
		o.KeepDots = true
	case 'v':
		o.Verbose = true
	}
}

func (o *Options) value(letter byte, value string) {
	switch letter {
	case 'f', 'r':
		o.Sender, o.HasSender = value, true
	case 'F':
		o.FullName = value
	case 'C':
		o.Config = value
	case 'N':
		o.Notify = strings.Split(strings.ToUpper(value), ",")
	case 'R':
		o.Return = strings.ToUpper(value)
	case 'V':
		o.EnvelopeID = value
	}
}

// mode reads what stands behind -b.
func (o *Options) mode(value string) error {
	known := string([]Mode{Deliver, SMTP, List, Aliases})
	if len(value) != 1 || !strings.Contains(known, value) {
		return failure(Usage, "-b%s is not done here: expected -bm, -bs, -bp or -bi; the relay itself is "+
			"flowgraf agent", value)
	}
	o.Mode = Mode(value[0])
	return nil
}

// check refuses what does not go together.
func (o *Options) check() error {
	for _, word := range o.Notify {
		if !slices.Contains([]string{"NEVER", "DELAY", "FAILURE", "SUCCESS"}, word) {
			return failure(Usage, "-N %s: expected never, or some of success, failure and delay", word)
		}
	}
	outside := func(r rune) bool { return r < ' ' || r >= 0x7f }
	if len(o.EnvelopeID) > maxEnvelopeID || strings.ContainsFunc(o.EnvelopeID, outside) {
		return failure(Usage, "-V: expected at most %d printable octets of ASCII", maxEnvelopeID)
	}
	if o.Return != "" && o.Return != "FULL" && o.Return != "HDRS" {
		return failure(Usage, "-R %s: expected full or hdrs", o.Return)
	}
	if o.Mode == Deliver && !o.FromHeader && len(o.Recipients) == 0 {
		return failure(Usage, "no recipients: expected addresses, or -t to take them from the message")
	}
	return nil
}

// failure makes an error with an exit code.
func failure(code Code, format string, args ...any) error {
	return &Error{Code: code, Err: fmt.Errorf(format, args...)}
}
