#!/bin/sh
# Runs every fuzz target of the module: fuzz.sh GO TIME
#
# A run that ends with nothing but "context deadline exceeded" has found nothing: Go
# says so when a worker is busy as the time ends. It is tried again, twice at most.
#
# An input that reaches new code is made smaller by a number of runs, not for a time:
# of a file of some kB, a second for each would be all that the time goes to.
set -eu
cd "$(dirname "$0")/.."
go=$1 time=$2 count=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT

fuzz() {
	for try in 1 2 3; do
		if "$go" test -run '^$' -fuzz "^$1\$" -fuzztime "$time" -fuzzminimizetime 100x "./$2" >"$log" 2>&1; then
			tail -n 1 "$log"
			return 0
		fi
		if ! grep -q '^ *context deadline exceeded$' "$log" || grep -q 'Failing input' "$log"; then
			break
		fi
		echo "$1 of $2: the time ended within a run, try $try"
	done
	cat "$log"
	return 1
}

for dir in $(grep -rlE '^func Fuzz' --include='*_test.go' plugins outputs relay cmd tests | xargs -n1 dirname | sort -u); do
	for target in $(grep -hoE '^func Fuzz[A-Za-z0-9_]+' "$dir"/*_test.go | cut -d' ' -f2); do
		fuzz "$target" "$dir"
		count=$((count + 1))
	done
done
[ "$count" -gt 0 ] || { echo "no fuzz target was found" >&2; exit 1; }
echo "$count fuzz targets ran for $time each"
