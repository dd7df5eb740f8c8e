package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/flowgraf/flowgraf/relay/maillog"
)

// logSource are the flags that say which log is read.
type logSource struct{ unit string }

func (l *logSource) addFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&l.unit, "unit", "flowgraf.service", "without FILE at a terminal: the journal of this `unit`")
}

// readLogs gives each log to fn: the files, "-" for the standard input, or without files what is
// piped in, and the journal when nothing is.
func (l *logSource) readLogs(ctx context.Context, in io.Reader, files []string, fn func(io.Reader) error) error {
	if len(files) == 0 {
		if f, is := in.(*os.File); is && isTerminal(f) && !isNull(f) {
			return l.readJournal(ctx, fn)
		}
		files = []string{"-"}
	}
	for _, name := range files {
		if name == "-" {
			if err := fn(in); err != nil {
				return err
			}
			continue
		}
		if err := readLogFile(name, fn); err != nil {
			return err
		}
	}
	return nil
}

// isNull tells whether a file is /dev/null, which is a device as a terminal is.
func isNull(f *os.File) bool {
	info, err := f.Stat()
	null, nullErr := os.Stat(os.DevNull)
	return err == nil && nullErr == nil && os.SameFile(info, null)
}

func readLogFile(name string, fn func(io.Reader) error) error {
	log, err := maillog.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf(`%s: no such file: expected the "logfile" of [agent], or a rotated one`, name)
	}
	if err != nil {
		return err
	}
	defer log.Close()
	if err := fn(log); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// readJournal reads what systemd's journal has of the unit.
func (l *logSource) readJournal(ctx context.Context, fn func(io.Reader) error) error {
	cmd := exec.CommandContext(ctx, "journalctl", "--quiet", "--no-pager", "--output=short-iso", "--unit="+l.unit)
	cmd.Stderr = os.Stderr
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("the journal cannot be read (%w): expected FILE, or a log on the standard input", err)
	}
	return errors.Join(fn(pipe), cmd.Wait())
}

func newQueueLogCommand() *cobra.Command {
	var source logSource
	var expression, caseSensitive, related bool
	cmd := &cobra.Command{
		Use:   "log PATTERN [FILE...]",
		Short: "Search the relay's log: all lines of each mail that matches",
		Long: `Log searches the log of outputs.smtp_relay as exigrep does exim's: PATTERN is an
id, an address, a Message-ID, a host or any other part of a line, and all lines of
each mail with such a line are printed, a mail's lines together and in order. Lines
about no mail, as refusals, are printed when they match themselves.

FILE is the "logfile" of [agent], rotated ones compressed with gzip too, oldest
first. Without FILE it reads what is piped in, or at a terminal the journal of
systemd. Lines may be as Telegraf, syslog or the journal writes them, or JSON
(logformat = "structured", journalctl -o json).`,
		Example: `  flowgraf queue log ops@example.com
  flowgraf queue log --related 5c0ffee5-187a2b3c4d5e6f70 /var/log/flowgraf/flowgraf.log
  flowgraf queue log --regexp 'C="(4|5)[0-9]+' /var/log/flowgraf/flowgraf.log.2.gz
  journalctl -u flowgraf --since today | flowgraf queue log db1.example.com`,
		Args: files(1, 1<<20, "a PATTERN and perhaps FILEs"),
		RunE: func(cmd *cobra.Command, args []string) error {
			match, err := lineMatcher(args[0], expression, caseSensitive)
			if err != nil {
				return usageError{err}
			}
			out, mails := cmd.OutOrStdout(), 0
			s := maillog.Search{Match: match, Related: related, Out: func(lines []string) error {
				if mails++; mails > 1 {
					fmt.Fprintln(out)
				}
				_, err := io.WriteString(out, strings.Join(lines, ""))
				return err
			}}
			if err := source.readLogs(cmd.Context(), cmd.InOrStdin(), args[1:], s.Read); err != nil {
				return err
			}
			if err := s.Close(); err != nil {
				return err
			}
			if mails == 0 {
				return fmt.Errorf("no line of the log has %q", args[0])
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&expression, "regexp", "E", false, "PATTERN is a regular expression (RE2)")
	f.BoolVarP(&caseSensitive, "case-sensitive", "I", false, "upper and lower case differ")
	f.BoolVarP(&related, "related", "M", false, "also the mail that a notification is about, and the other way round")
	source.addFlags(cmd)
	return cmd
}

// lineMatcher makes a test of lines. A Message-ID that we have made matches by the id in it.
func lineMatcher(pattern string, expression, caseSensitive bool) (func(string) bool, error) {
	if pattern == "" {
		return nil, errors.New("PATTERN is empty: expected an id, an address, a Message-ID or another part of a line")
	}
	text := pattern
	if !expression {
		text = regexp.QuoteMeta(pattern)
		if id := maillog.MailOf(pattern); id != "" {
			text += "|" + id
		}
	}
	if !caseSensitive {
		text = "(?i)" + text
	}
	re, err := regexp.Compile(text)
	if err != nil {
		return nil, fmt.Errorf("--regexp: %w", err)
	}
	return re.MatchString, nil
}
