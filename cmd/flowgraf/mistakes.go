package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/config"
	"github.com/influxdata/telegraf/plugins/inputs"
	"github.com/influxdata/telegraf/plugins/outputs"
	"github.com/influxdata/telegraf/plugins/processors"
	"github.com/influxdata/toml"
	"github.com/influxdata/toml/ast"

	"github.com/flowgraf/flowgraf/plugins/nffilter"
)

// maxMistakes bounds how often a file is loaded to find all that is wrong with it.
const maxMistakes = 50

// loadAll loads the files as loadConfig does, and goes on behind mistakes: what is
// wrong is taken out, and the rest is loaded again. Errors name file and line. The
// configuration is what remains, nil when that cannot be loaded; lost are the names of
// the options that were taken out, by file.
func loadAll(files []string, quiet bool) (c *config.Config, lost map[string][]string, errs []error) {
	c, lost = config.NewConfig(), map[string][]string{}
	c.Agent.Quiet = quiet
	for _, file := range files {
		data, _, err := config.LoadConfigFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			err = errors.New("no such configuration file")
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", file, err))
			continue
		}
		right, mistakes := withoutMistakes(file, data)
		slices.SortStableFunc(mistakes, func(a, b error) int { return lineOf(file, a) - lineOf(file, b) })
		errs = append(errs, mistakes...)
		if right == nil {
			continue
		}
		lost[file] = missing(data, right)
		if err := c.LoadConfigData(right, file); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", file, err))
		}
	}
	if err := c.LoadAll(); err != nil {
		return nil, lost, append(errs, err)
	}
	return c, lost, errs
}

// missing gives the names of the options whose lines are emptied in right.
func missing(data, right []byte) (names []string) {
	rest := bytes.Split(right, []byte("\n"))
	for i, line := range bytes.Split(data, []byte("\n")) {
		if m := optionLine.FindSubmatch(line); m != nil && i < len(rest) && len(rest[i]) == 0 {
			names = append(names, string(m[1]))
		}
	}
	return names
}

