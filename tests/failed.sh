#!/usr/bin/env bash
# failed.sh LOG: what the tests that failed have printed, out of the log of go test -v,
# at most 60 lines of each and no agent's debug lines: the last thing that make test says.
set -euo pipefail
awk '
	function name(line) { sub(/^ *(=== [A-Z]+ +|--- [A-Z]+: )/, "", line); sub(/ .*/, "", line); return line }
	/^=== (RUN|CONT|NAME|PAUSE) / { current = name($0); next }
	/^ *--- FAIL: / {
		print; of = name($0); n = kept[of]
		for (i = n > 60 ? n - 60 : 0; i < n; i++) print said[of, i]
		next
	}
	/^ *--- / { next }
	/^(FAIL|panic:|fatal error:|WARNING: DATA RACE)/ { print; next }
	/^(ok|PASS|\?) / { current = ""; next }
	/ D! \[/ { next }
	{ said[current, kept[current]++] = $0 }
' "$1"
