#!/usr/bin/env bash
# One host in a day of flows: 288 files that nfcapd has written, nfdump beside flowgraf
# without and with indexes, in one run. Budget: with the index 20 times as fast as nfdump.
#
#   tests/bench/index.sh [FLOWS-IN-A-FILE]
#
# Each file has flows of its own. Times are those of the run with the least CPU of three,
# user and system time of the whole process; what is listed is compared.
set -euo pipefail
. "$(dirname "$0")/setup.sh"
need nfcapd nfdump
flows=${1:-30000}
day=$work/day
mkdir "$day"
at_once=24
for round in $(seq 0 11); do
	pids=()
	for i in $(seq 1 $at_once); do
		mkdir "$work/in$i"
		nfcapd -w "$work/in$i" -b 127.0.0.1 -p $((29900 + i)) -y -B 8000000 -t 86400 >"$work/nfcapd.log" 2>&1 &
		pids+=($!)
	done
	sleep 1
	for i in $(seq 1 $at_once); do
		"$work/flowgraf" generate --to 127.0.0.1:$((29900 + i)) --protocol v9 --mix realistic --count "$flows" \
			--rate 200000 --seed $((round * at_once + i)) >/dev/null
	done
	sleep 1
	kill -TERM "${pids[@]}"
	wait "${pids[@]}" || true
	for i in $(seq 1 $at_once); do
		minute=$(((round * at_once + i - 1) * 5))
		mv "$work/in$i"/nfcapd.2* "$day/nfcapd.20261122$(printf '%02d%02d' $((minute / 60)) $((minute % 60)))"
		rm -r "$work/in$i"
	done
done
n=$("$work/flowgraf" dump -R "$day" -I | awk '/^Flows:/ {print $2}')
bytes=$(du -sb "$day" | cut -f 1)

# best COMMAND…: "CPU WALL" in seconds, of the run with the least CPU of three.
best() {
	for _ in 1 2 3; do
		{ TIMEFORMAT='%U %S %R'; time "$@" >/dev/null 2>&1; } 2>&1
	done | awk '{c = $1 + $2} NR == 1 || c < cpu {cpu = c; wall = $3} END {printf "%.3f %.3f\n", cpu, wall}'
}

echo "$(ls "$day" | wc -l) files, $n flows, $((bytes / 1000000)) MB, $(nproc) cores"
built=$( { TIMEFORMAT='%U %S %R'; time "$work/flowgraf" index "$day" >"$work/built"; } 2>&1)
size=$(awk '/^indexes made/ {print $4}' "$work/built")
awk -v n="$n" -v size="$size" -v b="$built" -v files="$bytes" 'BEGIN {
	split(b, t, " ")
	printf "indexes: %.2f MB and %.2f s of CPU for a million flows, %.1f %% of the files; all in %.1f s\n",
		size / n, (t[1] + t[2]) / n * 1e6, 100 * size / files, t[3]
}'
rare=$("$work/flowgraf" dump -r "$day/nfcapd.202611221200" -s dstip:a -n 1 -o csv -q | awk -F, 'NR == 2 {print $5}')
port=$("$work/flowgraf" dump -r "$day/nfcapd.202611221200" -c 1 -o csv -q "ip $rare" | tail -n 1 | awk -F, '{print $6}')
printf '%-44s %6s %8s %8s %8s %8s %8s %8s\n' "" flows nfdump without with nfdump without with
printf '%-44s %6s %8s %8s %8s %8s %8s %8s\n' "" "" "CPU s" "CPU s" "CPU s" "wall s" "wall s" "wall s"
for filter in "ip $rare" "ip 203.0.113.77" "ip $rare and port $port" "ip $rare or ip 203.0.113.77"; do
	theirs=$(nfdump -R "$day" -q -o line "$filter" 2>/dev/null | grep -c ' -> ' || true)
	for how in "" --no-index; do
		ours=$("$work/flowgraf" dump -R "$day" -q -o line $how "$filter" | grep -c ' -> ' || true)
		[ "$ours" = "$theirs" ] || { echo "$filter $how: flowgraf lists $ours flows, nfdump $theirs" >&2; exit 1; }
	done
	t=$(best nfdump -R "$day" -q -o line "$filter")
	without=$(best "$work/flowgraf" dump -R "$day" -q -o line --no-index "$filter")
	with=$(best "$work/flowgraf" dump -R "$day" -q -o line "$filter")
	awk -v name="$filter" -v n="$theirs" -v t="$t" -v o="$without" -v w="$with" 'BEGIN {
		split(t, a, " "); split(o, b, " "); split(w, c, " ")
		printf "%-44s %6d %8.3f %8.3f %8.3f %8.3f %8.3f %8.3f   %.0f times as fast\n", name, n, a[1], b[1], c[1],
			a[2], b[2], c[2], a[2] / c[2]
	}'
done
