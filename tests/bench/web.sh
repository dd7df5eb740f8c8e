#!/usr/bin/env bash
# Time of the page's answers. A graph of a filter over a day of 288 files, and one by source
# address with a ranking, beside nfdump -s once on the same files, in turns in one run: the aim is
# a third of its time. And a year of 105,120 files: until the page answers, the last day is
# known and all of the year is, without a store, which is made then, and with it; and what a
# browser measures of the page's paint.
#
#   tests/bench/web.sh [FLOWS]
#
# FLOWS is how many the day has. The files are one that nfcapd wrote of generated NetFlow v9,
# copied. Wall time, medians of five runs; the web server does not know the answer before, as
# each filter is another one. On a machine that has other work the times say little.
set -euo pipefail
. "$(dirname "$0")/setup.sh"
need nfcapd nfdump curl perl chromium
go build -o "$work/paint" ./tests/bench/paint
flows=${1:-12000000}
mkdir "$work/in" "$work/day" "$work/year"
nfcapd -w "$work/in" -b 127.0.0.1 -p 29941 -B 64000000 -t 7200 >"$work/nfcapd.log" 2>&1 &
pid=$!
sleep 1
"$work/flowgraf" generate --to 127.0.0.1:29941 --protocol v9 --mix realistic --count $((flows / 288)) --rate 60000 >/dev/null
sleep 2
kill -TERM "$pid"
wait "$pid" || true
pid=
file=$(find "$work/in" -name 'nfcapd.2*' | head -1)
"$work/flowgraf" dump -r "$file" -c 20 -q -w "$work/small.nf"
today=$(date +%s -d "$(date +%F)")
for i in $(seq 0 287); do
	cp "$file" "$work/day/nfcapd.$(date +%Y%m%d%H%M -d "@$((today - 86400 + i * 300))")"
done
perl -MPOSIX=strftime -MFile::Path=make_path -MFile::Copy=copy -e '
	my ($file, $root, $today) = @ARGV;
	my ($n, $of) = (0, "");
	for my $day (1 .. 365) {
		my @t = localtime($today - $day * 86400 + 43200);
		my $dir = $root . strftime("/%Y/%m/%d", @t);
		make_path($dir);
		for my $i (0 .. 287) {
			my $name = sprintf("%s/nfcapd.%s%02d%02d", $dir, strftime("%Y%m%d", @t), $i / 12, $i % 12 * 5);
			if ($n++ % 20000 == 0) { copy($file, $of = $name) or die } # a file has so many links at most
			else { link($of, $name) or die "$name: $!" }
		}
	}' "$work/small.nf" "$work/year" "$today"

# serve DIR [OPTIONS]: starts the web server and sets url.
serve() {
	"$work/flowgraf" web --archive "$1" --listen 127.0.0.1:29942 --store "$work/web.db" >/dev/null 2>&1 &
	pid=$!
	url=http://127.0.0.1:29942
	until curl -sf -o /dev/null "$url/api/v1/status"; do sleep 0.02; done
}

# ready: waits until all files are known.
ready() { until curl -s "$url/api/v1/status" | grep -q '"ready":true'; do sleep 0.02; done; }

stop() {
	kill "$pid"
	wait "$pid" || true
	pid=
}

median() { sort -n "$1" | awk '{v[NR] = $1} END {printf "%.3f\n", v[int((NR + 1) / 2)]}'; }
took() { curl -sf -o /dev/null -w '%{time_total}\n' "$@"; }

serve "$work/day"
ready
span="from=$((today - 86400))&to=$today"
: >"$work/theirs"
: >"$work/ours"
: >"$work/keyed"
for run in 1 2 3 4 5; do
	filter="proto tcp and bytes > $((100 + run))"
	{ TIMEFORMAT=%R; time nfdump -R "$work/day" -s srcip/bytes -n 10 "$filter" >/dev/null 2>&1; } 2>>"$work/theirs"
	took -G "$url/api/v1/query?$span" --data-urlencode "filter=$filter" >>"$work/ours"
	took -G "$url/api/v1/query?$span&by=srcip&stat=srcip/bytes" --data-urlencode "filter=$filter" >>"$work/keyed"
done
stop
awk -v n="$flows" -v t="$(median "$work/theirs")" -v o="$(median "$work/ours")" \
	-v k="$(median "$work/keyed")" 'BEGIN {
	printf "a filter over 288 files, %d flows: nfdump -s once %.2f s, its graph %.2f s, by source with a ranking %.2f s\n",
		n, t, o, k }'
# known FROM: waits until there are flows since FROM.
known() {
	until curl -s "$url/api/v1/statistics?from=$1&to=$today" | grep -q '"total":{[^}]*"files":[1-9]'; do sleep 0.02; done
}

since() { awk -v ns=$(($(date +%s%N) - began)) 'BEGIN { printf "%.2f", ns / 1e9 }'; }

rm -f "$work/web.db"
for store in "without a store" "with a store"; do
	began=$(date +%s%N)
	serve "$work/year"
	answers=$(since)
	known $((today - 86400))
	day=$(since)
	ready
	year=$(took "$url/api/v1/graph?from=$((today - 31536000))&to=$today&points=240")
	printf 'a year, 105,120 files, %s: the page answers %s s after the start, the last day is known %s s, the year %s s, ' \
		"$store" "$answers" "$day" "$(since)"
	printf 'of the processors %s s; the graph of the year itself %s s\n' \
		"$(awk -v t="$(ticks "$pid")" -v hz="$(getconf CLK_TCK)" 'BEGIN { printf "%.1f", t / hz }')" "$year"
	[ "$store" = "with a store" ] || stop
done
"$work/paint" "$url/#/overview"
for path in / /assets/app.js /assets/vendor.js /assets/echarts.js /api/v1/status /api/v1/sources; do
	took -H 'Accept-Encoding: gzip' "$url$path" >/dev/null
	printf '%-22s %s s\n' "$path" "$(took -H 'Accept-Encoding: gzip' "$url$path")"
done
stop
