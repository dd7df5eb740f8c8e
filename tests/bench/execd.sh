#!/usr/bin/env bash
# flowgraf's plugins behind a stock Telegraf's execd, beside Telegraf's own inputs.netflow
# in the same Telegraf and Telegraf's own shim; in turns in one run, medians of TURNS.
#
#   tests/bench/execd.sh [FLOWS [RATE [TURNS]]]
#
# CPU is user and system time of the process that has the input, while the traffic runs:
# the plugin's own, and that of Telegraf, which reads its lines and discards them.
# Throughput is how many metrics of flows a second go through plugin, pipe and Telegraf
# while more flows come than that, at PUSH a second (1,000,000): bytes that the plugin has
# written, by those that a metric has had in the run before. The generator takes its part
# of the processors meanwhile. As Telegraf's parser is what limits there, both are measured
# once more with a reader of the pipe that only reads: cat. What the generator really sent
# a second is printed too; a plugin that wrote as much could have written more.
set -euo pipefail
. "$(dirname "$0")/setup.sh"
flows=${1:-200000} rate=${2:-20000} turns=${3:-3}
tests/stocktelegraf.sh build/telegraf
go build -o "$work/stockshim" ./tests/bench/stockshim
hz=$(getconf CLK_TCK)
port=29800 push=${PUSH:-1000000}

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

# written PID: the bytes that a process has written.
written() { awk '$1 == "wchar:" {print $2}' "/proc/$1/io"; }

# through NAME PID SIZE: how many metrics of SIZE bytes a process writes in a second.
through() {
	local before after begin end sender
	"$work/flowgraf" generate --to "127.0.0.1:$port" --protocol v9 --mix realistic --duration 7s --rate "$push" >"$work/sent" &
	sender=$!
	sleep 1
	before=$(written "$2") begin=$(date +%s.%N)
	sleep 5
	after=$(written "$2") end=$(date +%s.%N)
	awk -v w="$((after - before))" -v s="$3" -v b="$begin" -v e="$end" 'BEGIN {printf "%.0f\n", w / s / (e - b)}' >>"$work/$1.through"
	wait "$sender"
	awk '$1 == "flows:" {printf "%.0f\n", $2 / 7}' "$work/sent" >>"$work/$1.offered"
}

# both NAME PID: measures a plugin, first what a flow costs, then how many go through.
both() {
	local before
	before=$(written "$2")
	measure "$1" "$2"
	through "$1" "$2" "$((($(written "$2") - before) / flows))"
}

# end: ends what was measured.
end() {
	kill -TERM "$pid"
	wait "$pid" || true
	pid=
	port=$((port + 1))
}

# run NAME COMMAND…: measures a Telegraf, and what it has started apart from it.
run() {
	local name=$1
	shift
	config "$@" >"$work/telegraf.conf"
	build/telegraf --quiet --strict-env-handling --config "$work/telegraf.conf" >"$work/log" 2>&1 &
	pid=$!
	sleep 3
	if [ $# -gt 0 ]; then
		both "$name" "$(pgrep -P "$pid")"
	else
		measure "$name" "$pid"
	fi
	end
}

# alone NAME COMMAND…: measures a plugin whose lines are only read.
alone() {
	local name=$1
	shift
	"$@" <&7 > >(exec cat >/dev/null) 2>"$work/log" &
	pid=$!
	sleep 3
	both "$name" "$pid"
	end
}

# median NAME KIND TITLE UNIT
median() {
	sort -n "$work/$1.$2" | awk -v name="$3" -v unit="$4" '{v[NR] = $1} END {
		printf "  %-48s %10s %s (%s to %s)\n", name, v[int((NR + 1) / 2)], unit, v[1], v[NR]}'
}

mkfifo "$work/stdin"
exec 7<>"$work/stdin" # a standard input that does not end
for _ in $(seq "$turns"); do
	run own
	for kind in run alone; do
		plugin >"$work/plugin.conf"
		"$kind" "ours-$kind" "$work/flowgraf" plugin --config "$work/plugin.conf"
		plugin >"$work/plugin.conf"
		"$kind" "shim-$kind" "$work/stockshim" -config "$work/plugin.conf"
	done
done
echo "UDP to line protocol, CPU per flow ($flows flows at $rate/s, realistic mix, $turns turns, $(nproc) cores):"
median own figures "Telegraf's own inputs.netflow, inside Telegraf" us
median shim-run figures "the same behind Telegraf's shim, into Telegraf" us
median ours-run figures "flowgraf plugin, into Telegraf" us
median shim-alone figures "Telegraf's shim, into cat" us
median ours-alone figures "flowgraf plugin, into cat" us
for kind in run alone; do
	[ "$kind" = run ] && reader=Telegraf || reader=cat
	echo "throughput of plugin, pipe and $reader (flows that came meanwhile below each):"
	for who in shim ours; do
		[ "$who" = shim ] && title="Telegraf's own inputs.netflow, behind its shim" || title="flowgraf plugin, inputs.netflow"
		median "$who-$kind" through "$title" metrics/s
		median "$who-$kind" offered "  flows sent meanwhile" flows/s
	done
done
