#!/bin/sh
# Runs every fuzz target of the module: fuzz.sh GO TIME
set -eu
cd "$(dirname "$0")/.."
go=$1 time=$2 count=0
for dir in $(grep -rlE '^func Fuzz' --include='*_test.go' plugins outputs relay cmd tests | xargs -n1 dirname | sort -u); do
	for target in $(grep -hoE '^func Fuzz[A-Za-z0-9_]+' "$dir"/*_test.go | cut -d' ' -f2); do
		"$go" test -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 1s "./$dir"
		count=$((count + 1))
	done
done
[ "$count" -gt 0 ] || { echo "no fuzz target was found" >&2; exit 1; }
echo "$count fuzz targets ran for $time each"
