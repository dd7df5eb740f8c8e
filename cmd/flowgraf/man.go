package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
	"github.com/spf13/pflag"
)

func newManCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "man DIR",
		Short: "Write the man pages of all commands",
		Long: `Man writes a man page for flowgraf and one for each of its commands, as
flowgraf-dump.1, into a directory, which it makes. Their text is that of --help. make
install does so, and installs completions for bash, zsh and fish, which flowgraf
completion writes.

The date of the pages is today's, or that of SOURCE_DATE_EPOCH.`,
		Example: `  flowgraf man /usr/local/share/man/man1
  flowgraf man . && man ./flowgraf-dump.1
  flowgraf completion bash >/etc/bash_completion.d/flowgraf`,
		Args: files(1, 1, "one DIR to write the pages into"),
		RunE: func(_ *cobra.Command, args []string) error { return writeMan(args[0]) },
	}
}

// writeMan writes the man pages into a directory.
func writeMan(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	root := newRootCommand()
	root.DisableAutoGenTag = true
	eachCommand(root, func(c *cobra.Command) {
		c.Short, c.Long = markdown(c.Short), markdown(c.Long)
		c.Flags().VisitAll(func(f *pflag.Flag) { f.Usage = escaped.Replace(f.Usage) })
		c.PersistentFlags().VisitAll(func(f *pflag.Flag) { f.Usage = escaped.Replace(f.Usage) })
	})
	err := doc.GenManTree(root, &doc.GenManHeader{Section: "1", Source: "flowgraf " + root.Version,
		Manual: "flowgraf"}, dir)
	if err != nil {
		return fmt.Errorf("man pages in %s: %w", dir, err)
	}
	return nil
}

// eachCommand calls fn for a command and all below it.
func eachCommand(c *cobra.Command, fn func(*cobra.Command)) {
	fn(c)
	for _, below := range c.Commands() {
		eachCommand(below, fn)
	}
}

// escaped makes text what Markdown, of which man pages are made, leaves as it is.
var escaped = strings.NewReplacer(`\`, `\\`, "*", `\*`, "_", `\_`, "<", `\<`, ">", `\>`, "[", `\[`, "]", `\]`,
	"#", `\#`, "|", `\|`, "~", `\~`)

// markdown makes Markdown of a text: lines that are indented stay as they are.
func markdown(text string) string {
	var b strings.Builder
	indented := false
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "  ") && strings.TrimSpace(line) != "" {
			if !indented {
				b.WriteString("\n")
			}
			indented = true
			b.WriteString("    " + strings.TrimPrefix(line, "  "))
			continue
		}
		indented = false
		b.WriteString(escaped.Replace(line))
	}
	return b.String()
}
