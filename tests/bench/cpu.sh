#!/usr/bin/env bash
# CPU per flow, flowgraf beside its peers, the same generated traffic, in one
# run:
#
#   UDP to an LZ4 nfdump file     nfcapd, flowgraf     budget: no more than nfcapd
#   UDP to line protocol          Telegraf's own inputs.netflow, flowgraf
#                                                      budget: a quarter of it
#
#   tests/bench/cpu.sh [FLOWS [RATE [PROTOCOL]]]
#
# CPU is user and system time of the whole process, from /proc, while the
# traffic runs. A collector that loses flows does less work, so what each has
# written is counted, and the figure is per flow written.
set -euo pipefail
. "$(dirname "$0")/setup.sh"
need nfcapd nfdump
flows=${1:-1000000} rate=${2:-100000} protocol=${3:-v9}
go build -o "$work/stockagent" ./tests/bench/stockagent
hz=$(getconf CLK_TCK)
port=29900

# measure NAME COUNT FLOWS RATE: sends flows to the collector in $pid on $port,
# ends it, and lets the command COUNT print how many flows it has written.
measure() {
	local name=$1 count=$2 n=$3 r=$4 before after
	sleep 2
	before=$(ticks "$pid")
	"$work/flowgraf" generate --to "127.0.0.1:$port" --protocol "$protocol" --count "$n" --rate "$r" >/dev/null
	sleep 4
	after=$(ticks "$pid")
	kill -TERM "$pid"
	wait "$pid" || true
	pid=
	awk -v name="$name" -v t="$((after - before))" -v hz="$hz" -v n="$n" -v w="$($count)" \
		'BEGIN {printf "%-28s %8.3f us   %d of %d flows written\n", name, w ? t / hz / w * 1e6 : 0, w, n}'
	port=$((port + 1))
}

count_nfcapd() { nfdump -R "$work/nfcapd" -q -N -o 'fmt:%fl' | awk '{n += $1} END {print n + 0}'; }
count_archive() { nfdump -R "$work/archive" -q -N -o 'fmt:%fl' | awk '{n += $1} END {print n + 0}'; }
count_stock() { grep -c '^netflow,.*in_bytes=' "$work/stock.out"; }
count_lines() { grep -c '^netflow,.*in_bytes=' "$work/lines.out"; }

# agent_config FILE METRICS OUTPUT: a configuration for either agent.
agent_config() {
	cat >"$1" <<EOF
$(agent_section)
[[inputs.netflow]]
  service_address = "udp4://127.0.0.1:$port"
  read_buffer_size = "16MB"
$2
$3
EOF
}

echo "$flows $protocol flows at $rate/s, $(nproc) cores"
echo "UDP to an LZ4 nfdump file, CPU per flow:"
mkdir "$work/nfcapd" "$work/archive"
nfcapd -w "$work/nfcapd" -b 127.0.0.1 -p "$port" -y -B 16000000 -t 3600 >"$work/nfcapd.log" 2>&1 &
pid=$!
measure "  nfcapd" count_nfcapd "$flows" "$rate"

agent_config "$work/archive.conf" '  metrics = ["datagrams"]' "[[outputs.nfdump]]
  directory = \"$work/archive\"
  rotation_interval = \"1h\""
"$work/flowgraf" agent --config "$work/archive.conf" >"$work/archive.log" 2>&1 &
pid=$!
measure "  flowgraf" count_archive "$flows" "$rate"

stock="netflow $protocol"
[ "$protocol" != ipfix ] || stock=ipfix
# The stock plugin does not keep up with that rate.
flows=$((flows / 5)) rate=$((rate / 5))
echo "UDP to line protocol, CPU per flow ($flows flows at $rate/s):"
agent_config "$work/stock.conf" "  protocol = \"$stock\"" "[[outputs.file]]
  files = [\"$work/stock.out\"]"
"$work/stockagent" "$work/stock.conf" >"$work/stock.log" 2>&1 &
pid=$!
measure "  Telegraf's inputs.netflow" count_stock "$flows" "$rate"

agent_config "$work/lines.conf" '  metrics = ["flows"]' "[[outputs.file]]
  files = [\"$work/lines.out\"]"
"$work/flowgraf" agent --config "$work/lines.conf" >"$work/lines.log" 2>&1 &
pid=$!
measure "  flowgraf" count_lines "$flows" "$rate"
