package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/flowgraf/flowgraf/outputs/archive"
	"github.com/flowgraf/flowgraf/plugins/disk"
)

func newExpireCommand() *cobra.Command {
	var o expireOptions
	cmd := &cobra.Command{
		Use:   "expire -e DIR [-s SIZE] [-t LIFETIME] | -l DIR | -u DIR",
		Short: "Remove the oldest flow files beyond a size or an age",
		Long: `Expire removes the oldest complete files of an archive, flowgraf's or nfcapd's, until
its limits hold: files named nfcapd. and 12 or 14 digits, and captures of outputs.nfdump,
each with its index, and directories that are empty then. It never removes the newest
file, nor anything else. Its options are nfexpire's. An archive that outputs.nfdump
writes needs none of this: its options max_age, max_size and min_free do the same.

Sizes are bytes on the disk, with K, M, G or T behind them 1024 and so on, as in 1.5G.
Lifetimes are since the time in a file's name, with w, d, H or M behind them weeks,
days, hours or minutes; hours without.

Limits that are not given are those that the directory has, which -u sets: in the file
.nfstat, as nfexpire and nfcapd -e have it, and which is kept right here too.

The exit code is 1 when the limits do not hold afterwards, as files could not be removed
or the directory not be read, and 2 when the command line is wrong.`,
		Example: `  flowgraf expire -e /var/lib/flowgraf/flows -s 200G -t 90d
  flowgraf expire -l /var/cache/nfdump
  flowgraf expire -u /var/cache/nfdump -s 50G -w 90 && flowgraf expire -e /var/cache/nfdump`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.expireFlows(cmd.OutOrStdout(), time.Now()) },
	}
	f := cmd.Flags()
	f.StringVarP(&o.expire, "expire", "e", "", "remove files of this `directory`")
	f.StringVarP(&o.list, "list", "l", "", "tell what this `directory` holds, and its limits")
	f.StringVarP(&o.rescan, "rescan", "r", "", "the same, and put it into .nfstat of the `directory`")
	f.StringVarP(&o.update, "update", "u", "", "set the limits of this `directory`, and remove nothing")
	f.StringVarP(&o.size, "size", "s", "", "most bytes on the disk, as 200G; 0 is no limit (a `size`)")
	f.StringVarP(&o.lifetime, "lifetime", "t", "", "most age, as 90d; 0 is no limit (a `time`)")
	f.IntVarP(&o.watermark, "watermark", "w", 0, "`percent` of the size that is left when it was exceeded (default 95)")
	f.BoolVar(&o.utc, "utc", false, "the names of the files are in UTC")
	f.Uint64VarP(&o.runtime, "runtime", "T", 0, "of nfexpire, and without effect: it ends when it is done")
	groupFlags(cmd, excludeEachOther, "expire", "list", "rescan", "update")
	groupFlags(cmd, oneOf, "expire", "list", "rescan", "update")
	return cmd
}

// expireOptions are the flags of flowgraf expire.
type expireOptions struct {
	expire, list, rescan, update string
	size, lifetime               string
	watermark                    int
	utc                          bool
	runtime                      uint64
}

func (o *expireOptions) expireFlows(out io.Writer, now time.Time) error {
	dir := o.expire + o.list + o.rescan + o.update
	if info, err := os.Stat(dir); err != nil {
		return err
	} else if !info.IsDir() {
		return usageError{fmt.Errorf("%s: expected the directory of an archive", dir)}
	}
	status, err := readStatus(dir)
	if err != nil {
		return err
	}
	limits := status.limits
	if err := o.change(&limits); err != nil {
		return usageError{err}
	}
	loc := time.Local
	if o.utc {
		loc = time.UTC
	}
	if o.expire != "" {
		if err := expireNow(out, dir, limits, loc, now); err != nil {
			return err
		}
	}
	held, err := archive.Held([]string{dir}, loc)
	if err != nil {
		return err
	}
	if o.update != "" {
		status.limits = limits
	}
	if o.update != "" || o.rescan != "" || o.expire != "" && status.exists {
		if err := status.write(dir, held); err != nil {
			return err
		}
	}
	if o.expire == "" {
		printHolding(out, held, limits)
	}
	return nil
}

// change sets the limits that are given.
func (o *expireOptions) change(l *archive.Limits) error {
	if o.size != "" {
		v, err := parseScaled(o.size, map[string]float64{"": 1, "B": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30,
			"T": 1 << 40, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30, "TB": 1 << 40})
		if err != nil {
			return fmt.Errorf("-s is %q: expected a size, as 500M or 1.5G", o.size)
		}
		l.Size = int64(v)
	}
	if o.lifetime != "" {
		hour := float64(time.Hour)
		v, err := parseScaled(o.lifetime, map[string]float64{"": hour, "H": hour, "D": 24 * hour, "W": 7 * 24 * hour,
			"M": hour / 60})
		if err != nil {
			return fmt.Errorf("-t is %q: expected a time, as 90d, 12H or 2w", o.lifetime)
		}
		l.Age = time.Duration(v)
	}
	if o.watermark != 0 {
		l.Watermark = o.watermark
	}
	return l.Check()
}

