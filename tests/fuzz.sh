#!/bin/sh
# Runs every fuzz target of the module: fuzz.sh GO TIME
#
# A package's targets are built once: linking takes longer than the 2 to 3 seconds that CI
# gives to each. As many packages run at once as there are processors, with one worker each.
#
# A run that ends with nothing but "context deadline exceeded" has found nothing: Go
# says so when a worker is busy as the time ends. It is tried again, twice at most.
#
# An input that reaches new code is made smaller by a number of runs, not for a time:
# of a file of some kB, a second for each would be all that the time goes to.
set -eu
cd "$(dirname "$0")/.."

# fuzz TARGET PACKAGE: runs one target of the package's binary, in the package's directory.
fuzz() {
	for try in 1 2 3; do
		if (cd "$2" && "$work/test" -test.run '^$' -test.fuzz "^$1\$" -test.fuzztime "$time" -test.fuzzminimizetime 100x \
			-test.parallel 1 -test.paniconexit0 -test.fuzzcachedir "$cache/$("$go" list .)") >"$work/log" 2>&1; then
			echo "ok	$1 of $2: $(grep '^fuzz: ' "$work/log" | tail -n 1 | cut -d' ' -f2-)"
			return 0
		fi
		if ! grep -q '^ *context deadline exceeded$' "$work/log" || grep -q 'Failing input' "$work/log"; then
			break
		fi
		echo "$1 of $2: the time ended within a run, try $try"
	done
	echo "FAIL	$1 of $2"
	cat "$work/log"
	return 1
}

# With a third word, that package's targets.
go=$1 time=$2
if [ $# = 3 ]; then
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	cache=$("$go" env GOCACHE)/fuzz
	"$go" test -c -fuzz Fuzz -o "$work/test" "./$3"
	for target in $(grep -hoE '^func Fuzz[A-Za-z0-9_]+' "$3"/*_test.go | cut -d' ' -f2); do
		fuzz "$target" "$3"
	done
	exit
fi

dirs=$(grep -rlE '^func Fuzz' --include='*_test.go' plugins outputs relay cmd tests | xargs -n1 dirname | sort -u)
[ -n "$dirs" ] || { echo "no fuzz target was found" >&2; exit 1; }
echo "$dirs" | xargs -n 1 -P "$(getconf _NPROCESSORS_ONLN)" "$0" "$go" "$time"
# shellcheck disable=SC2086
count=$(cat $(echo "$dirs" | sed 's,$,/*_test.go,') | grep -cE '^func Fuzz')
echo "$count fuzz targets ran for $time each"
