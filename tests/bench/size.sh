#!/usr/bin/env bash
# What each of Telegraf's plugins costs: the size of the binary, and by how much it is
# smaller without that plugin. What two plugins share counts for neither.
#
#   tests/bench/size.sh [PLUGIN…]      such as outputs/mqtt; default: all of them
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
list=$PWD/cmd/flowgraf/plugins.go

# size: builds with the plugins in $work/plugins.go, and prints the bytes.
size() {
	printf '{"Replace": {"%s": "%s"}}' "$list" "$work/plugins.go" >"$work/overlay.json"
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-s -w' -overlay "$work/overlay.json" \
		-o "$work/flowgraf" ./cmd/flowgraf
	stat -c %s "$work/flowgraf"
}

cp "$list" "$work/plugins.go"
all=$(size)
awk -v all="$all" 'BEGIN {printf "all plugins: %.1f MB\n", all / 1e6}'
for plugin in ${*:-$(sed -n 's#^\t_ "github.com/influxdata/telegraf/plugins/\(.*\)"#\1#p' "$list")}; do
	grep -v "^	_ \"github.com/influxdata/telegraf/plugins/$plugin\"" "$list" >"$work/plugins.go"
	awk -v all="$all" -v without="$(size)" -v plugin="$plugin" \
		'BEGIN {printf "%-28s %5.2f MB\n", plugin, (all - without) / 1e6}'
done
