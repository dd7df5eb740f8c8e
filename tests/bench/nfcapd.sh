#!/usr/bin/env bash
# CPU per flow from UDP to an LZ4 nfdump file: flowgraf beside nfcapd, the same
# generated traffic, in one run. Budget: no more than nfcapd.
#
#   tests/bench/nfcapd.sh [FLOWS [RATE [PROTOCOL]]]
#
# The CPU time is user and system of the whole collector process, start-up
# taken off, from /proc. What each has written is counted with nfdump: a
# collector that loses flows does less work, so the loss is printed too.
set -euo pipefail
cd "$(dirname "$0")/../.."
flows=${1:-2000000} rate=${2:-150000} protocol=${3:-v9}
work=$(mktemp -d)
pid=
cleanup() { [ -z "$pid" ] || kill "$pid" 2>/dev/null || true; rm -rf "$work"; }
trap cleanup EXIT
for program in nfcapd nfdump; do
	command -v "$program" >/dev/null || { echo "$program is not installed: run make packages as root" >&2; exit 1; }
done
go build -o "$work/flowgraf" ./cmd/flowgraf

ticks() { awk '{print $14 + $15}' "/proc/$1/stat"; }
hz=$(getconf CLK_TCK)
freeport() { python3 - <<'EOF' 2>/dev/null || echo 29995
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.0.0.1", 0))
print(s.getsockname()[1])
EOF
}

# measure NAME DIRECTORY PORT: sends the traffic to the collector in $pid.
measure() {
	local before after written
	sleep 2
	before=$(ticks "$pid")
	"$work/flowgraf" generate --to "127.0.0.1:$3" --protocol "$protocol" --count "$flows" --rate "$rate" >"$work/totals"
	sleep 3
	after=$(ticks "$pid")
	kill -TERM "$pid"
	wait "$pid" || true
	pid=
	written=$(for f in $(find "$2" -name 'nfcapd.2*'); do nfdump -I -r "$f"; done | awk '$1 == "Flows:" {n += $2} END {print n + 0}')
	awk -v name="$1" -v t="$((after - before))" -v hz="$hz" -v n="$flows" -v w="$written" \
		'BEGIN {printf "%-10s %8.3f us CPU per flow   %d of %d flows written (%.2f %% lost)\n", name, t / hz / n * 1e6, w, n, 100 * (n - w) / n}'
}

echo "$flows $protocol flows at $rate/s, $(nproc) cores"
mkdir "$work/nfcapd" "$work/archive"
port=$(freeport)
nfcapd -w "$work/nfcapd" -b 127.0.0.1 -p "$port" -y -B 16000000 -t 3600 >"$work/nfcapd.log" 2>&1 &
pid=$!
measure nfcapd "$work/nfcapd" "$port"

port=$(freeport)
cat >"$work/telegraf.conf" <<EOF
[agent]
  interval = "10s"
  flush_interval = "1s"
  metric_batch_size = 2000
  metric_buffer_limit = 500000
  omit_hostname = true
[[inputs.netflow]]
  service_address = "udp4://127.0.0.1:$port"
  read_buffer_size = "16MB"
  metrics = ["datagrams"]
[[outputs.nfdump]]
  directory = "$work/archive"
  rotation_interval = "1h"
EOF
"$work/flowgraf" agent --config "$work/telegraf.conf" >"$work/agent.log" 2>&1 &
pid=$!
measure flowgraf "$work/archive" "$port"
