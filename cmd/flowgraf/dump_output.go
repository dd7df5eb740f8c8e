package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	_ "time/tzdata" // --tz works where the system knows no zones

	"golang.org/x/term"

	"github.com/flowgraf/flowgraf/outputs/report"
)

// formatsOfDump are the formats of the output beside those of the report package.
var formatsOfDump = []report.Extension{
	{Name: "influx", What: "line protocol, as inputs.netflow's metric; influx:FIELD,… makes fields tags",
		Open: openInflux},
}

// prepareReport reads the options of how everything is printed, of which those of the query
// make use too.
func (o *dumpOptions) prepareReport(out io.Writer) error {
	compat, err := report.ParseCompat(o.compat)
	if err != nil {
		return err
	}
	o.report.Compat, o.report.Terminal, o.report.Extensions = compat, terminalOf(out), formatsOfDump
	if o.timeZone != "" {
		zone, err := time.LoadLocation(o.timeZone)
		if err != nil {
			return fmt.Errorf("--tz %s: no such time zone, expected one as UTC or Europe/Berlin", o.timeZone)
		}
		o.report.Location = zone
	}
	return nil
}

// checkOutput checks the format before any file is read.
func (o *dumpOptions) checkOutput(out io.Writer) error {
	if a := &o.query.listing.Aggregation; o.output == "table" && o.query.keys != "" {
		o.output = "table:" + a.Format()
	}
	if o.output == "parquet" && isTerminal(out) {
		return errors.New("-o parquet is no text: put it into a file, as in -o parquet >flows.parquet")
	}
	if len(o.stats) > 0 {
		return report.CheckTables(o.output, o.report)
	}
	_, err := report.Open(io.Discard, o.output, o.report)
	return err
}

// terminalOf returns the terminal that out is. Its colours are off where NO_COLOR is set
// (no-color.org).
func terminalOf(out io.Writer) report.Terminal {
	f, ok := out.(*os.File)
	if !ok || !isTerminal(f) {
		return report.Terminal{}
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		width = 0
	}
	return report.Terminal{Width: width, Colours: os.Getenv("NO_COLOR") == ""}
}

// indent returns lines as one text, each behind two blanks.
func indent(lines []string) string { return "  " + strings.Join(lines, "\n  ") }
