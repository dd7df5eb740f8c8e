// Command stockshim is Telegraf's own inputs.netflow behind Telegraf's own shim, for the
// benchmark of execd to run beside flowgraf plugin: stockshim -config FILE
package main

import (
	"flag"
	"log"

	_ "github.com/influxdata/telegraf/plugins/inputs/netflow"

	"github.com/influxdata/telegraf/plugins/common/shim"
)

func main() {
	file := flag.String("config", "", "configuration")
	flag.Parse()
	s := shim.New()
	if err := s.LoadConfig(file); err != nil {
		log.Fatal(err)
	}
	if err := s.Run(shim.PollIntervalDisabled); err != nil {
		log.Fatal(err)
	}
}
