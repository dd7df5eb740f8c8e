package main

import (
	_ "embed"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/plugins/inputs"
	"github.com/influxdata/telegraf/plugins/outputs"
)

//go:generate sh -c "trap 'rm -f s.tmp' 0; go run . config >s.tmp && mv s.tmp ../../telegraf.conf.sample"

//go:embed sample_head.conf
var sampleHead string

func newConfigCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "config",
		Short: "Print a sample telegraf.conf",
		Long: `Config prints a telegraf.conf to start from: flows in on UDP port 2055, metrics
into an InfluxDB on this machine, the raw records into an nfdump archive, and the
mail relay. It is assembled from the sample configurations of the plugins, with
every option explained.`,
		Example: `  flowgraf config >telegraf.conf`,
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return writeSample(cmd.OutOrStdout())
		},
	}
}

// sampleEdit is a change to a plugin's own sample where the plugins have to
// work together.
type sampleEdit struct{ from, to string }

// The changes to the samples.
var (
	sampleNetflow = []sampleEdit{{
		`  # metrics = ["flows", "options", "exporters"]`,
		`  metrics = ["flows", "options", "exporters", "datagrams"]`,
	}}
	sampleInfluxDB = []sampleEdit{
		{`  # urls = ["http://127.0.0.1:8086"]`, `  urls = ["http://127.0.0.1:8086"]`},
		{"[[outputs.influxdb]]\n",
			"[[outputs.influxdb]]\n  ## Raw datagrams are for the archive.\n  namedrop = [\"netflow_datagram\"]\n\n"},
	}
)

// writeSample writes the assembled sample configuration.
func writeSample(out io.Writer) error {
	parts := []string{sampleHead}
	for _, p := range []struct {
		plugin telegraf.PluginDescriber
		edits  []sampleEdit
	}{
		{inputs.Inputs["netflow"](), sampleNetflow},
		{inputs.Inputs["smtp_relay"](), nil},
		{outputs.Outputs["influxdb"](), sampleInfluxDB},
		{outputs.Outputs["nfdump"](), nil},
		{outputs.Outputs["smtp_relay"](), nil},
	} {
		text := strings.TrimSpace(p.plugin.SampleConfig()) + "\n"
		for _, e := range p.edits {
			if !strings.Contains(text, e.from) {
				return fmt.Errorf("the sample configuration no longer has %q", e.from)
			}
			text = strings.Replace(text, e.from, e.to, 1)
		}
		parts = append(parts, text)
	}
	_, err := io.WriteString(out, strings.Join(parts, "\n"))
	return err
}
