package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/flowgraf/flowgraf/plugins/inputs/netflow"
)

// TestKeepBytes: datagrams stay bytes only where nothing but outputs.nfdump can get
// them.
func TestKeepBytes(t *testing.T) {
	const (
		input   = "[[inputs.netflow]]\n  service_address = \"udp://127.0.0.1:0\"\n  metrics = [\"datagrams\"]\n"
		archive = "[[outputs.nfdump]]\n  directory = \"/nonexistent\"\n"
		file    = "[[outputs.file]]\n  files = [\"/nonexistent\"]\n"
	)
	for name, c := range map[string]struct {
		conf string
		want bool
	}{
		"archive alone":             {input + archive, true},
		"another output":            {input + archive + file, false},
		"one that drops the name":   {input + archive + file + "  namedrop = [\"netflow_datagram\"]\n", true},
		"one that drops by pattern": {input + archive + file + "  namedrop = [\"netflow_*\"]\n", true},
		"one that passes others":    {input + archive + file + "  namepass = [\"netflow\", \"cpu\"]\n", true},
		"one that passes it too":    {input + archive + file + "  namepass = [\"netflow*\"]\n", false},
		"one with filters by tag": {input + archive + file +
			"  [outputs.file.tagpass]\n    source = [\"192.0.2.1\"]\n", false},
		"a processor":            {input + archive + "[[processors.rename]]\n", false},
		"a processor for others": {input + archive + "[[processors.rename]]\n  namepass = [\"netflow\"]\n", true},
		"an aggregator":          {input + archive + "[[aggregators.basicstats]]\n", false},
		"an aggregator for others": {input + archive + "[[aggregators.basicstats]]\n  namepass = [\"netflow\"]\n",
			true},
		"another name": {input + "  name_suffix = \"_x\"\n" + archive, false},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "telegraf.conf")
			if err := os.WriteFile(path, []byte(c.conf), 0o600); err != nil {
				t.Fatal(err)
			}
			conf, err := loadConfig([]string{path}, true)
			if err != nil {
				t.Fatal(err)
			}
			keepBytes(conf)
			if got := conf.Inputs[0].Input.(*netflow.NetFlow).DatagramBytes; got != c.want {
				t.Errorf("DatagramBytes is %v", got)
			}
		})
	}
}
