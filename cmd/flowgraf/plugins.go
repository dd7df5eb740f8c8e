package main

// The plugins of the agent: flowgraf's own, and those of Telegraf that belong
// to the way of flows. A plugin that is imported here can be used in the
// configuration; nothing else needs to be told.
import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/influxdata/telegraf/plugins/aggregators"
	"github.com/influxdata/telegraf/plugins/inputs"
	"github.com/influxdata/telegraf/plugins/outputs"
	"github.com/influxdata/telegraf/plugins/parsers"
	"github.com/influxdata/telegraf/plugins/processors"
	"github.com/influxdata/telegraf/plugins/secretstores"
	"github.com/influxdata/telegraf/plugins/serializers"

	_ "github.com/influxdata/telegraf/plugins/aggregators/basicstats"
	_ "github.com/influxdata/telegraf/plugins/aggregators/final"
	_ "github.com/influxdata/telegraf/plugins/aggregators/histogram"
	_ "github.com/influxdata/telegraf/plugins/aggregators/merge"
	_ "github.com/influxdata/telegraf/plugins/aggregators/minmax"
	_ "github.com/influxdata/telegraf/plugins/aggregators/quantile"
	_ "github.com/influxdata/telegraf/plugins/inputs/cpu"
	_ "github.com/influxdata/telegraf/plugins/inputs/disk"
	_ "github.com/influxdata/telegraf/plugins/inputs/diskio"
	_ "github.com/influxdata/telegraf/plugins/inputs/exec"
	_ "github.com/influxdata/telegraf/plugins/inputs/execd"
	_ "github.com/influxdata/telegraf/plugins/inputs/file"
	_ "github.com/influxdata/telegraf/plugins/inputs/http_listener_v2"
	_ "github.com/influxdata/telegraf/plugins/inputs/influxdb_v2_listener"
	_ "github.com/influxdata/telegraf/plugins/inputs/kafka_consumer"
	_ "github.com/influxdata/telegraf/plugins/inputs/kernel"
	_ "github.com/influxdata/telegraf/plugins/inputs/mem"
	_ "github.com/influxdata/telegraf/plugins/inputs/nats_consumer"
	_ "github.com/influxdata/telegraf/plugins/inputs/net"
	_ "github.com/influxdata/telegraf/plugins/inputs/ping"
	_ "github.com/influxdata/telegraf/plugins/inputs/processes"
	_ "github.com/influxdata/telegraf/plugins/inputs/snmp"
	_ "github.com/influxdata/telegraf/plugins/inputs/syslog"
	_ "github.com/influxdata/telegraf/plugins/inputs/system"
	_ "github.com/influxdata/telegraf/plugins/inputs/tail"
	_ "github.com/influxdata/telegraf/plugins/outputs/http"
	_ "github.com/influxdata/telegraf/plugins/outputs/influxdb"
	_ "github.com/influxdata/telegraf/plugins/outputs/influxdb_v2"
	_ "github.com/influxdata/telegraf/plugins/outputs/influxdb_v3"
	_ "github.com/influxdata/telegraf/plugins/outputs/kafka"
	_ "github.com/influxdata/telegraf/plugins/outputs/loki"
	_ "github.com/influxdata/telegraf/plugins/outputs/mqtt"
	_ "github.com/influxdata/telegraf/plugins/outputs/nats"
	_ "github.com/influxdata/telegraf/plugins/outputs/opensearch"
	_ "github.com/influxdata/telegraf/plugins/outputs/postgresql"
	_ "github.com/influxdata/telegraf/plugins/outputs/prometheus_client"
	_ "github.com/influxdata/telegraf/plugins/parsers/csv"
	_ "github.com/influxdata/telegraf/plugins/parsers/grok"
	_ "github.com/influxdata/telegraf/plugins/parsers/influx"
	_ "github.com/influxdata/telegraf/plugins/parsers/json"
	_ "github.com/influxdata/telegraf/plugins/parsers/value"
	_ "github.com/influxdata/telegraf/plugins/processors/converter"
	_ "github.com/influxdata/telegraf/plugins/processors/date"
	_ "github.com/influxdata/telegraf/plugins/processors/dedup"
	_ "github.com/influxdata/telegraf/plugins/processors/enum"
	_ "github.com/influxdata/telegraf/plugins/processors/filter"
	_ "github.com/influxdata/telegraf/plugins/processors/ifname"
	_ "github.com/influxdata/telegraf/plugins/processors/lookup"
	_ "github.com/influxdata/telegraf/plugins/processors/override"
	_ "github.com/influxdata/telegraf/plugins/processors/regex"
	_ "github.com/influxdata/telegraf/plugins/processors/rename"
	_ "github.com/influxdata/telegraf/plugins/processors/reverse_dns"
	_ "github.com/influxdata/telegraf/plugins/processors/starlark"
	_ "github.com/influxdata/telegraf/plugins/processors/strings"
	_ "github.com/influxdata/telegraf/plugins/processors/tag_limit"
	_ "github.com/influxdata/telegraf/plugins/processors/topk"
	_ "github.com/influxdata/telegraf/plugins/secretstores/docker"
	_ "github.com/influxdata/telegraf/plugins/secretstores/googlecloud"
	_ "github.com/influxdata/telegraf/plugins/secretstores/http"
	_ "github.com/influxdata/telegraf/plugins/secretstores/jose"
	_ "github.com/influxdata/telegraf/plugins/secretstores/oauth2"
	_ "github.com/influxdata/telegraf/plugins/secretstores/os"
	_ "github.com/influxdata/telegraf/plugins/secretstores/systemd"
	_ "github.com/influxdata/telegraf/plugins/serializers/csv"
	_ "github.com/influxdata/telegraf/plugins/serializers/json"

	_ "github.com/flowgraf/flowgraf/outputs/file"
	_ "github.com/flowgraf/flowgraf/outputs/nfdump"
	_ "github.com/flowgraf/flowgraf/outputs/smtp_relay"
	_ "github.com/flowgraf/flowgraf/plugins/inputs/netflow"
	_ "github.com/flowgraf/flowgraf/plugins/inputs/selfstats"
	_ "github.com/flowgraf/flowgraf/plugins/inputs/smtp_relay"
	_ "github.com/flowgraf/flowgraf/plugins/processors/netflow"
	_ "github.com/flowgraf/flowgraf/plugins/serializers/influx"
)

