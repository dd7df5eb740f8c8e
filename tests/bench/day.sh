#!/usr/bin/env bash
# What a day of flows costs: series and bytes in InfluxDB, bytes in the archive, and CPU, with
# the roll-ups of the sample configuration, at each of some rates; and what a metric per flow
# takes in InfluxDB instead, from PERFLOW flows.
#
#   tests/bench/day.sh [MINUTES [RATE…]]     default: 5 minutes, 1000 and 10000 flows/s
#
# Measured are whole minutes of the generator's realistic mix in NetFlow v9 (8 exporters,
# 200,000 hosts, random ports) through one agent, which has all rates at the same time on ports
# of their own: bytes of the archive, and CPU, user and system time of the agent. The points of
# the roll-ups are then written into a real influxd, again and again with earlier times until
# they are those of two hours, as it packs what has many points in a row. Bytes are those of
# its TSM files once it has compacted them; its index is beside them, of some 30 MB from the
# beginning. A day is what was measured, multiplied: the last three columns are no measurement.
set -euo pipefail
. "$(dirname "$0")/setup.sh"
need influxd influx curl
minutes=${1:-5} perflow=${PERFLOW:-60000} hours=2
[ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- 1000 10000
hz=$(getconf CLK_TCK)
port=28700 pids=() influxd=

cleanup() {
	for p in "${pids[@]}" $influxd; do kill "$p" 2>/dev/null || true; done
	rm -rf "$work"
}

ask() { influx -port "$port" -database flows -format csv -execute "$1" | tail -n +2; }

# start_influxd: an InfluxDB of its own, which compacts soon after the last point.
start_influxd() {
	cat >"$work/influxdb.conf" <<EOF
reporting-disabled = true
bind-address = "127.0.0.1:$((port + 1))"
[meta]
  dir = "$work/influx/meta"
[data]
  dir = "$work/influx/data"
  wal-dir = "$work/influx/wal"
  index-version = "tsi1"
  cache-snapshot-write-cold-duration = "2s"
  compact-full-write-cold-duration = "4s"
[http]
  bind-address = "127.0.0.1:$port"
  log-enabled = false
[monitor]
  store-enabled = false
EOF
	rm -rf "$work/influx"
	influxd -config "$work/influxdb.conf" >"$work/influxd.log" 2>&1 &
	influxd=$!
	until influx -port "$port" -execute "CREATE DATABASE flows WITH DURATION 30d" >/dev/null 2>&1; do sleep 0.2; done
}

# end_influxd: ends it.
end_influxd() {
	kill "$influxd"
	wait "$influxd" || true
	influxd=
	port=$((port + 2))
}

# write SECONDS: writes the lines of the standard input, so much earlier.
write() {
	awk -v s="$1" '{at = $NF; sub(/[0-9]+$/, ""); printf "%s%d%s\n", $0, substr(at, 1, 10) - s, substr(at, 11)}' |
		split -l 5000 --filter="curl -sf --data-binary @- 'http://127.0.0.1:$port/write?db=flows'" - || exit 1
}

# stored: the bytes of InfluxDB's files, once nothing is left in its log and they do not
# change.
stored() {
	local last=-1 now=0
	until [ "$now" = "$last" ] && [ "$(find "$work/influx/wal" -name '*.wal' -size +0 | wc -l)" = 0 ]; do
		last=$now
		sleep 8
		now=$(find "$work/influx/data/flows" -name '*.tsm' -printf '%s\n' | awk '{n += $1} END {print n + 0}')
	done
	echo "$now"
}

# start_agent NAME PORT OPTIONS: an agent with these options of the input; its process is
# the last of pids.
start_agent() {
	cat >"$work/$1.conf" <<EOF
$(default_agent_section)
[[inputs.netflow]]
  service_address = "udp4://127.0.0.1:$2"
  read_buffer_size = "16MB"
$3
[[outputs.file]]
  files = ["$work/$1.lines"]
  influx_uint_support = false
  namedrop = ["netflow_datagram"]
[[outputs.nfdump]]
  directory = "$work/$1.archive"
EOF
	"$work/flowgraf" agent --config "$work/$1.conf" >"$work/$1.log" 2>&1 &
	pids+=($!)
}

# send PORT COUNT RATE: sends flows.
send() { "$work/flowgraf" generate --to "127.0.0.1:$1" --protocol v9 --mix realistic --count "$2" --rate "$3" >/dev/null; }

# stop NAME: ends the first of pids.
stop() {
	kill -TERM "${pids[0]}"
	wait "${pids[0]}" || { tail "$work/$1.log" >&2; exit 1; }
	pids=("${pids[@]:1}")
}

at=28600 senders=() cpu=()
for rate; do
	start_agent "$rate" "$at" "  metrics = [\"exporters\", \"datagrams\"]
$(rollups)"
	at=$((at + 1))
done
start_agent perflow "$at" '  metrics = ["flows"]'
sleep 3
for p in "${pids[@]}"; do cpu+=("$(ticks "$p")"); done
at=28600
for rate; do
	send "$at" "$((rate * 60 * minutes))" "$rate" &
	senders+=($!)
	at=$((at + 1))
done
send "$at" "$perflow" 1000
for p in "${senders[@]}"; do wait "$p"; done
sleep 70 # until the windows are closed
for i in "${!pids[@]}"; do cpu[i]=$(($(ticks "${pids[i]}") - cpu[i])); done
for name in "$@" perflow; do stop "$name"; done

printf '%9s %7s %8s %8s %10s %9s %9s | a day: %9s %9s %10s\n' flows/s series points/m influx/pt archive/fl agent influxd influx archive CPU
i=0
for rate; do
	start_influxd
	before=$(ticks "$influxd")
	for ((k = 0; k < hours * 60 / minutes; k++)); do write "$((k * minutes * 60))" <"$work/$rate.lines"; done
	bytes=$(stored) server=$(($(ticks "$influxd") - before))
	points=$(ask "SELECT count(bytes) FROM /^netflow_by/" | awk -F, '{n += $NF} END {print n + 0}')
	series=$(ask "SHOW SERIES EXACT CARDINALITY ON flows" | awk -F, '{n += $NF} END {print n + 0}')
	kept=$("$work/flowgraf" dump -R "$work/$rate.archive" -I | awk '/^Flows:/ {print $2}')
	[ "$kept" = "$((rate * 60 * minutes))" ] || echo "of $((rate * 60 * minutes)) flows $kept are in the archive" >&2
	awk -v r="$rate" -v s="$series" -v p="$points" -v m="$minutes" -v h="$hours" -v b="$bytes" -v f="$kept" \
		-v a="$(du -sb "$work/$rate.archive" | cut -f1)" -v ca="${cpu[i]}" -v ci="$server" -v hz="$hz" 'BEGIN {
		flow = ca / hz / f * 1e6
		point = ci / hz / p * 1e6
		day = p / h * 24
		printf "%9d %7d %8d %6.1f B %8.1f B %6.2f us %6.1f us | %13.2f GB %6.2f GB %6.1f min\n", r, s, p / h / 60,
			b / p, a / f, flow, point, b / h * 24 / 1e9, a / f * r * 86400 / 1e9,
			(flow * r * 86400 + point * day) / 6e7}'
	end_influxd
	i=$((i + 1))
done
start_influxd
grep '^netflow,' "$work/perflow.lines" | write 0
bytes=$(stored) count=$(ask "SELECT count(in_bytes) FROM netflow" | awk -F, '{print $NF}')
awk -v b="$bytes" -v n="$count" 'BEGIN {
	printf "a metric per flow: %.1f bytes in InfluxDB (%d points); a day of 1000 flows/s %.1f GB\n", b / n, n, b / n * 86.4e6 / 1e9}'
end_influxd
