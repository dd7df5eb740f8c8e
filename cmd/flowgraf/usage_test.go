package main

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// runnable calls fn with the path of each command that can be run and reads its options as
// all do: nfcapd and sendmail have those of the programs that they stand for.
func runnable(fn func(path []string, c *cobra.Command)) {
	eachCommand(newRootCommand(), func(c *cobra.Command) {
		if c.Runnable() && !c.Hidden && c.HasParent() && !c.DisableFlagParsing {
			fn(strings.Fields(c.CommandPath())[1:], c)
		}
	})
}

// tryCommand runs a command line, and tells whether the command itself has begun; the error
// is what users see.
func tryCommand(args ...string) (out string, started bool, err error) {
	root := newRootCommand()
	noteStart(root, &started)
	var b bytes.Buffer
	root.SetOut(&b)
	root.SetErr(io.Discard)
	root.SetArgs(args)
	cmd, err := root.ExecuteC()
	if err != nil {
		err = errors.New(asTyped(cmd.Flags(), args, err.Error()))
	}
	return b.String(), started, err
}

// A mistyped option is told by its name, by every command, before anything is done.
func TestUnknownOptionsAreTold(t *testing.T) {
	runnable(func(path []string, _ *cobra.Command) {
		_, started, err := tryCommand(append(slices.Clone(path), "--no-such-option")...)
		if err == nil || started || !strings.Contains(err.Error(), "no-such-option") {
			t.Errorf("%s: begun: %v; the error is %v", path, started, err)
		}
	})
}

// An option's value that cannot be is told with the option and the value, before anything
// is done: no default takes its place.
func TestImpossibleValuesAreTold(t *testing.T) {
	tried := 0
	runnable(func(path []string, c *cobra.Command) {
		c.Flags().VisitAll(func(f *pflag.Flag) {
			switch f.Value.Type() {
			case "int", "uint", "uint16", "uint32", "uint64", "int64", "float64", "duration", "bool", "number":
			default:
				return
			}
			tried++
			names := []string{"--" + f.Name}
			if f.Shorthand != "" {
				names = append(names, "-"+f.Shorthand)
			}
			for _, name := range names { // as it is written
				_, started, err := tryCommand(append(slices.Clone(path), name+"=seven")...)
				want := name + ` is "seven": expected `
				if err == nil || started || !strings.HasPrefix(err.Error(), want) {
					t.Errorf("%s %s=seven: begun: %v; the error is %v, want %s", path, name, started, err, want)
				}
			}
		})
	})
	if tried < 50 {
		t.Errorf("%d options were tried", tried)
	}
}

// What is wrong with a command line is told with the names of the options that are on it,
// and what to do, in no words of the library's.
func TestOptionsAreNamedAsTyped(t *testing.T) {
	for line, want := range map[string]string{
		"dump -n x":                         `-n is "x": expected a whole number`,
		"dump --top x":                      `--top is "x": expected a whole number`,
		"dump --top=x":                      `--top is "x": expected a whole number`,
		"dump -qnx":                         `-n is "x": expected a whole number`,
		"dump -c 1.5":                       `-c is "1.5": expected a number of flows, or 0 for all`,
		"dump --count 1.5":                  `--count is "1.5": expected a number of flows, or 0 for all`,
		"dump -r x -n -1":                   "-n is -1: expected",
		"dump -r x --top -1":                "--top is -1: expected",
		"dump -r x --order up":              `--order: unknown order "up"`,
		"dump -r x -O up":                   `-O: unknown order "up"`,
		"dump -r x --stat ip/up":            `--stat: statistic "ip/up": unknown order`,
		"dump -r x -A srcip/24":             `-A: aggregation "srcip/24": srcip/24: whose bits?`,
		"dump -r x --aggregate-by srcip/24": `--aggregate-by: aggregation "srcip/24": srcip/24: whose bits?`,
		"dump -r x -s ip --write y":         "-s with --write: ",
		"dump --read x --tree y":            "--read with --tree: ",
		"dump -n":                           "-n: expected a value behind it: ",
		"dump --top":                        "--top: expected a value behind it: ",
		"dump --topp 3":                     `--topp: flowgraf dump has no such option; did you mean "--top"?`,
		"dump -k":                           "-k: flowgraf dump has no such option",
		"replay --read x --tree y":          "--read and --tree exclude each other: expected one of them",
		"replay -r x -R y":                  "-r and -R exclude each other: expected one of them",
		"replay -r x --speed -1":            "--speed is -1: expected",
		"replay -r x -z -1":                 "-z is -1: expected",
		"expire -s 5G":                      "expected one of -e, -l, -r, -u",
		"expire x":                          `expected options alone, got "x"`,
		"web":                               "expected --archive DIR",
		"web --archive x --tls-cert y":      "--tls-cert: expected --tls-key too",
		"agent --once --test":               "--once and --test exclude each other: expected one of them",
		"anonymise --key a --key-file b":    "exclude each other: expected one of them",
	} {
		_, _, err := tryCommand(strings.Fields(line)...)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "flag") {
			t.Errorf("%s: the error is %v, want %s", line, err, want)
		}
	}
}

