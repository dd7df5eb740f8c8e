package sendmail

import "strconv"

// Code is an exit code (sysexits(3)), by which callers know what to do.
type Code int

// The codes.
const (
	OK          Code = 0
	Usage       Code = 64 // the command line is wrong
	DataErr     Code = 65 // the message or an address is
	NoUser      Code = 67 // a recipient is not known
	Unavailable Code = 69 // refused for good
	Software    Code = 70
	IOErr       Code = 74 // the message cannot be read
	TempFail    Code = 75 // nobody has it: try again later
	NoPerm      Code = 77 // not allowed by the relay's rules
	Config      Code = 78 // our own configuration is wrong
)

// names are those of sysexits.h.
var names = map[Code]string{
	Usage: "EX_USAGE", DataErr: "EX_DATAERR", NoUser: "EX_NOUSER", Unavailable: "EX_UNAVAILABLE",
	Software: "EX_SOFTWARE", IOErr: "EX_IOERR", TempFail: "EX_TEMPFAIL", NoPerm: "EX_NOPERM", Config: "EX_CONFIG",
}

// String gives the name in sysexits.h.
func (c Code) String() string {
	if name := names[c]; name != "" {
		return name
	}
	return strconv.Itoa(int(c))
}

// Error is an error that ends the program with a code.
type Error struct {
	Code Code
	Err  error
}

// Error implements error.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }
