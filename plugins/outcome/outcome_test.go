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
