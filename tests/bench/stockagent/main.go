// Command stockagent is Telegraf's agent with its own inputs.netflow, for the
// benchmarks to run beside flowgraf's: stockagent CONFIG
package main

import (
	"context"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/influxdata/telegraf/agent"
	"github.com/influxdata/telegraf/config"
	"github.com/influxdata/telegraf/logger"
	_ "github.com/influxdata/telegraf/plugins/inputs/netflow"
	_ "github.com/influxdata/telegraf/plugins/outputs/file"
	_ "github.com/influxdata/telegraf/plugins/outputs/influxdb_v2"
	_ "github.com/influxdata/telegraf/plugins/parsers/influx"
	_ "github.com/influxdata/telegraf/plugins/serializers/influx"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	c := config.NewConfig()
	if err := c.LoadAll(os.Args[1:]...); err != nil {
		log.Fatal(err)
	}
	if err := logger.SetupLogging(&logger.Config{Quiet: true}); err != nil {
		log.Fatal(err)
	}
	if err := agent.NewAgent(c).Run(ctx); err != nil && ctx.Err() == nil {
		log.Fatal(err)
	}
}
