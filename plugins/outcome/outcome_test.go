package outcome

import (
	"errors"
	"io"
	"testing"
)

// What Telegraf does with its own types is tested where it runs: the agents of
// package tests start outputs that fail first. Other types are left alone.
func TestOtherTargetsAreLeftAlone(t *testing.T) {
	for _, err := range []error{&Startup{io.EOF}, &Partial{io.EOF, 3}} {
		if !errors.Is(err, io.EOF) || err.Error() != "EOF" {
			t.Errorf("%v does not wrap its cause", err)
		}
		var other *otherError
		if errors.As(err, &other) || err.(interface{ As(any) bool }).As((*int)(nil)) {
			t.Errorf("%v fills anything", err)
		}
	}
}

type otherError struct{ Err error }

func (e *otherError) Error() string { return "" }

// StartupError and PartialWriteError are called as Telegraf's own, and are others.
type (
	StartupError      struct{ Err error }
	PartialWriteError struct{ Err error }
)

func (*StartupError) Error() string      { return "" }
func (*PartialWriteError) Error() string { return "" }

// A type is Telegraf's by its package, not by its name alone; what is no pointer to a pointer
// is none. Nothing of them is filled, and nothing panics.
func TestNamesAloneAreNotEnough(t *testing.T) {
	for _, err := range []error{&Startup{io.EOF}, &Partial{io.EOF, 3}} {
		var startup *StartupError
		var partial *PartialWriteError
		if errors.As(err, &startup) || errors.As(err, &partial) || startup != nil || partial != nil {
			t.Errorf("%T fills a type of another package", err)
		}
		number, none := 1, (*int)(nil)
		for _, target := range []any{nil, 1, &number, none, &none, (**StartupError)(nil), "text", new(any),
			struct{}{}} {
			if err.(interface{ As(any) bool }).As(target) {
				t.Errorf("%T fills %T", err, target)
			}
		}
	}
}
