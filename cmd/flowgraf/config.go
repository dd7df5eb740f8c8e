package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/influxdata/telegraf/config"
)

// configFiles returns the files to load: those named, those in the named
// directories, or Telegraf's own default places when nothing is named.
func configFiles(files, directories []string) ([]string, error) {
	all := append([]string(nil), files...)
	for _, dir := range directories {
		if info, err := os.Stat(dir); err != nil {
			return nil, err
		} else if !info.IsDir() {
			return nil, fmt.Errorf("%s is a file: expected a directory, use --config for files", dir)
		}
		found, err := config.WalkDirectory(dir)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	if len(all) > 0 {
		return all, nil
	}
	return config.GetDefaultConfigPath()
}

// snapshot keeps the files of a configuration as they were first read: what was tried is
// what runs, whoever writes the files meanwhile. The zero value has read nothing.
type snapshot struct {
	files []string
	data  map[string][]byte
}

// list gives the files of a configuration, see configFiles.
func (s *snapshot) list(files, directories []string) ([]string, error) {
	var err error
	if s.files == nil {
		s.files, err = configFiles(files, directories)
	}
	return s.files, err
}

// readOnce gives a file's text.
func (s *snapshot) readOnce(file string) ([]byte, error) {
	if data, known := s.data[file]; known {
		return data, nil
	}
	data, _, err := config.LoadConfigFile(file)
	if err == nil {
		if s.data == nil {
			s.data = map[string][]byte{}
		}
		s.data[file] = data
	}
	return data, err
}

// loadConfig loads the files into one configuration. Errors name file and line.
func loadConfig(files []string, quiet bool) (*config.Config, error) {
	return new(snapshot).load(config.NewConfig(), files, quiet)
}

// trialConfig gives an empty configuration that is not run: the buffers of the outputs on
// disk, which a running agent may have open, stay closed.
func trialConfig() *config.Config {
	c := config.NewConfig()
	c.TestMode = true
	return c
}

// load loads the files into c.
func (s *snapshot) load(c *config.Config, files []string, quiet bool) (*config.Config, error) {
	config.ResetSecrets() // a reference of a configuration that was refused would be looked up for good
	c.Agent.Quiet = quiet
	for _, file := range files {
		data, err := s.readOnce(file)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s: no such configuration file", file)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		if err := c.LoadConfigData(data, file); err != nil {
			if _, mistake := syntaxMistake(file, data, err); mistake != nil {
				return nil, mistake
			}
			return nil, locate(file, data, "", 0, err)
		}
	}
	// Without files it only puts in order what has been loaded, and links the
	// secrets to their stores.
	if err := c.LoadAll(); err != nil {
		return nil, err
	}
	return c, nil
}

// runningPlugin is a configured plugin: where it stands in the configuration
// and the plugin itself.
type runningPlugin struct {
	kind   string // inputs, outputs, …
	name   string
	alias  string
	source string // file
	nth    int    // among those of the same kind, name and file, from 0
	init   func() error
	plugin any
	wrong  bool // its options are refused

	nameOverride string // of an input's metrics
}

// label returns the name by which logs call the plugin.
func (p runningPlugin) label() string {
	if p.alias != "" {
		return p.kind + "." + p.name + "::" + p.alias
	}
	return p.kind + "." + p.name
}

// runningPlugins lists the configured plugins in the order in which the agent
// initialises them.
func runningPlugins(c *config.Config) []runningPlugin {
	var list []runningPlugin
	count := map[string]int{}
	add := func(kind, name, alias, source string, init func() error, plugin any) {
		key := kind + "\x00" + name + "\x00" + source
		list = append(list, runningPlugin{kind: kind, name: name, alias: alias, source: source, nth: count[key],
			init: init, plugin: plugin})
		count[key]++
	}
	for _, p := range c.Inputs {
		add("inputs", p.Config.Name, p.Config.Alias, p.Config.Source, p.Init, p.Input)
		list[len(list)-1].nameOverride = p.Config.NameOverride
	}
	// AggProcessors are the same processors again, for the aggregators' metrics.
	for _, p := range c.Processors {
		add("processors", p.Config.Name, p.Config.Alias, p.Config.Source, p.Init, p.Processor)
	}
	for _, p := range c.Aggregators {
		add("aggregators", p.Config.Name, p.Config.Alias, p.Config.Source, p.Init, p.Aggregator)
	}
	for _, p := range c.Outputs {
		add("outputs", p.Config.Name, p.Config.Alias, p.Config.Source, p.Init, p.Output)
	}
	return list
}