// withoutConsequences leaves out what a plugin says about options that were taken out
// because something else is wrong with them. All errors begin with where they are.
func withoutConsequences(err error, label string, lost []string) error {
	var errs []error
	for _, err := range each(err) {
		_, text, _ := strings.Cut(err.Error(), label+": ")
		if !slices.ContainsFunc(lost, func(name string) bool {
			rest, found := strings.CutPrefix(text, name)
			return found && (rest == "" || rest[0] == ' ' || rest[0] == ':')
		}) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// lineOf gives the line that an error of a file begins with, 0 without one.
func lineOf(file string, err error) (line int) {
	fmt.Sscanf(strings.TrimPrefix(err.Error(), file), ":%d", &line)
	return line
}

// withoutMistakes gives a file without what Telegraf refuses in it, with its lines
// where they were, and what that was. It gives nil when a mistake hides the rest.
func withoutMistakes(file string, data []byte) ([]byte, []error) {
	var errs []error
	for range maxMistakes {
		err := config.NewConfig().LoadConfigData(data, file)
		if err == nil {
			return data, errs
		}
		if cut, mistake := syntaxMistake(file, data, err); mistake != nil {
			errs = append(errs, mistake)
			data = cut.emptied(data)
			continue
		}
		var found []error
		next := data
		if m := unusedFields.FindStringSubmatch(err.Error()); m != nil {
			found, next = unusedOptions(file, data, m[1], m[2])
		}
		if len(found) == 0 {
			found = []error{locate(file, data, "", 0, err)}
			line, _ := place(data, "", 0, err)
			next = without(data, line)
		}
		errs = append(errs, found...)
		if bytes.Equal(next, data) {
			return nil, errs
		}
		data = next
	}
	return nil, append(errs, fmt.Errorf("%s: more mistakes than %d are not looked for", file, maxMistakes))
}

// unusedFields is Telegraf's complaint about options that a plugin does not have, or
// that [agent] does not have: those of all tables of the plugin, by name.
var unusedFields = regexp.MustCompile(`^(?:plugin ([\w.-]+): )?line \d+: ` +
	`configuration specified the fields \[(.*?)\], but they were not used`)

// unusedOptions gives an error for each place of an unknown option, and the file
// without them. An option that is unknown in one place of a plugin may be known in
// another one: each is asked for alone.
func unusedOptions(file string, data []byte, table, names string) (errs []error, rest []byte) {
	if table == "" {
		table = "agent"
	}
	rest = data
	for _, m := range quotedName.FindAllStringSubmatch(names, -1) {
		places := slices.DeleteFunc(options(data), func(o option) bool { return o.name != m[1] || o.table != table })
		for i, o := range places {
			alone := only(data, table)
			for k, other := range places {
				if k != i {
					alone = without(alone, other.line)
				}
			}
			if err := config.NewConfig().LoadConfigData(alone, file); err == nil ||
				!strings.Contains(err.Error(), m[0]) {
				continue
			}
			errs = append(errs, fmt.Errorf("%s:%d: %s: unknown option %q%s", file, o.line, table, o.name,
				similarOption(table, o.name)))
			rest = without(rest, o.line)
		}
	}
	return errs, rest
}

// sampleOption is an option in a sample configuration, mostly behind a comment sign.
var sampleOption = regexp.MustCompile(`(?m)^[ \t#]*(\w+) = `)

// similarOption suggests the option of a plugin that was probably meant, "" without a good
// guess. What there is stands in the plugin's sample configuration.
func similarOption(table, name string) string {
	kind, plugin, _ := strings.Cut(table, ".")
	var sample telegraf.PluginDescriber
	if creator := inputs.Inputs[plugin]; kind == "inputs" && creator != nil {
		sample = creator()
	}
	if creator := outputs.Outputs[plugin]; kind == "outputs" && creator != nil {
		sample = creator()
	}
	if creator := processors.Processors[plugin]; kind == "processors" && creator != nil {
		sample = creator()
	}
	if sample == nil {
		return ""
	}
	var known []string
	for _, m := range sampleOption.FindAllStringSubmatch(sample.SampleConfig(), -1) {
		known = append(known, m[1])
	}
	return nffilter.Suggestion(name, known)
}

// only empties all lines but those of one plugin's tables. Telegraf loads tables in
// no order: the complaint about the plugin comes first then.
func only(data []byte, table string) []byte {
	var out bytes.Buffer
	inside, known := false, linesOf(data)
	number := 0
	for line := range bytes.Lines(data) {
		number++
		if m := tableLine.FindSubmatch(line); m != nil && known[number] { // else it stands in a text
			name := string(m[1])
			inside = name == table || strings.HasPrefix(name, table+".")
		}
		if inside {
			out.Write(line)
		} else {
			out.WriteByte('\n')
		}
	}
	return out.Bytes()
}

// option is where an option stands, and in which plugin's table.
type option struct {
	name, table string
	line        int
}

// options lists all options of a file, those of tables inside a plugin's under the
// plugin's.
func options(data []byte) (list []option) {
	root, err := toml.Parse(data)
	if err != nil {
		return nil
	}
	lines := bytes.Split(data, []byte("\n"))
	var walk func(t *ast.Table, path []string, table string)
	walk = func(t *ast.Table, path []string, table string) {
		if len(path) == 2 || len(path) == 1 && path[0] == "agent" {
			table = strings.Join(path, ".")
		}
		for name, value := range t.Fields {
			inner := append(slices.Clip(path), name)
			switch value := value.(type) {
			case *ast.KeyValue:
				list = append(list, option{name, table, beginning(lines, name, value.Line)})
			case *ast.Table:
				list = append(list, option{name, table, value.Line})
				walk(value, inner, table)
			case []*ast.Table:
				for _, each := range value {
					list = append(list, option{name, table, each.Line})
					walk(each, inner, table)
				}
			}
		}
	}
	walk(root, nil, "")
	slices.SortFunc(list, func(a, b option) int { return a.line - b.line })
	return list
}

// linesOf gives the lines where options and tables begin.
func linesOf(data []byte) map[int]bool {
	lines := map[int]bool{}
	for _, o := range options(data) {
		lines[o.line] = true
	}
	return lines
}

// beginning gives the line where an option's name stands, from one of its value's.
func beginning(lines [][]byte, name string, line int) int {
	for i := min(line, len(lines)); i > 0; i-- {
		if m := optionLine.FindSubmatch(lines[i-1]); m != nil && string(m[1]) == name {
			return i
		}
	}
	return line
}

// without empties the lines of what begins at a line: an option up to the next one,
// or a table up to the next one beside it. Without such a thing it gives data itself.
func without(data []byte, line int) []byte {
	lines := bytes.SplitAfter(data, []byte("\n"))
	if line < 1 || line > len(lines) {
		return data
	}
	end := len(lines) + 1
	all := options(data)
	begins := func(line int) bool { // what looks like a table may stand in a text
		return slices.ContainsFunc(all, func(o option) bool { return o.line == line })
	}
	if !begins(line) {
		return data
	}
	if header := tableLine.FindSubmatch(lines[line-1]); header != nil {
		for i := line; i < len(lines); i++ {
			if m := tableLine.FindSubmatch(lines[i]); m != nil && begins(i+1) &&
				!strings.HasPrefix(string(m[1]), string(header[1])+".") {
				end = i + 1
				break
			}
		}
	} else {
		for _, o := range all {
			if o.line > line {
				end = o.line
				break
			}
		}
	}
	out := slices.Clone(lines)
	for i := line - 1; i < end-1; i++ {
		if bytes.HasSuffix(out[i], []byte("\n")) {
			out[i] = []byte("\n")
		} else {
			out[i] = nil
		}
	}
	return bytes.Join(out, nil)
}
