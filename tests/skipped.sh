#!/bin/sh
# Says how many tests were skipped and why, from the output of go test -v: skipped.sh LOG
awk '
	/^ +[a-zA-Z0-9_]+_test\.go:[0-9]+: |^ +peers\.go:[0-9]+: / { reason = $0; sub(/^ +[^ ]+ /, "", reason) }
	/^ *--- SKIP: / { skipped++; why[reason == "" ? "no reason given" : reason]++; reason = "" }
	/^ *--- (PASS|FAIL): / { ran++; reason = "" }
	END {
		printf "%d tests ran, %d were skipped", ran, skipped
		for (r in why) printf "; %d: %s", why[r], r
		printf "\n"
	}' "$1"
