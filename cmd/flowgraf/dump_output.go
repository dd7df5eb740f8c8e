package main

import (
	"fmt"
	"io"
	"strings"
	"time"
	_ "time/tzdata" // --tz works where the system knows no zones

	"github.com/flowgraf/flowgraf/outputs/report"
)

// prepareOutput reads the options of the output, and checks the format before any file is
// read.
func (o *dumpOptions) prepareOutput() error {
	compat, err := report.ParseCompat(o.compat)
	if err != nil {
		return err
	}
	o.report.Compat = compat
	if o.timeZone != "" {
		zone, err := time.LoadLocation(o.timeZone)
		if err != nil {
			return fmt.Errorf("--tz %s: no such time zone, expected one as UTC or Europe/Berlin", o.timeZone)
		}
		o.report.Location = zone
	}
	_, err = report.Open(io.Discard, o.output, o.report)
	return err
}

// indent returns lines as one text, each behind two blanks.
func indent(lines []string) string { return "  " + strings.Join(lines, "\n  ") }