// undefinedPlugin is Telegraf's complaint about a plugin that is not linked.
var undefinedPlugin = regexp.MustCompile(`^(.*?)undefined but requested (\w+?)s?: ([\w.-]*)$`)

// whatIsThere replaces a complaint about a plugin that is not linked by one that tells
// which of its kind are, and how to have it besides flowgraf's. Other texts stay.
func whatIsThere(text string) string {
	m := undefinedPlugin.FindStringSubmatch(text)
	if m == nil {
		return text
	}
	kind, name := m[2], m[3]
	what := kind + "s." + name
	if kind == "parser" || kind == "serializer" {
		what = m[1] + kind + " " + name
	}
	return fmt.Sprintf("%s is not in flowgraf, which has the %ss %s; for others run flowgraf's plugins in a stock "+
		"Telegraf, see flowgraf plugin --help", what, kind, strings.Join(linked(kind), ", "))
}

// linked lists the plugins of a kind.
func linked(kind string) []string {
	switch kind {
	case "input":
		return slices.Sorted(maps.Keys(inputs.Inputs))
	case "output":
		return slices.Sorted(maps.Keys(outputs.Outputs))
	case "processor":
		return slices.Sorted(maps.Keys(processors.Processors))
	case "aggregator":
		return slices.Sorted(maps.Keys(aggregators.Aggregators))
	case "parser":
		return slices.Sorted(maps.Keys(parsers.Parsers))
	case "serializer":
		return slices.Sorted(maps.Keys(serializers.Serializers))
	case "secretstore":
		return slices.Sorted(maps.Keys(secretstores.SecretStores))
	}
	return nil
}
