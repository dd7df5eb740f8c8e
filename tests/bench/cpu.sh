#!/usr/bin/env bash
# CPU per flow, flowgraf beside its peers, the same generated traffic, in turns in one
# run; the figures are medians of TURNS. The traffic is the generator's realistic mix,
# or with MIX=plain the plain one; the agents have Telegraf's default settings.
#
#   UDP to an LZ4 nfdump file     nfcapd, flowgraf     budget: no more than nfcapd
#   UDP to line protocol          Telegraf's own inputs.netflow, flowgraf
#                                                      budget: a quarter of it
#
#   [MIX=plain] tests/bench/cpu.sh [FLOWS [RATE [PROTOCOL [TURNS]]]]
#
# CPU is user and system time of the whole process, from /proc, while the
# traffic runs. A collector that loses flows does less work, so what each has
# written is counted, and the figure is per flow written.
set -euo pipefail
. "$(dirname "$0")/setup.sh"
need nfcapd nfdump
flows=${1:-1000000} rate=${2:-100000} protocol=${3:-v9} turns=${4:-5} mix=${MIX:-realistic}
go build -o "$work/stockagent" ./tests/bench/stockagent
hz=$(getconf CLK_TCK)
port=29900

# measure NAME COUNT FLOWS RATE: sends flows to the collector in $pid on $port,
# ends it, lets the command COUNT print how many flows it has written, and keeps what
# one has cost in microseconds.
measure() {
	local name=$1 count=$2 n=$3 r=$4 before after
	sleep 2
	before=$(ticks "$pid")
	"$work/flowgraf" generate --to "127.0.0.1:$port" --protocol "$protocol" --mix "$mix" --count "$n" --rate "$r" >/dev/null
	sleep 4
	after=$(ticks "$pid")
	kill -TERM "$pid"
	wait "$pid" || true
	pid=
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
			printf "  %-26s %8.3f us (%.3f to %.3f)   %d of %d flows written\n", name, m, cost[1], cost[NR], written, sent
		}'
}

count_nfcapd() { nfdump -R "$work/nfcapd" -q -N -o 'fmt:%fl' | awk '{n += $1} END {print n + 0}'; }
count_archive() { nfdump -R "$work/archive" -q -N -o 'fmt:%fl' | awk '{n += $1} END {print n + 0}'; }
count_stock() { grep -c '^netflow,.*in_bytes=' "$work/stock.out"; }
count_lines() { grep -c '^netflow,.*in_bytes=' "$work/lines.out"; }

# agent_config FILE METRICS OUTPUT: a configuration for either agent.
agent_config() {
	cat >"$1" <<EOF
$(default_agent_section)
[[inputs.netflow]]
  service_address = "udp4://127.0.0.1:$port"
  read_buffer_size = "64MiB"
$2
$3
EOF
}

run_nfcapd() {
	rm -rf "$work/nfcapd"
	mkdir "$work/nfcapd"
	"$nfcapd" -w "$work/nfcapd" -b 127.0.0.1 -p "$port" -y -B 16000000 -t 3600 >"$work/nfcapd.log" 2>&1 &
	pid=$!
	measure nfcapd count_nfcapd "$flows" "$rate"
}

run_archive() {
	rm -rf "$work/archive"
	agent_config "$work/archive.conf" '  metrics = ["datagrams"]' "[[outputs.nfdump]]
  directory = \"$work/archive\"
  rotation_interval = \"1h\""
	"$work/flowgraf" agent --config "$work/archive.conf" >"$work/archive.log" 2>&1 &
	pid=$!
	measure archive count_archive "$flows" "$rate"
}

# The stock plugin does not keep up with the rate of the others.
run_stock() {
	rm -f "$work/stock.out"
	agent_config "$work/stock.conf" "  protocol = \"$stock\"" "[[outputs.file]]
  files = [\"$work/stock.out\"]"
	"$work/stockagent" "$work/stock.conf" >"$work/stock.log" 2>&1 &
	pid=$!
	measure stock count_stock $((flows / 5)) $((rate / 5))
}

run_lines() {
	rm -f "$work/lines.out"
	agent_config "$work/lines.conf" '  metrics = ["flows"]' "[[outputs.file]]
  files = [\"$work/lines.out\"]"
	"$work/flowgraf" agent --config "$work/lines.conf" >"$work/lines.log" 2>&1 &
	pid=$!
	measure lines count_lines $((flows / 5)) $((rate / 5))
}

nfcapd=nfcapd
case $protocol in
ipfix | vmware) stock=ipfix ;;
sflow) stock="sflow v5" nfcapd=sfcapd ;;
*) stock="netflow $protocol" ;;
esac
for _ in $(seq "$turns"); do
	run_nfcapd
	run_archive
	run_stock
	run_lines
done
echo "$protocol flows, $mix mix, $turns turns, $(nproc) cores"
echo "UDP to an LZ4 nfdump file, CPU per flow ($flows flows at $rate/s):"
median nfcapd
median archive
echo "UDP to line protocol, CPU per flow ($((flows / 5)) flows at $((rate / 5))/s):"
median stock
median lines
