#!/usr/bin/env bash
# Builds a stock Telegraf, that of the pinned module, with the few plugins that the tests
# and benchmarks of execd need, into the file that is named. It takes the versions of
# go.mod, and what else Telegraf's command line needs.
#
#   tests/stocktelegraf.sh FILE
set -euo pipefail
file=$(realpath -m "$1")
cd "$(dirname "$0")/.."
version=$(go list -m -f '{{.Version}}' github.com/influxdata/telegraf)
if [ -x "$file" ] && "$file" version 2>/dev/null | grep -q "Telegraf ${version#v} "; then
	exit 0
fi
mkdir -p "$(dirname "$file")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp go.mod go.sum "$work"
go build -modfile="$work/go.mod" -mod=mod \
	-ldflags "-s -w -X github.com/influxdata/telegraf/internal.Version=${version#v}" \
	-tags custom,inputs.execd,inputs.netflow,outputs.execd,outputs.file,outputs.http,outputs.discard,processors.execd,parsers.influx,serializers.influx \
	-o "$work/telegraf" github.com/influxdata/telegraf/cmd/telegraf
mv "$work/telegraf" "$file"
