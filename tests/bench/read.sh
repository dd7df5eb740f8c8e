#!/usr/bin/env bash
# Time of reading flows, nfdump beside flowgraf on the same files, in turns in one run:
# statistics, lists, rankings, aggregations, filters, and one after rewriting with each
# compression. The aims: -s and -A three times as fast as nfdump, lists, csv and json four
# times, a filter for one host two times; no more CPU per flow in every mode.
#
#   tests/bench/read.sh [FLOWS]
#
# The file is written by nfcapd from generated NetFlow v9. CPU is user and system
# time of the whole process; it and the wall time are medians of five runs. nfdump 1.7.1
# does not read ZSTD. On a machine that has other work the wall times say little.
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

# once COMMAND…: "CPU WALL" in seconds of one run.
once() {
	{ TIMEFORMAT='%U %S %R'; time "$@" >/dev/null 2>&1; } 2>&1 | awk '{printf "%.3f %.3f\n", $1 + $2, $3}'
}

# median COLUMN FILE
median() { awk -v c="$1" '{print $c}' "$2" | sort -n | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}'; }

# row NAME FILE NFDUMP-ARGUMENTS -- FLOWGRAF-ARGUMENTS
row() {
	local name=$1 file=$2 theirs=()
	shift 2
	while [ "$1" != -- ]; do
		theirs+=("$1")
		shift
	done
	shift
	: >"$work/theirs"
	: >"$work/ours"
	for _ in 1 2 3 4 5; do
		[ "${theirs[0]-}" = none ] || once nfdump -r "$file" "${theirs[@]}" >>"$work/theirs"
		once "$work/flowgraf" dump -r "$file" "$@" >>"$work/ours"
	done
	figures "$name"
}

# figures NAME: the line of the table of what has been measured.
figures() {
	awk -v name="$1" -v n="$n" -v tc="$(median 1 "$work/theirs")" -v tw="$(median 2 "$work/theirs")" \
		-v oc="$(median 1 "$work/ours")" -v ow="$(median 2 "$work/ours")" 'BEGIN {
		printf "%-32s %9s %9.3f %9s %9.3f %9s\n", name, tc == "" ? "-" : sprintf("%.3f", tc / n * 1e6), oc / n * 1e6,
			tw == "" ? "-" : tw, ow, tw == "" ? "-" : sprintf("%.1f", tw / ow)
	}'
}

echo "$n flows, $(nproc) cores; bytes a flow: $(cd "$work" && for c in none lzo lz4 bz2 zstd; do stat -c "$c %s" $c.nf; done | awk -v n="$n" '{printf "%s %.1f  ", $1, $2 / n}')"
printf '%-32s %9s %9s %9s %9s %9s\n' "" "nfdump" "flowgraf" "nfdump" "flowgraf" "" "" "us/flow" "us/flow" "wall s" "wall s" "times"
row "statistics (-I)" "$work/lz4.nf" -I -- -I
for c in none lz4; do
	row "list, $c" "$work/$c.nf" -o line -- -o line
done
row "csv, lz4" "$work/lz4.nf" -o csv -- -o csv
row "json, lz4" "$work/lz4.nf" -o json -- -o json
for c in none lz4 lzo bz2; do
	row "top 10 -s ip/bytes, $c" "$work/$c.nf" -s ip/bytes -- -s ip/bytes
done
row "list, zstd" "$work/zstd.nf" none -- -c 0
row "top 10 -s ip/bytes, zstd" "$work/zstd.nf" none -- -s ip/bytes
row "top 10 -s ip:p/packets, lz4" "$work/lz4.nf" -s ip:p/packets -- -s ip:p/packets
row "two statistics, lz4" "$work/lz4.nf" -s srcip/bytes -s dstport/bytes -- -s srcip/bytes -s dstport/bytes
row "-A srcip4/24,dstport, lz4" "$work/lz4.nf" -A srcip4/24,dstport -- -A srcip4/24,dstport
row "-A srcip,dstip, top 10, lz4" "$work/lz4.nf" -A srcip,dstip -O bytes -n 10 -- -A srcip,dstip -O bytes -n 10
row "-a, top 10, lz4" "$work/lz4.nf" -a -O bytes -n 10 -o line -- -a -O bytes -n 10
row "-s record/bytes, lz4" "$work/lz4.nf" -s record/bytes -o line -- -s record/bytes
row "one host, lz4" "$work/lz4.nf" -o line 'host 198.18.84.62' -- 'host 198.18.84.62'
row "top 10 of a port, lz4" "$work/lz4.nf" -s ip/bytes 'dst port 443' -- -s ip/bytes 'dst port 443'
row "time window, top 10, lz4" "$work/lz4.nf" -t +20 -s dstip/bytes -- -t +20 --within -s dstip/bytes
rewrite() { rm -f "$work/new"; "$@"; }
: >"$work/theirs"
: >"$work/ours"
for _ in 1 2 3 4 5; do
	once rewrite nfdump -r "$work/lz4.nf" -w "$work/new" -y >>"$work/theirs"
	once rewrite "$work/flowgraf" dump -r "$work/lz4.nf" -w "$work/new" -z lz4 >>"$work/ours"
done
figures "rewrite, lz4"
