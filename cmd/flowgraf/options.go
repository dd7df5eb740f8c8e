package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/flowgraf/flowgraf/plugins/nffilter"
)

// Options are told by the name that they were given by: -n where it was -n, --top where it
// was that. What a command says of them begins with the short name, as in "-n is -1: …".

// wrongOption says of a command line that cannot be what is wrong with which option, where
// the library only says how it has tried to read it.
func wrongOption(cmd *cobra.Command, err error) error {
	var wrong *pflag.InvalidValueError
	if errors.As(err, &wrong) {
		return fmt.Errorf("%s is %q: %s", optionName(wrong.GetFlag()), wrong.GetValue(),
			expectedValue(wrong.GetFlag(), wrong.Unwrap()))
	}
	var lacks *pflag.ValueRequiredError
	if errors.As(err, &lacks) {
		what, _ := pflag.UnquoteUsage(lacks.GetFlag())
		return fmt.Errorf("%s: expected a value behind it: %s", optionName(lacks.GetFlag()), what)
	}
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return err
	}
	if unknown.GetSpecifiedShortnames() != "" {
		return fmt.Errorf("-%s: %s has no such option", unknown.GetSpecifiedName(), cmd.CommandPath())
	}
	var known []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			known = append(known, "--"+f.Name)
		}
	})
	name := "--" + unknown.GetSpecifiedName()
	return fmt.Errorf("%s: %s has no such option%s", name, cmd.CommandPath(), nffilter.Suggestion(name, known))
}

// expectedValue says what a flag's value is expected to be.
func expectedValue(flag *pflag.Flag, cause error) string {
	if flag.Value.Type() == "duration" {
		return "expected a time, as 30s, 5m or 1h30m"
	}
	var number *strconv.NumError
	if !errors.As(cause, &number) {
		return cause.Error()
	}
	expected := "expected a number"
	switch kind := flag.Value.Type(); {
	case kind == "bool":
		expected = "expected true or false"
	case strings.HasPrefix(kind, "uint"):
		expected = "expected a whole number from 0"
	case strings.HasPrefix(kind, "int"):
		expected = "expected a whole number"
	}
	if errors.Is(cause, strconv.ErrRange) {
		expected += ", not so large"
	}
	return expected
}

// optionName is the name by which a message knows an option.
func optionName(f *pflag.Flag) string {
	if f.Shorthand != "" {
		return "-" + f.Shorthand
	}
	return "--" + f.Name
}

// noArguments is a check that nothing stands on the command line but options.
func noArguments(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("expected options alone, got %q", args[0])
	}
	return nil
}

// groupKind is how options of a command belong together: the annotation of a flag that has its
// groups of that kind, each as the names of its options with blanks between them.
type groupKind string

const (
	excludeEachOther groupKind = "flowgraf_exclude_each_other"
	oneOf            groupKind = "flowgraf_one_of"
	allOrNone        groupKind = "flowgraf_all_or_none"
)

// groupFlags makes options of a command a group, for checkFlags. The library is told as well: it
// leaves out what is excluded when it completes a command line.
func groupFlags(cmd *cobra.Command, kind groupKind, names ...string) {
	for _, name := range names {
		f := cmd.Flags().Lookup(name)
		if f == nil {
			panic(fmt.Sprintf("%s has no option --%s", cmd.Name(), name))
		}
		if f.Annotations == nil {
			f.Annotations = map[string][]string{}
		}
		f.Annotations[string(kind)] = append(f.Annotations[string(kind)], strings.Join(names, " "))
	}
	switch kind {
	case excludeEachOther:
		cmd.MarkFlagsMutuallyExclusive(names...)
	case oneOf:
		cmd.MarkFlagsOneRequired(names...)
	case allOrNone:
		cmd.MarkFlagsRequiredTogether(names...)
	}
}

// checkFlags says which options a command lacks, and which exclude each other.
func checkFlags(cmd *cobra.Command, _ []string) (err error) {
	flags := cmd.Flags()
	flags.VisitAll(func(f *pflag.Flag) {
		if err != nil {
			return
		}
		if len(f.Annotations[cobra.BashCompOneRequiredFlag]) > 0 && !f.Changed {
			what, _ := pflag.UnquoteUsage(f)
			err = fmt.Errorf("expected --%s %s", f.Name, strings.ToUpper(what))
		}
		for _, kind := range []groupKind{excludeEachOther, oneOf, allOrNone} {
			for _, group := range f.Annotations[string(kind)] {
				if err == nil {
					err = checkGroup(flags, kind, strings.Fields(group))
				}
			}
		}
	})
	return err
}

// checkGroup checks a group of options of some kind.
func checkGroup(flags *pflag.FlagSet, kind groupKind, group []string) error {
	var all, given, lacking []string
	for _, name := range group {
		f := flags.Lookup(name)
		all = append(all, optionName(f))
		if f.Changed {
			given = append(given, optionName(f))
		} else {
			lacking = append(lacking, optionName(f))
		}
	}
	switch {
	case kind == excludeEachOther && len(given) > 1:
		return fmt.Errorf("%s exclude each other: expected one of them", strings.Join(given, " and "))
	case kind == oneOf && len(given) == 0:
		return fmt.Errorf("expected one of %s", strings.Join(all, ", "))
	case kind == allOrNone && len(given) > 0 && len(lacking) > 0:
		return fmt.Errorf("%s: expected %s too", strings.Join(given, " and "), strings.Join(lacking, " and "))
	}
	return nil
}

// asTyped gives a message with the long name of each option that the command line has by
// that name. Names stand before the first colon of a line.
func asTyped(flags *pflag.FlagSet, args []string, message string) string {
	lines := strings.Split(message, "\n")
	for i, line := range lines {
		head, rest, found := strings.Cut(line, ": ")
		words := strings.Split(head, " ")
		for k, word := range words {
			name, comma := strings.CutSuffix(word, ",")
			if len(name) != 2 || name[0] != '-' {
				continue
			}
			if f := flags.ShorthandLookup(name[1:]); f != nil && typedLong(f, args) {
				if words[k] = "--" + f.Name; comma {
					words[k] += ","
				}
			}
		}
		lines[i] = strings.Join(words, " ")
		if found {
			lines[i] += ": " + rest
		}
	}
	return strings.Join(lines, "\n")
}

// typedLong says whether a command line has an option by its long name alone.
func typedLong(f *pflag.Flag, args []string) bool {
	if end := slices.Index(args, "--"); end >= 0 {
		args = args[:end]
	}
	long := slices.ContainsFunc(args, func(arg string) bool {
		return arg == "--"+f.Name || strings.HasPrefix(arg, "--"+f.Name+"=")
	})
	return long && !slices.ContainsFunc(args, func(arg string) bool { return strings.HasPrefix(arg, "-"+f.Shorthand) })
}
