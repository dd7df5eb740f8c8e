#!/usr/bin/env bash
# How fast the flows of one hot exporter, one observation domain, become metrics with
# one processor and with all: what the agent has of the machine to itself. While it is
# stopped its receive buffer is filled; what counts is how long it takes to empty it.
# The metrics go nowhere. The buffer, 400 MB, needs root or a net.core.rmem_max as
# large.
#
#   tests/bench/hot.sh [FLOWS [PROTOCOL]]
set -euo pipefail
. "$(dirname "$0")/setup.sh"
flows=${1:-2000000} protocol=${2:-v9}
port=29970

# column N: a column of the socket's line in /proc/net/udp.
column() { awk -v port="$(printf ':%04X' "$port")" -v n="$1" 'index($2, port) {print $n}' /proc/net/udp; }

# queued: the bytes that wait in the receive buffer.
queued() { printf '%d' "0x$(column 5 | cut -d: -f2)"; }

send() { "$work/flowgraf" generate --to "127.0.0.1:$port" --protocol "$protocol" --mix "${MIX:-realistic}" --exporters 1 --count "$1" --rate "$2" >/dev/null; }

# measure PROCESSORS: fills the buffer of an agent, and lets it run.
measure() {
	GOMAXPROCS=$1 "$work/flowgraf" agent --config "$work/agent.conf" >"$work/agent.log" 2>&1 &
	pid=$!
	sleep 2
	send 20000 20000 # the templates, and warm caches
	sleep 1
	kill -STOP "$pid"
	send "$flows" 500000
	local size drops before after begin end
	size=$(queued) drops=$(column 13) before=$(ticks "$pid") begin=$(date +%s.%N)
	kill -CONT "$pid"
	while [ "$(queued)" -gt 0 ]; do sleep 0.02; done
	end=$(date +%s.%N) after=$(ticks "$pid")
	kill -TERM "$pid"
	wait "$pid" || true
	pid=
	if [ "$drops" -gt 0 ]; then
		echo "the buffer dropped $drops datagrams: run as root, or with fewer flows" >&2
		exit 1
	fi
	awk -v p="$1" -v s="$size" -v t="$((after - before))" -v hz="$(getconf CLK_TCK)" -v n="$flows" -v b="$begin" -v e="$end" \
		'BEGIN {printf "  %d processor(s)  %9.0f flows/s, %.2f processors in use, %.0f MB emptied\n", p, n / (e - b), t / hz / (e - b), s / 1e6}'
}

cat >"$work/agent.conf" <<CONF
$(agent_section)
[[inputs.netflow]]
  service_address = "udp4://127.0.0.1:$port"
  read_buffer_size = "400MB"
  metrics = ["flows"]
[[outputs.file]]
  files = ["/dev/null"]
  namepass = ["none"]
CONF
echo "one exporter, $flows $protocol flows to metrics:"
measure 1
measure "$(nproc)"
