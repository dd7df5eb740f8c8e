#!/usr/bin/env bash
# flowgraf's plugins behind a stock Telegraf's execd, beside Telegraf's own inputs.netflow
# in the same Telegraf and Telegraf's own shim; in turns in one run, medians of TURNS.
#
#   tests/bench/execd.sh [FLOWS [RATE [TURNS]]]
#
# CPU is user and system time of the process that has the input, while the traffic runs:
# the plugin's own, and that of Telegraf, which reads its lines and discards them.
# Throughput is how many metrics of flows a second go through plugin, pipe and Telegraf.
set -euo pipefail
. "$(dirname "$0")/setup.sh"
flows=${1:-200000} rate=${2:-20000} turns=${3:-3}
tests/stocktelegraf.sh build/telegraf
go build -o "$work/stockshim" ./tests/bench/stockshim
hz=$(getconf CLK_TCK)
port=29800

# config COMMAND…: a Telegraf with a program behind inputs.execd, or with its own input.
config() {
	default_agent_section
	if [ $# -gt 0 ]; then
		printf '[[inputs.execd]]\n  command = ['
		printf '"%s", ' "$@"
		printf ']\n  signal = "STDIN"\n  data_format = "influx"\n'
	else
		plugin
	fi
	printf '[[outputs.discard]]\n'
}

# plugin: the input's own table.
plugin() {
	printf '[[inputs.netflow]]\n  service_address = "udp4://127.0.0.1:%d"\n  read_buffer_size = "16MB"\n' "$port"
}

# measure NAME PID…: sends flows and keeps what one has cost the processes.
measure() {
	local name=$1 before=0 after=0 p
	shift
	for p; do before=$((before + $(ticks "$p"))); done
	"$work/flowgraf" generate --to "127.0.0.1:$port" --protocol v9 --mix realistic --count "$flows" --rate "$rate" >/dev/null
	sleep 3
	for p; do after=$((after + $(ticks "$p"))); done
	awk -v t="$((after - before))" -v hz="$hz" -v n="$flows" 'BEGIN {printf "%.3f\n", t / hz / n * 1e6}' >>"$work/$name.figures"
}

# run NAME COMMAND…: measures a Telegraf, and what it has started apart from it.
run() {
	local name=$1 child
	shift
	config "$@" >"$work/telegraf.conf"
	build/telegraf --quiet --strict-env-handling --config "$work/telegraf.conf" >"$work/log" 2>&1 &
	pid=$!
	sleep 3
	if [ $# -gt 0 ]; then
		child=$(pgrep -P "$pid")
		measure "$name" "$child"
	else
		measure "$name" "$pid"
	fi
	kill -TERM "$pid"
	wait "$pid" || true
	pid=
	port=$((port + 1))
}

median() {
	sort -n "$work/$1.figures" | awk -v name="$2" '{v[NR] = $1} END {
		printf "  %-52s %8.3f us (%.3f to %.3f)\n", name, v[int((NR + 1) / 2)], v[1], v[NR]}'
}

for _ in $(seq "$turns"); do
	run own
	plugin >"$work/plugin.conf"
	run ours "$work/flowgraf" plugin --config "$work/plugin.conf"
	plugin >"$work/plugin.conf"
	run shim "$work/stockshim" -config "$work/plugin.conf"
done
echo "UDP to line protocol, CPU per flow ($flows flows at $rate/s, realistic mix, $turns turns, $(nproc) cores):"
median own "Telegraf's own inputs.netflow, inside Telegraf"
median shim "Telegraf's own inputs.netflow, behind its shim"
median ours "flowgraf plugin, inputs.netflow"
