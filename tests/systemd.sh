#!/bin/sh
# make deb-test: the packages in DIR under a real systemd, which is started in namespaces of
# its own with a fresh root of Debian's: units, socket activation, restarts and reloads below
# the connection of a mail client, the watchdog, the page. Needs root and mmdebstrap.
# usage: systemd.sh DIR
set -eu
packages=$(realpath "$1")
[ "$(id -u)" = 0 ] || { echo "make deb-test needs root" >&2; exit 1; }
command -v mmdebstrap >/dev/null || { echo "make deb-test needs mmdebstrap (apt-get install mmdebstrap)" >&2; exit 1; }
work=$(mktemp -d)
root=$work/root

fail() {
	echo "FAIL: $*" >&2
	[ -z "${init:-}" ] || inside journalctl --no-pager -n 60 >&2 || true
	exit 1
}
step() { echo "== $*"; }
inside() { nsenter -t "$init" -a chroot "$root" env PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"; }
wait_for() { i=0; until eval "$1"; do i=$((i + 1)); [ $i -lt 600 ] || fail "$1"; sleep 0.1; done; }
property() { inside systemctl show -P "$1" flowgraf; }
mails() { find "$root/var/lib/flowgraf/mail/new" -type f 2>/dev/null | wc -l; }
end() {
	status=$?
	[ -z "${init:-}" ] || kill -KILL "$init" 2>/dev/null || true
	[ -z "${space:-}" ] || wait "$space" 2>/dev/null || true
	rm -rf "$work"
	exit $status
}
trap end EXIT

step "a fresh root with systemd"
mmdebstrap --quiet --variant=minbase --include=systemd,systemd-sysv,dbus bookworm "$root" >/dev/null
cp "$packages"/flowgraf_*.deb "$packages"/flowgraf-mta_*.deb "$root/root"
chroot "$root" sh -c 'dpkg -i /root/*.deb' >"$work/install.log" 2>&1 || { cat "$work/install.log"; fail install; }
cat >"$work/boot" <<'BOOT'
set -e
root=$1
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/dev"
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
for device in null zero full random urandom tty; do
	touch "$root/dev/$device"
	mount --bind "/dev/$device" "$root/dev/$device"
done
ln -s /proc/self/fd "$root/dev/fd"
ln -s pts/ptmx "$root/dev/ptmx"
exec chroot "$root" env -i container=chroot PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd
BOOT
unshare --fork --pid --mount --uts --ipc --cgroup --net sh "$work/boot" "$root" >"$work/boot.log" 2>&1 &
space=$!
wait_for 'init=$(pgrep -P "$space")'
wait_for 'inside systemctl is-system-running 2>/dev/null | grep -qE "running|degraded"'

step "the unit starts, and systemd-analyze is content"
inside systemctl enable --now flowgraf flowgraf-web 2>/dev/null
[ "$(property StatusText)" = "inputs netflow; outputs nfdump" ] || fail "status is $(property StatusText)"
[ "$(property User)" = flowgraf ] || fail "it runs as $(property User)"
for unit in flowgraf flowgraf-web; do
	inside systemd-analyze security --no-pager --threshold=20 "$unit" >"$work/security" || fail "$(tail -n 1 "$work/security")"
	tail -n 1 "$work/security"
done
inside flowgraf generate --to 127.0.0.1:2055 --protocol v9 --rate 2000 --count 1000 >/dev/null
wait_for 'inside flowgraf dump -q --current -R /var/lib/flowgraf/flows -I 2>/dev/null | grep -q "^Flows: 1000"'
inside bash -c 'exec 3<>/dev/tcp/127.0.0.1/8080; printf "GET / HTTP/1.0\r\nHost: localhost:8080\r\n\r\n" >&3; head -n 1 <&3' | grep -q " 200 " ||
	fail "no page"
[ "$(inside systemctl show -P NRestarts flowgraf-web)" = 0 ] || fail "the page was started before its archive"

step "a port below 1024 that systemd opens starts it"
inside systemctl stop flowgraf
cp "$root/usr/share/doc/flowgraf/examples/flowgraf.socket" "$root/etc/systemd/system/"
cat >"$root/etc/flowgraf/flowgraf.d/relay.conf" <<'CONF'
[[outputs.smtp_relay]]
  listen = ["127.0.0.1:25"]
  hostname = "host.example.com"
  relay_nets = ["127.0.0.0/8"]
  relay_domains = ["example.com"]
  smarthosts = ["maildir:///var/lib/flowgraf/mail"]
  spool = "/var/spool/flowgraf"
CONF
inside systemctl daemon-reload
inside systemctl enable --now flowgraf.socket 2>/dev/null
printf 'To: somebody@example.com\nSubject: first\n\nx\n' | inside sendmail -t || fail "sendmail through the socket: $?"
wait_for '[ "$(mails)" = 1 ]'
[ "$(property ActiveState)" = active ] || fail "the socket did not start the unit"

step "restarts and reloads below one connection: every mail is taken and delivered"
cat >"$root/root/client" <<'CLIENT'
exec 3<>/dev/tcp/127.0.0.1/25
say() {
	[ -z "$2" ] || printf '%s\r\n' "$2" >&3
	while IFS= read -r -t 60 line <&3; do
		case $line in
		$1-*) ;;
		$1*) return ;;
		*) break ;;
		esac
	done
	echo "mail ${i:-0}: ${2:-greeting}: ${line:-no answer}"
	exit 1
}
say 220 ""
say 250 "EHLO client.example.com"
for i in $(seq "$1"); do
	say 250 "MAIL FROM:<cron@example.com>"
	say 250 "RCPT TO:<somebody@example.com>"
	say 354 DATA
	printf 'Subject: %d\r\n\r\nx\r\n' "$i" >&3
	say 250 .
	sleep 0.05