// initPlugins initialises every plugin, which checks its options and does not
// touch the network. The configuration can't be run afterwards: a plugin is
// initialised once. All errors are returned, with file and line.
func initPlugins(c *config.Config) error {
	var errs []error
	for _, p := range runningPlugins(c) {
		errs = append(errs, p.initialise())
	}
	return errors.Join(errs...)
}

// initialise has the plugin check its options. Each error has file and line.
func (p runningPlugin) initialise() error {
	var errs []error
	for _, err := range each(p.init()) {
		data, _, readErr := config.LoadConfigFile(p.source)
		if readErr != nil {
			errs = append(errs, fmt.Errorf("%s: %s: %w", p.source, p.label(), err))
			continue
		}
		err = fmt.Errorf("%s: %w", p.label(), err)
		errs = append(errs, locate(p.source, data, p.kind+"."+p.name, p.nth, err))
	}
	return errors.Join(errs...)
}

// each gives the errors that errors.Join has put together.
func each(err error) (list []error) {
	joined, ok := err.(interface{ Unwrap() []error })
	switch {
	case err == nil:
		return nil
	case !ok || strings.Count(err.Error(), "\n") < len(joined.Unwrap())-1: // other words hold them together
		return []error{err}
	}
	for _, err := range joined.Unwrap() {
		list = append(list, each(err)...)
	}
	return list
}

var (
	tableLine  = regexp.MustCompile(`^\s*\[\[?\s*([\w.-]+)\s*\]\]?`)
	optionLine = regexp.MustCompile(`^\s*"?([\w.-]+)"?\s*=`)
	errorLine  = regexp.MustCompile(`\bline (\d+)(:\d+)?[,:]? ?`)
	// A string, in either of TOML's quotes.
	stringValue = regexp.MustCompile(`["']([^"']+)["']`)
	quotedName  = regexp.MustCompile(`"([\w.-]+)"`)
	// A table inside a plugin's, by its number.
	numberedTable = regexp.MustCompile(`: (\w+) (\d+) \("`)
	inPlugin      = regexp.MustCompile(`(?:plugin |parsing |requested )(?:\w+: )?([\w.-]+)`)
)

// locate puts file and line in front of an error of the configuration.
// Telegraf gives the line of a table at best: where the error names an option
// that stands in the plugin's table, its line is found in the text. table is
// "inputs.netflow" and nth which of them, or empty when only the error knows.
func locate(file string, data []byte, table string, nth int, err error) error {
	line, text := place(data, table, nth, err)
	if there := whatIsThere(text); there != text {
		err, text = errors.New(there), there
	}
	if line > 0 {
		return fmt.Errorf("%s:%d: %s", file, line, text)
	}
	return fmt.Errorf("%s: %w", file, err)
}

// place gives the line of an error, 0 when it is not known, and the error's text
// without a line in it.
func place(data []byte, table string, nth int, err error) (line int, text string) {
	text = err.Error()
	fields := strings.Contains(text, "but they were not used")
	if m := errorLine.FindStringSubmatch(text); m != nil && !fields && table == "" { // a plugin's is of another file
		line, _ = strconv.Atoi(m[1])
		return line, strings.Replace(text, m[0], "", 1)
	}
	names := map[string]bool{}
	for _, m := range quotedName.FindAllStringSubmatch(text, -1) {
		names[m[1]] = true
	}
	if table == "" {
		table, nth = "agent", -1
		if m := inPlugin.FindStringSubmatch(text); m != nil {
			table = m[1]
		}
	}
	if m := numberedTable.FindStringSubmatch(text); m != nil && nth >= 0 {
		inner, _ := strconv.Atoi(m[2])
		if data, line = onlyInner(data, table, nth, m[1], inner-1, text); line > 0 {
			return line, text
		}
	}
	if line = findLine(data, table, nth, text, names); line > 0 {
		if fields {
			text = errorLine.ReplaceAllString(text, "")
		}
		return line, text
	}
	return 0, text
}

