#!/usr/bin/env bash
# Mails a second through the relay, exim4-daemon-light beside it in the same run:
# Postfix's smtp-source sends mails of 3 kB over SESSIONS sessions, its smtp-sink
# is the smarthost. Accepted: until smtp-source ends. Delivered: until the sink
# has all. Budget: ten times exim. Then the time from the end of a message to its
# 250, by mailclient, over as many sessions. Budget: a p99 below exim's.
#
#   tests/bench/relay.sh [FLOWGRAF_MAILS [EXIM_MAILS [SESSIONS]]]
#
# The programs come from tests/packages.sh. exim runs with a configuration of
# this script's own and delivers at once, as Debian's does.
set -euo pipefail
cd "$(dirname "$0")/../.."
ours=${1:-20000} theirs=${2:-2000} sessions=${3:-8}
postfix=${FLOWGRAF_POSTFIX:-$PWD/build/postfix} exim=${FLOWGRAF_EXIM:-$PWD/build/exim}
for program in "$postfix/usr/sbin/smtp-source" "$postfix/usr/sbin/smtp-sink" "$exim/usr/sbin/exim4"; do
	[ -x "$program" ] || {
		echo "$program is not there: run make packages as root" >&2
		exit 1
	}
done
work=$(mktemp -d)
chmod 755 "$work"
pids=
cleanup() {
	for pid in $pids; do kill "$pid" 2>/dev/null || true; done
	wait || true
	rm -rf "$work"
}
trap cleanup EXIT
go build -o "$work/flowgraf" ./cmd/flowgraf
go build -o "$work/mailclient" ./tests/bench/mailclient
export LD_LIBRARY_PATH="$postfix/usr/lib/postfix${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
sink=29930 relay=29931 eximport=29932

start_sink() {
	"$postfix/usr/sbin/smtp-sink" $([ "$(id -u)" = 0 ] && echo -u nobody) -c "127.0.0.1:$sink" 1000 >"$work/sink.out" 2>&1 &
	sinkpid=$!
	pids="$pids $sinkpid"
	await "$sink"
}

await() {
	for _ in $(seq 100); do
		(exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return
		sleep 0.1
	done
	echo "nothing listens on port $1" >&2
	cat "$work"/*.out >&2
	exit 1
}

# sunk prints how many mails the sink has counted: it writes "sess=1 quit=0 mesg=9".
sunk() { tail -c 200 "$work/sink.out" | tr '\r' '\n' | awk -F= '/mesg=[0-9]+$/ {n = $NF} END {print n + 0}'; }

# measure NAME PORT MAILS
measure() {
	local begin accepted end before
	start_sink
	before=$(sunk)
	begin=$(date +%s.%N)
	"$postfix/usr/sbin/smtp-source" -d -s "$sessions" -l 3000 -m "$3" -f a@example.com -t b@example.com "127.0.0.1:$2"
	accepted=$(date +%s.%N)
	for _ in $(seq 1000); do
		[ "$(($(sunk) - before))" -ge "$3" ] && break
		sleep 0.02
	done
	end=$(date +%s.%N)
	awk -v name="$1" -v n="$3" -v got="$(($(sunk) - before))" -v b="$begin" -v a="$accepted" -v e="$end" \
		'BEGIN {printf "%-10s %8.0f accepted/s %8.0f delivered/s   %d of %d mails at the sink\n", name, n / (a - b), n / (e - b), got, n}'
	kill "$sinkpid"
	wait "$sinkpid" || true
}

# accept NAME PORT MAILS
accept() {
	start_sink
	printf '%-10s' "$1"
	"$work/mailclient" "127.0.0.1:$2" "$sessions" "$3" 3000
	for _ in $(seq 1000); do # until the sink has all, so that the next one is alone
		[ "$(sunk)" -ge "$3" ] && break
		sleep 0.05
	done
	kill "$sinkpid"
	wait "$sinkpid" || true
}

mkdir -p "$work/exim" "$work/exim/log"
cat >"$work/exim.conf" <<EOF
exim_user = $([ "$(id -u)" = 0 ] && echo Debian-exim || id -un)
exim_group = $([ "$(id -u)" = 0 ] && echo Debian-exim || id -gn)
spool_directory = $work/exim
log_file_path = $work/exim/log/%slog
pid_file_path = $work/exim/pid
primary_hostname = relay.example.com
smtp_accept_max = 1000
smtp_accept_queue_per_connection = 0
never_users =
deliver_drop_privilege = true
tls_advertise_hosts =
keep_environment =
acl_smtp_rcpt = accept
begin acl
accept:
  accept
begin routers
smarthost:
  driver = manualroute
  route_list = * 127.0.0.1::$sink byname
  transport = smtp
  self = send
begin transports
smtp:
  driver = smtp
  port = $sink
  hosts_try_chunking =
EOF
if [ "$(id -u)" = 0 ]; then chown -R Debian-exim:Debian-exim "$work/exim"; fi
"$exim/usr/sbin/exim4" -C "$work/exim.conf" -bdf -oX "127.0.0.1.$eximport" >"$work/exim.out" 2>&1 &
pids="$pids $!"
cat >"$work/relay.conf" <<EOF
[agent]
  quiet = true
[[outputs.smtp_relay]]
  listen = ["127.0.0.1:$relay"]
  hostname = "relay.example.com"
  relay_nets = ["127.0.0.1"]
  relay_domains = ["example.com"]
  spool = "$work/spool"
  smarthosts = ["smtp://127.0.0.1:$sink"]
  smarthost_tls = "none"
EOF
"$work/flowgraf" agent --config "$work/relay.conf" >"$work/relay.out" 2>&1 &
pids="$pids $!"
await "$relay"
await "$eximport"
echo "$sessions sessions, mails of 3000 octets, $(nproc) cores"
measure exim "$eximport" "$theirs"
measure flowgraf "$relay" "$ours"
accept exim "$eximport" "$theirs"
accept flowgraf "$relay" "$ours"
