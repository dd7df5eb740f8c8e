#!/usr/bin/env bash
# What a day of flows costs: series and bytes in InfluxDB, bytes in the archive, and CPU, with
# the roll-ups of the sample configuration, at each of some rates; and what a metric per flow
# takes in InfluxDB instead, from PERFLOW flows.
#
#   tests/bench/day.sh [MINUTES [RATE…]]     default: 5 minutes, 1000 and 10000 flows/s
#
# Measured are whole minutes of the generator's realistic mix in NetFlow v9 (8 exporters,
# 200,000 hosts, random ports) through one agent into a real influxd and an archive; a day is
# those minutes, multiplied: the last three columns are no measurement. InfluxDB's bytes are
# those of its TSM files once it has compacted them; its index is beside them, of some 30 MB
# from the beginning. CPU is user and system time of the processes.
set -euo pipefail
. "$(dirname "$0")/setup.sh"
need influxd influx
minutes=${1:-5} perflow=${PERFLOW:-60000}
[ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- 1000 10000
hz=$(getconf CLK_TCK)
port=28700 influxd=

cleanup() {
	for p in $pid $influxd; do kill "$p" 2>/dev/null || true; done
	rm -rf "$work"
}

ask() { influx -port $((port + 1)) -database flows -format csv -execute "$1" | tail -n +2; }

# start_influxd: an InfluxDB of its own, which compacts soon after the last point.
start_influxd() {
	cat >"$work/influxdb.conf" <<EOF
reporting-disabled = true
bind-address = "127.0.0.1:$((port + 2))"
[meta]
  dir = "$work/influx/meta"
[data]
  dir = "$work/influx/data"
  wal-dir = "$work/influx/wal"
  index-version = "tsi1"
  cache-snapshot-write-cold-duration = "2s"
  compact-full-write-cold-duration = "4s"
[http]
  bind-address = "127.0.0.1:$((port + 1))"
  log-enabled = false
[monitor]
  store-enabled = false
EOF
	rm -rf "$work/influx"
	influxd -config "$work/influxdb.conf" >"$work/influxd.log" 2>&1 &
	influxd=$!
	until influx -port $((port + 1)) -execute "CREATE DATABASE flows WITH DURATION 30d" >/dev/null 2>&1; do sleep 0.2; done
}

# start_agent OPTIONS: an agent with these options of the input.
start_agent() {
	cat >"$work/agent.conf" <<EOF
$(default_agent_section)
[[inputs.netflow]]
  service_address = "udp4://127.0.0.1:$port"
  read_buffer_size = "16MB"
$1
[[outputs.influxdb]]
  urls = ["http://127.0.0.1:$((port + 1))"]
  database = "flows"
  skip_database_creation = true
  namedrop = ["netflow_datagram"]
[[outputs.nfdump]]
  directory = "$work/archive"
EOF
	rm -rf "$work/archive"
	"$work/flowgraf" agent --config "$work/agent.conf" >"$work/agent.log" 2>&1 &
	pid=$!
	sleep 2
}

# stored: the bytes of InfluxDB's files, once there is nothing in its log any more and they
# do not change.
stored() {
	local last=-1 now=0
	until [ "$now" = "$last" ] && [ "$(find "$work/influx/wal" -name '*.wal' -size +0 | wc -l)" = 0 ]; do
		last=$now
		sleep 10
		now=$(find "$work/influx/data/flows" -name '*.tsm' -printf '%s\n' | awk '{n += $1} END {print n + 0}')
	done
	echo "$now"
}

# end: ends agent and InfluxDB.
end() {
	kill "$influxd"
	wait "$influxd" || true
	influxd=
	port=$((port + 10))
}

# series: what there is in InfluxDB.
series() { ask "SHOW SERIES EXACT CARDINALITY ON flows" | awk -F, '{n += $NF} END {print n + 0}'; }

# points: how many there are of roll-ups, a minute.
points() { ask "SELECT count(bytes) FROM /^netflow_by/" | awk -F, '{n += $NF} END {print n + 0}'; }

# send COUNT RATE: sends flows and waits until their windows are closed and written.
send() {
	"$work/flowgraf" generate --to "127.0.0.1:$port" --protocol v9 --mix realistic --count "$1" --rate "$2" >/dev/null
	sleep "$3"
}

printf '%9s %7s %8s %10s %10s %9s %9s | a day: %8s %9s %10s\n' flows/s series points/m influx/pt archive/fl agent influxd influx archive CPU
for rate; do
	flows=$((rate * 60 * minutes))
	start_influxd
	start_agent "  metrics = [\"exporters\", \"datagrams\"]
$(rollups)"
	agent=$(ticks "$pid") server=$(ticks "$influxd")
	send "$flows" "$rate" 75
	agent=$(($(ticks "$pid") - agent)) server=$(($(ticks "$influxd") - server))
	kill -TERM "$pid"
	wait "$pid" || { tail "$work/agent.log" >&2; exit 1; }
	pid=
	bytes=$(stored) all=$(points) kinds=$(series) archive=$(du -sb "$work/archive" | cut -f1)
	kept=$("$work/flowgraf" dump -R "$work/archive" -I | awk '/^Flows:/ {print $2}')
	[ "$kept" = "$flows" ] || echo "of $flows flows $kept are in the archive: the table is of those" >&2
	awk -v r="$rate" -v s="$kinds" -v p="$all" -v m="$minutes" -v b="$bytes" -v a="$archive" -v f="$kept" \
		-v ca="$agent" -v ci="$server" -v hz="$hz" 'BEGIN {
		us = (ca + ci) / hz / f * 1e6
		printf "%9d %7d %8d %8.1f B %8.1f B %6.2f us %6.2f us | %12.2f GB %6.2f GB %8.1f min\n", r, s, p / m, b / p,
			a / f, ca / hz / f * 1e6, ci / hz / f * 1e6, b / m * 1440 / 1e9, a / f * r * 86400 / 1e9,
			us * r * 86400 / 1e6 / 60}'
	end
done
start_influxd
start_agent '  metrics = ["flows"]'
send "$perflow" 2000 15
kill -TERM "$pid"
wait "$pid" || { tail "$work/agent.log" >&2; exit 1; }
pid=
bytes=$(stored) count=$(ask "SELECT count(in_bytes) FROM netflow" | awk -F, '{print $NF}')
awk -v b="$bytes" -v n="$count" 'BEGIN {
	printf "a metric per flow: %.1f bytes in InfluxDB; a day of 1000 flows/s %.1f GB\n", b / n, b / n * 86.4e6 / 1e9}'
end