// quotesValue says whether text has a string that stands behind the equals sign
// of line.
func quotesValue(text string, line []byte) bool {
	_, value, _ := bytes.Cut(line, []byte("="))
	for _, m := range stringValue.FindAllSubmatch(value, -1) {
		if strings.Contains(text, strconv.Quote(string(m[1]))) {
			return true
		}
	}
	return false
}

// namesBoth says whether text has an option's name in front of a colon, and the value
// that stands behind the equals sign of line: of the tables inside a plugin's, this is it.
func namesBoth(text, name string, line []byte) bool {
	text, _, _ = strings.Cut(text, "; did you mean") // what it suggests may stand elsewhere
	_, value, _ := bytes.Cut(line, []byte("="))
	number := bytes.TrimSpace(value)
	return strings.Contains(text, name+": ") && (quotesValue(text, line) ||
		len(number) > 0 && strings.HasSuffix(text, "got "+string(number)))
}

// onlyInner empties all lines of the nth table of a plugin but its first and those of the
// inner-th of the tables of a name inside it. at is the line of that table which has the
// option that an error names, 0 without: the value may stand there otherwise than the error
// has it, as 90m for 1h30m0s.
func onlyInner(data []byte, table string, nth int, name string, inner int, text string) (rest []byte, at int) {
	option := ""
	if m := innerOption.FindStringSubmatch(text); m != nil {
		option = m[1]
	}
	lines := bytes.Split(data, []byte("\n"))
	seen, seenInner, inside := -1, -1, false
	for i, line := range lines {
		if m := tableLine.FindSubmatch(line); m != nil {
			inside = false
			switch string(m[1]) {
			case table:
				seen++
				continue
			case table + "." + name:
				if seen == nth {
					seenInner++
					inside = seenInner == inner
				}
			}
		}
		if m := optionLine.FindSubmatch(line); m != nil && inside && string(m[1]) == option {
			at = i + 1
		}
		if seen == nth && !inside {
			lines[i] = nil
		}
	}
	return bytes.Join(lines, []byte("\n")), at
}

// innerOption is the option that an error of a table inside a plugin's is about, behind the
// name of the table.
var innerOption = regexp.MustCompile(`"\): (\w+): `)

// findLine returns the line of the first option in the nth table (any when nth
// is negative) that the error names, with its value rather than without, else the line of
// the table, else 0.
func findLine(data []byte, table string, nth int, text string, quoted map[string]bool) int {
	inside, seen, tableAt, named := false, -1, 0, 0
	for i, line := range bytes.Split(data, []byte("\n")) {
		if m := tableLine.FindSubmatch(line); m != nil {
			name := string(m[1])
			if strings.HasPrefix(name, table+".") && inside {
				continue // a table inside the plugin's
			}
			inside = table != "" && (name == table || strings.HasSuffix(name, "."+table))
			if inside {
				seen++
				inside = nth < 0 || seen == nth
			}
			if inside && tableAt == 0 {
				tableAt = i + 1
			}
			continue
		}
		if m := optionLine.FindSubmatch(line); m != nil && inside {
			name := string(m[1])
			if namesBoth(text, name, line) {
				return i + 1
			}
			if named == 0 && (quoted[name] || len(name) > 3 && strings.Contains(text, name) ||
				quotesValue(text, line)) {
				named = i + 1
			}
		}
	}
	return cmp.Or(named, tableAt)
}