// --help of every command says how it is called, has examples and tells of each option
// what it does, on the standard output and without doing anything.
func TestHelpOfEveryCommand(t *testing.T) {
	runnable(func(path []string, c *cobra.Command) {
		out, started, err := tryCommand(append(slices.Clone(path), "--help")...)
		if err != nil || started {
			t.Errorf("%s --help: begun: %v; %v", path, started, err)
		}
		if want := "flowgraf " + strings.Join(path, " "); !strings.Contains(out, want) {
			t.Errorf("%s --help does not say %q:\n%s", path, want, out)
		}
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Hidden {
				return
			}
			if strings.TrimSpace(f.Usage) == "" || strings.HasSuffix(f.Usage, ".") {
				t.Errorf("%s --%s says %q of itself", path, f.Name, f.Usage)
			}
		})
	})
}

// optionsOf returns the long options of a command line in an example.
func optionsOf(words []string) (names []string) {
	for _, word := range words {
		if strings.HasPrefix(word, "#") {
			break
		}
		if name, long := strings.CutPrefix(word, "--"); long && name != "" {
			name, _, _ = strings.Cut(name, "=")
			names = append(names, name)
		}
	}
	return names
}

// Examples are what people copy: each names a command that there is, and options that it
// has.
func TestExamplesCanBeCopied(t *testing.T) {
	seen := 0
	runnable(func(path []string, c *cobra.Command) {
		for line := range strings.SplitSeq(strings.ReplaceAll(c.Example, "|", "\n"), "\n") {
			words := strings.Fields(line)
			if len(words) < 2 || words[0] != "flowgraf" {
				continue
			}
			root := newRootCommand()
			root.InitDefaultCompletionCmd()
			used, _, err := root.Find(words[1:])
			if err != nil || !used.HasParent() && !strings.HasPrefix(words[1], "-") {
				t.Errorf("%s: no command in the example %q: %v", path, line, err)
				continue
			}
			if used.DisableFlagParsing {
				continue
			}
			used.InitDefaultHelpFlag()
			for _, name := range optionsOf(words[1:]) {
				seen++
				if used.Flags().Lookup(name) == nil && used.InheritedFlags().Lookup(name) == nil {
					t.Errorf("%s: %s has no option --%s, which is in the example %q", path, used.CommandPath(), name,
						line)
				}
			}
		}
	})
	if seen < 40 {
		t.Errorf("%d options were seen", seen)
	}
}

// The agent takes Telegraf's long options with one dash, as its unit has them; what is
// somebody else's is left alone.
func TestTelegrafsOptions(t *testing.T) {
	for in, want := range map[string]string{
		"":                                "",
		"-config a.conf":                  "--config a.conf",
		"--config a.conf":                 "--config a.conf",
		"-config=a.conf -test":            "--config=a.conf --test",
		"agent -config-directory d":       "agent --config-directory d",
		"-version":                        "--version",
		"-help":                           "--help",
		"-h":                              "-h",
		"-nosuch":                         "-nosuch",
		"dump -config a":                  "dump -config a",
		"check -config a":                 "check -config a",
		"agent -- -config":                "agent -- -config",
		"agent -config a -- -config":      "agent --config a -- -config",
		"-config -config":                 "--config --config",
		"agent --config a -quiet -config": "agent --config a --quiet --config",
	} {
		args := strings.Fields(in)
		before := strings.Join(args, " ")
		if got := strings.Join(telegrafArguments(args), " "); got != want {
			t.Errorf("%q is taken as %q, want %q", in, got, want)
		}
		if strings.Join(args, " ") != before {
			t.Errorf("%q: the caller's arguments are changed", in)
		}
	}
}

// The number of files is checked, at either end, and the error says what is expected.
func TestNumberOfFiles(t *testing.T) {
	check := files(1, 2, "one file or two")
	for n, ok := range map[int]bool{0: false, 1: true, 2: true, 3: false} {
		err := check(nil, make([]string, n))
		if (err == nil) != ok || err != nil && !strings.HasPrefix(err.Error(), "expected one file or two, got ") {
			t.Errorf("%d files: %v", n, err)
		}
	}
}
