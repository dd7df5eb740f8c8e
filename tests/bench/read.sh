#!/usr/bin/env bash
# CPU of reading flows, nfdump beside flowgraf on the same files, in one run:
# statistics, a list, rankings, and one after rewriting with each compression.
# Budget: no more CPU per flow than nfdump, in every mode.
#
#   tests/bench/read.sh [FLOWS]
#
# The file is written by nfcapd from generated NetFlow v9. CPU is user and system
# time of the whole process, the least of three runs; wall time is that of the same
# run. nfdump 1.7.1 does not read ZSTD.
set -euo pipefail
. "$(dirname "$0")/setup.sh"
need nfcapd nfdump
flows=${1:-2000000}
mkdir "$work/in"
nfcapd -w "$work/in" -b 127.0.0.1 -p 29940 -B 64000000 -t 7200 >"$work/nfcapd.log" 2>&1 &
pid=$!
sleep 1
"$work/flowgraf" generate --to 127.0.0.1:29940 --protocol v9 --mix "${MIX:-realistic}" --count "$flows" --rate 120000 >/dev/null
sleep 2
kill -TERM "$pid"
wait "$pid" || true
pid=
for c in none lzo lz4 bz2 zstd; do
	"$work/flowgraf" dump -R "$work/in" -w "$work/$c.nf" -z "$c" -q
done
n=$("$work/flowgraf" dump -r "$work/none.nf" -I | awk '/^Flows:/ {print $2}')

# best COMMAND…: "CPU WALL" in seconds, of the run with the least CPU of three.
best() {
	for _ in 1 2 3; do
		{ TIMEFORMAT='%U %S %R'; time "$@" >/dev/null 2>&1; } 2>&1
	done | awk '{c = $1 + $2} NR == 1 || c < cpu {cpu = c; wall = $3} END {printf "%.3f %.3f\n", cpu, wall}'
}

# row NAME FILE NFDUMP-ARGUMENTS -- FLOWGRAF-ARGUMENTS
row() {
	local name=$1 file=$2 theirs=() ours
	shift 2
	while [ "$1" != -- ]; do
		theirs+=("$1")
		shift
	done
	shift
	ours=$(best "$work/flowgraf" dump -r "$file" "$@")
	if [ "${theirs[0]-}" = none ]; then
		theirs="- -"
	else
		theirs=$(best nfdump -r "$file" "${theirs[@]}")
	fi
	awk -v name="$name" -v n="$n" -v t="$theirs" -v o="$ours" 'BEGIN {
		split(t, a, " "); split(o, b, " ")
		printf "%-32s %9s %9.3f %9s %9.3f\n", name, a[1] == "-" ? "-" : sprintf("%.3f", a[1] / n * 1e6), b[1] / n * 1e6, a[2], b[2]
	}'
}

echo "$n flows, $(nproc) cores; bytes a flow: $(cd "$work" && for c in none lzo lz4 bz2 zstd; do stat -c "$c %s" $c.nf; done | awk -v n="$n" '{printf "%s %.1f  ", $1, $2 / n}')"
printf '%-32s %9s %9s %9s %9s\n' "" "nfdump" "flowgraf" "nfdump" "flowgraf" "" "us/flow" "us/flow" "wall s" "wall s"
row "statistics (-I)" "$work/lz4.nf" -I -- -I
row "list, none" "$work/none.nf" -o line -- -c 0
row "list, lz4" "$work/lz4.nf" -o line -- -c 0
for c in none lz4 lzo bz2; do
	row "top 10 -s srcip/bytes, $c" "$work/$c.nf" -s srcip/bytes -- -s srcip/bytes
done
row "list, zstd" "$work/zstd.nf" none -- -c 0
row "top 10 -s srcip/bytes, zstd" "$work/zstd.nf" none -- -s srcip/bytes
row "top 10 -s ip:p/packets, lz4" "$work/lz4.nf" -s ip:p/packets -- -s ip:p/packets
row "top 10 of four, lz4" "$work/lz4.nf" -s srcip -s dstport/bytes -s proto -s as/packets -- -s srcip -s dstport/bytes -s proto -s as/packets
row "time window, top 10, lz4" "$work/lz4.nf" -t +20 -s dstip/bytes -- -t +20 -s dstip/bytes
rewrite() { rm -f "$work/new"; "$@"; }
printf '%-32s' "rewrite, lz4"
theirs=$(best rewrite nfdump -r "$work/lz4.nf" -w "$work/new" -y)
ours=$(best rewrite "$work/flowgraf" dump -r "$work/lz4.nf" -w "$work/new" -z lz4)
awk -v n="$n" -v t="$theirs" -v o="$ours" 'BEGIN {split(t, a, " "); split(o, b, " "); printf " %9.3f %9.3f %9s %9s\n", a[1] / n * 1e6, b[1] / n * 1e6, a[2], b[2]}'
