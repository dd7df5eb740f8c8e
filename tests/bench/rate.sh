#!/usr/bin/env bash
# Flows at a set rate into an LZ4 nfdump archive, over a receive buffer of 4 MiB:
# how many were sent, received, dropped by the kernel, and archived, and what it
# cost. Budget: 400,000 flows a second on two cores, and nothing lost. The generator
# runs on the same machine.
#
#   tests/bench/rate.sh [RATE [SECONDS [PROTOCOL [EXPORTERS]]]]
set -euo pipefail
. "$(dirname "$0")/setup.sh"
need nfdump
rate=${1:-400000} seconds=${2:-20} protocol=${3:-v9} exporters=${4:-1}
port=29960
cat >"$work/agent.conf" <<CONF
$(agent_section 1s)
[[inputs.netflow]]
  service_address = "udp4://127.0.0.1:$port"
  read_buffer_size = "4MiB"
  metrics = ["datagrams", "exporters"]
[[outputs.nfdump]]
  directory = "$work/archive"
  rotation_interval = "1h"
  namepass = ["netflow_datagram"]
[[outputs.file]]
  files = ["$work/metrics"]
  namepass = ["netflow_exporter"]
CONF
"$work/flowgraf" agent --config "$work/agent.conf" >"$work/agent.log" 2>&1 &
pid=$!
sleep 2
before=$(ticks "$pid")
begin=$(date +%s.%N)
senders=
for i in $(seq "$exporters"); do
	"$work/flowgraf" generate --to "127.0.0.1:$port" --source "127.0.0.$((i + 1))" --protocol "$protocol" --mix "${MIX:-realistic}" --exporters 1 --seed "$i" \
		--rate $((rate / exporters)) --count $((rate * seconds / exporters)) --json >"$work/sent.$i" &
	senders="$senders $!"
done
for s in $senders; do wait "$s"; done
end=$(date +%s.%N)
sleep 4
after=$(ticks "$pid")
kill -TERM "$pid"
wait "$pid" || true
pid=

# field LINES NAME: the sum over the last value of every series.
field() {
	awk -v name="$2" -v want="$1" '
		$1 ~ want { n = split($2, f, ","); for (i = 1; i <= n; i++) { split(f[i], kv, "="); if (kv[1] == name) last[$1] = kv[2] + 0 } }
		END { for (s in last) sum += last[s]; print sum + 0 }' "$work/metrics"
}
total() { cat "$work"/sent.* | tr ',{}' '\n\n\n' | awk -F: -v name="\"$1\"" '$1 == name { n += $2 } END { print n + 0 }'; }
archived=$(nfdump -R "$work/archive" -I | awk '/^Flows:/ { n += $2 } END { print n + 0 }')
sent=$(total flows) datagrams=$(total datagrams)
echo "$exporters exporter(s) of $protocol, $rate flows/s for $seconds s, receive buffer 4 MiB, $(nproc) cores"
awk -v n="$sent" -v d="$datagrams" -v b="$begin" -v e="$end" 'BEGIN {printf "sent        %10d flows in %d datagrams, %.0f flows/s\n", n, d, n / (e - b)}'
printf 'received    %10d datagrams\n' "$(field ',source=' datagrams)"
printf 'dropped     %10d datagrams by the kernel\n' "$(field ',listener=' kernel_drops)"
printf 'archived    %10d flows by nfdump -I, %d missing\n' "$archived" "$((sent - archived))"
awk -v t="$((after - before))" -v hz="$(getconf CLK_TCK)" -v n="$sent" 'BEGIN {printf "CPU         %10.3f us a flow\n", t / hz / n * 1e6}'