// parseScaled reads a number with one of some units behind it, of either case.
func parseScaled(text string, units map[string]float64) (float64, error) {
	number := strings.TrimRight(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
	unit := strings.ToUpper(text[len(number):])
	factor, ok := units[unit]
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || !ok || v < 0 || v*factor > math.MaxInt64/2 || math.IsNaN(v) {
		return 0, fmt.Errorf("%q is no number with a unit", text)
	}
	return v * factor, nil
}

// expireNow removes what is beyond the limits.
func expireNow(out io.Writer, dir string, limits archive.Limits, loc *time.Location, now time.Time) error {
	if limits.Size == 0 && limits.Age == 0 {
		return usageError{fmt.Errorf("%s has no limits: give some with -s or -t, or set them with -u", dir)}
	}
	done, err := archive.Expire([]string{dir}, limits, loc, now)
	fmt.Fprintf(out, "Expired files:      %d\nExpired file size:  %s\n", done.Files, inBytes(done.Bytes))
	return err
}

// printHolding prints what an archive holds, as nfexpire does.
func printHolding(out io.Writer, h archive.Holding, l archive.Limits) {
	const layout = "2006-01-02 15:04:05"
	first, last := "<none>", "<none>"
	if h.Files > 0 {
		first, last = h.First.Format(layout), h.Last.Format(layout)
	}
	size, age := "<none>", "<none>"
	if l.Size > 0 {
		size = inBytes(l.Size)
	}
	if l.Age > 0 {
		age = inSeconds(l.Age)
	}
	watermark := l.Watermark
	if watermark == 0 {
		watermark = 95
	}
	fmt.Fprintf(out, "First:     %s\nLast:      %s\nLifetime:  %s\nNumfiles:  %d\nFilesize:  %s\nMax Size:  %s\n"+
		"Max Life:  %s\nWatermark: %d%%\n", first, last, inSeconds(h.Last.Sub(h.First)), h.Files, inBytes(h.Bytes),
		size, age, watermark)
}

// inSeconds returns a time as a number of seconds, with a larger unit where it has one, as nfexpire
// writes it.
func inSeconds(d time.Duration) string {
	for _, unit := range []struct {
		name string
		time.Duration
	}{{"weeks", 7 * 24 * time.Hour}, {"days", 24 * time.Hour}, {"hours", time.Hour}, {"min", time.Minute}} {
		if d >= unit.Duration {
			return fmt.Sprintf("%d = %.1f %s", int64(d/time.Second), float64(d)/float64(unit.Duration), unit.name)
		}
	}
	return fmt.Sprintf("%d sec", int64(d/time.Second))
}

// inBytes returns a number of bytes, with a larger unit where it has one.
func inBytes(n int64) string {
	v := float64(n)
	for _, unit := range []string{"", "KB", "MB", "GB", "TB"} {
		if v < 1024 || unit == "TB" {
			if unit == "" {
				return fmt.Sprintf("%d B", n)
			}
			return fmt.Sprintf("%d = %.1f %s", n, v, unit)
		}
		v /= 1024
	}
	return ""
}

// expireStatus is what the file .nfstat of nfexpire says of a directory.
type expireStatus struct {
	exists bool
	limits archive.Limits
}

// statusName is nfexpire's file; nfdump passes over it.
const statusName = ".nfstat"

// readStatus reads it. Without one there are no limits.
func readStatus(dir string) (s expireStatus, err error) {
	text, err := readSmall(filepath.Join(dir, statusName))
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	s.exists = true
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), "=")
		n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
		if err != nil || n < 0 {
			continue
		}
		switch strings.TrimSpace(name) {
		case "maxsize":
			s.limits.Size = n
		case "lifetime":
			s.limits.Age = time.Duration(min(n, math.MaxInt64/int64(time.Second))) * time.Second
		case "watermark":
			s.limits.Watermark = int(min(n, 100))
		}
	}
	return s, nil
}

// write writes it with what the directory holds.
func (s *expireStatus) write(dir string, h archive.Holding) error {
	watermark := s.limits.Watermark
	if watermark == 0 {
		watermark = 95
	}
	first, last := max(h.First.Unix(), 0), max(h.Last.Unix(), 0)
	return disk.Replace(filepath.Join(dir, statusName), func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "first=%d\nlast=%d\nsize=%d\nmaxsize=%d\nnumfiles=%d\nlifetime=%d\nwatermark=%d\n"+
			"status=0\n", first, last, h.Bytes, s.limits.Size, h.Files, int64(s.limits.Age/time.Second), watermark)
		return err
	})
}
