#!/usr/bin/env bash
# CPU per flow from UDP to line protocol, in turns in one run, of the generator's
# realistic mix (templates of several layouts, IPv4 and IPv6, 200,000 hosts, random ports):
#
#   Telegraf's own inputs.netflow, a metric per flow
#   flowgraf, a metric per flow                       budget: a quarter of it
#   flowgraf, the roll-ups of the sample configuration alone     a thirtieth of it
#
# and what a million flows through these roll-ups are: series, sums, memory.
#
#   tests/bench/rollup.sh [FLOWS [RATE [PROTOCOL [TURNS [OUTPUT]]]]]
#
# OUTPUT is "lines", outputs.file as it is where nothing is set, which in Telegraf writes each
# metric by itself, or "batches", with use_batch_format: that costs stock less. "influxdb" is
# outputs.influxdb_v2 as it is, with gzip, to a server that answers 204 and whose CPU does
# not count.
#
# CPU is user and system time of the whole process, from /proc, while the traffic runs
# and until the windows of a minute have closed. What each has written is counted, and the
# figure is per flow written. Where each flow is a metric there come a quarter of the flows,
# at a quarter of the rate, as the stock plugin cannot take more.
set -euo pipefail
. "$(dirname "$0")/setup.sh"
flows=${1:-1000000} rate=${2:-50000} protocol=${3:-v9} turns=${4:-3} output=${5:-lines}
case $output in
lines) format= ;;
batches) format="  use_batch_format = true" ;;
influxdb) go build -o "$work/influxsink" ./tests/bench/influxsink ;;
*)
	echo "OUTPUT is lines, batches or influxdb, not $output" >&2
	exit 2
	;;
esac
go build -o "$work/stockagent" ./tests/bench/stockagent
hz=$(getconf CLK_TCK)
port=28900
sink=
end_sink() {
	[ -z "$sink" ] || kill "$sink" 2>/dev/null || true
	sink=
}
trap 'end_sink; cleanup' EXIT
case $protocol in
ipfix | vmware) stock=ipfix ;;
sflow) stock="sflow v5" ;;
*) stock="netflow $protocol" ;;
esac

# measure NAME COUNT FLOWS RATE: sends flows to the agent in $pid on $port, ends it, lets the
# command COUNT print how many flows are in what it has written, and keeps what one has cost.
measure() {
	local name=$1 count=$2 n=$3 r=$4 before after
	sleep 2
	before=$(ticks "$pid")
	"$work/flowgraf" generate --to "127.0.0.1:$port" --protocol "$protocol" --mix realistic --count "$n" --rate "$r" \
		--json >"$work/$name.sent"
	sleep 4
	grep VmHWM "/proc/$pid/status" | awk '{print $2}' >"$work/$name.memory"
	after=$(ticks "$pid")
	kill -TERM "$pid"
	wait "$pid" || true
	pid=
	end_sink
	awk -v t="$((after - before))" -v hz="$hz" -v n="$n" -v w="$($count)" \
		'BEGIN {printf "%.3f %d %d\n", w ? t / hz / w * 1e6 : 0, w, n}' >>"$work/$name.figures"
	port=$((port + 1))
}

# median NAME: prints the median of what one flow has cost, the least and the most.
median() {
	sort -n "$work/$1.figures" | awk -v name="$1" '
		{cost[NR] = $1; written += $2; sent += $3}
		END {
			m = NR % 2 ? cost[(NR + 1) / 2] : (cost[NR / 2] + cost[NR / 2 + 1]) / 2
			printf "  %-10s %8.3f us (%.3f to %.3f)   %d of %d flows written\n", name, m, cost[1], cost[NR], written, sent
		}'
}

# field MEASUREMENT FIELD: the sum of an unsigned field.
field() {
	{ grep "^$1[, ]" "$work/rollups.out" || true; } |
		awk -v f="$2" '{if (match($0, "[ ,]" f "=[0-9]+")) {s = substr($0, RSTART, RLENGTH); sub(/.*=/, "", s); n += s}}
			END {printf "%.0f", n}'
}

count_stock() { grep -c '^netflow,.*in_bytes=' "$work/stock.out"; }
count_lines() { grep -c '^netflow,.*in_bytes=' "$work/lines.out"; }
count_rollups() { field netflow_by_service flows; }

# output_section NAME: the output whose lines end in NAME.out.
output_section() {
	if [ "$output" = influxdb ]; then
		cat <<EOF
[[outputs.influxdb_v2]]
  urls = ["http://127.0.0.1:$((port + 1000))"]
  organization = "bench"
  bucket = "bench"
EOF
	else
		cat <<EOF
[[outputs.file]]
  files = ["$work/$1.out"]
  data_format = "influx"
$format
EOF
	fi
}

# run NAME OPTIONS: the configuration of an agent that writes what it makes to NAME.out.
run() {
	rm -f "$work/$1.out"
	if [ "$output" = influxdb ]; then
		"$work/influxsink" "127.0.0.1:$((port + 1000))" "$work/$1.out" &
		sink=$!
	fi
	cat >"$work/$1.conf" <<EOF
$(default_agent_section)
$(output_section "$1")
[[inputs.netflow]]
  service_address = "udp4://127.0.0.1:$port"
  read_buffer_size = "64MiB"
$2
EOF
}

run_stock() {
	run stock "  protocol = \"$stock\""
	"$work/stockagent" "$work/stock.conf" >"$work/stock.log" 2>&1 &
	pid=$!
	measure stock count_stock $((flows / 4)) $((rate / 4))
}

run_lines() {
	run lines '  metrics = ["flows"]'
	"$work/flowgraf" agent --config "$work/lines.conf" >"$work/lines.log" 2>&1 &
	pid=$!
	measure lines count_lines $((flows / 4)) $((rate / 4))
}

run_rollups() {
	run rollups "  metrics = []
$(rollups)"
	"$work/flowgraf" agent --config "$work/rollups.conf" >"$work/rollups.log" 2>&1 &
	pid=$!
	measure rollups count_rollups "$flows" "$rate"
}

for _ in $(seq "$turns"); do
	run_stock
	run_lines
	run_rollups
done
echo "$protocol flows, realistic mix, $turns turns, $(nproc) cores, UDP to line protocol in $output, CPU per flow:"
median stock
median lines
median rollups
echo "the last $flows flows in roll-ups:"
sed 's/^/  sent      /' "$work/rollups.sent"
cut -d, -f1 "$work/rollups.out" | cut -d" " -f1 | sort | uniq -c | while read -r points name; do
	printf '  %-24s %6d points, %6d series, %s flows, %s bytes\n' "$name" "$points" \
		"$(grep "^$name[, ]" "$work/rollups.out" | cut -d' ' -f1 | sort -u | wc -l)" "$(field "$name" flows)" "$(field "$name" bytes)"
done
echo "  memory at most: stock $(cat "$work/stock.memory") kB, a metric per flow $(cat "$work/lines.memory") kB," \
	"roll-ups $(cat "$work/rollups.memory") kB"