done
CLIENT
inside bash /root/client 100 >"$work/client.log" 2>&1 &
client=$!
for _ in 1 2 3 4; do
	sleep 1
	inside systemctl restart flowgraf || fail restart
	sleep 1
	inside systemctl reload flowgraf || fail reload
done
wait "$client" || fail "the client: $(cat "$work/client.log")"
wait_for '[ "$(mails)" = 101 ]'
[ "$(property NRestarts)" = 0 ] || fail "systemd had to start it $(property NRestarts) times again"

step "killed, and hung: systemd starts it again, and what was taken is delivered"
again() { [ "$(property NRestarts)" -ge "$1" ] && [ "$(property ActiveState)" = active ]; }
deliver() {
	had=$(mails)
	printf 'To: somebody@example.com\nSubject: %s\n\nx\n' "$1" | inside sendmail -t || fail "sendmail after it was $1: $?"
	wait_for '[ "$(mails)" = $((had + 1)) ]'
}
inside sh -c "kill -KILL $(property MainPID)"
wait_for 'again 1'
deliver killed
mkdir -p "$root/etc/systemd/system/flowgraf.service.d"
printf '[Service]\nWatchdogSec=2s\n' >"$root/etc/systemd/system/flowgraf.service.d/watchdog.conf"
inside systemctl daemon-reload
inside systemctl restart flowgraf
sleep 5
[ "$(property Result)" = success ] || fail "the watchdog killed an agent that works: $(property Result)"
restarts=$(property NRestarts)
inside sh -c "kill -STOP $(property MainPID)"
wait_for 'again $((restarts + 1))'
deliver stopped
inside systemctl stop flowgraf.socket flowgraf flowgraf-web
[ "$(property Result)" = success ] || fail "its end: $(property Result)"
if inside journalctl --no-pager -u flowgraf -u flowgraf-web | grep ' E! '; then fail "errors in the journal"; fi
echo "ok"
