#!/bin/sh
# make deb-test: the packages in DIR are installed in a fresh root of Debian's, used there,
# upgraded, removed and purged; then the binary runs in a root with nothing else in it, as in
# the image of the Containerfile. Needs root and mmdebstrap; the root is made anew each time.
# usage: deb.sh DIR
set -eu
packages=$(realpath "$1")
[ "$(id -u)" = 0 ] || { echo "make deb-test needs root" >&2; exit 1; }
command -v mmdebstrap >/dev/null || { echo "make deb-test needs mmdebstrap (apt-get install mmdebstrap)" >&2; exit 1; }
work=$(mktemp -d)
trap 'status=$?; [ -z "${agent:-}" ] || kill "$agent" 2>/dev/null || true; rm -rf "$work"; exit $status' EXIT
root=$work/root

fail() { echo "FAIL: $*" >&2; exit 1; }
step() { echo "== $*"; }
inside() { chroot "$root" env PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"; }
gone() { for path; do [ ! -e "$root$path" ] || fail "$path is still there"; done; }

step "a fresh root"
mmdebstrap --quiet --variant=minbase bookworm "$root" >/dev/null
mkdir "$root/packages" && cp "$packages"/*.deb "$root/packages"

step "install"
inside sh -c 'dpkg -i /packages/*.deb' >"$work/install.log" 2>&1 || { cat "$work/install.log"; fail install; }
inside flowgraf version
inside getent passwd flowgraf >/dev/null || fail "no user flowgraf"
for path in /usr/lib/systemd/system/flowgraf.service /usr/share/man/man1/flowgraf-sendmail.1 \
	/usr/share/bash-completion/completions/flowgraf /etc/flowgraf/flowgraf.d; do
	[ -e "$root$path" ] || fail "$path is not there"
done
[ "$(inside stat -c %U:%a /var/spool/flowgraf)" = flowgraf:711 ] || fail "rights of the spool"
[ "$(inside stat -c %G:%a /etc/flowgraf/flowgraf.conf)" = flowgraf:640 ] || fail "rights of flowgraf.conf"
[ "$(inside readlink /usr/sbin/sendmail)" = /usr/bin/flowgraf ] || fail "sendmail is no link"
inside setpriv --reuid=flowgraf --regid=flowgraf --clear-groups flowgraf check --config /etc/flowgraf/flowgraf.conf ||
	fail "the configuration of the package"

step "use"
cat >"$root/etc/flowgraf/flowgraf.d/test.conf" <<CONF
[[outputs.smtp_relay]]
  listen = ["127.0.0.1:2526"]
  hostname = "host.example.com"
  relay_nets = ["127.0.0.0/8"]
  relay_domains = ["host.example.com"]
  smarthosts = ["maildir:///var/lib/flowgraf/mail"]
  spool = "/var/spool/flowgraf"
CONF
cat >"$root/etc/flowgraf/sendmail.conf" <<CONF
server = "127.0.0.1:2526"
domain = "host.example.com"
relay_config = ["/etc/flowgraf/flowgraf.d/test.conf"]
CONF
sed -i 's/udp:\/\/:2055/udp:\/\/127.0.0.1:20551/; /outputs.nfdump/a rotation_interval = "5s"' "$root/etc/flowgraf/flowgraf.conf"
mails() { find "$root/var/lib/flowgraf/mail/new" -type f 2>/dev/null | wc -l; }
wait_for() { i=0; until eval "$1"; do i=$((i + 1)); [ $i -lt 600 ] || { cat "$work/agent.log"; fail "$1"; }; sleep 0.1; done; }
run_agent() {
	chroot "$root" setpriv --reuid=flowgraf --regid=flowgraf --clear-groups flowgraf agent \
		--config /etc/flowgraf/flowgraf.conf --config-directory /etc/flowgraf/flowgraf.d >"$work/agent.log" 2>&1 &
	agent=$!
}
end_agent() { kill "$agent"; wait "$agent" || { cat "$work/agent.log"; fail "the agent's end"; }; agent=; }
echo "while it is stopped" | inside sendmail -v root || fail "sendmail into the spool: $?"
run_agent
wait_for '[ "$(mails)" = 1 ]'
printf 'To: root\nSubject: running\n\nx\n' | inside sendmail -t || fail "sendmail to the relay: $?"
wait_for '[ "$(mails)" = 2 ]'
inside flowgraf generate --to 127.0.0.1:20551 --protocol v9 --rate 2000 --count 1000 >/dev/null
wait_for 'inside flowgraf dump -q -R /var/lib/flowgraf/flows -I 2>/dev/null | grep -q "^Flows: 1000"'
inside mailq | grep -q "queue is empty" || fail mailq
end_agent

step "upgrade: a changed configuration stays"
inside sh -c 'dpkg -i --force-confold /packages/flowgraf_*.deb' >"$work/upgrade.log" 2>&1 || { cat "$work/upgrade.log"; fail upgrade; }
grep -q 20551 "$root/etc/flowgraf/flowgraf.conf" || fail "flowgraf.conf was replaced"

step "remove, then purge"
inside dpkg -r flowgraf-mta flowgraf >"$work/remove.log" 2>&1 || { cat "$work/remove.log"; fail remove; }
gone /usr/bin/flowgraf /usr/sbin/sendmail /usr/lib/systemd/system/flowgraf.service /usr/share/man/man1/flowgraf.1
grep -q 20551 "$root/etc/flowgraf/flowgraf.conf" || fail "a removal took flowgraf.conf"
inside dpkg -P flowgraf-mta flowgraf 2>&1 | tee "$work/purge.log" | grep -q "/var/lib/flowgraf holds data" ||
	{ cat "$work/purge.log"; fail "a purge does not tell of the archive"; }
gone /etc/flowgraf /var/log/flowgraf
[ -d "$root/var/lib/flowgraf/flows" ] || fail "a purge took the archive"

step "a root with nothing but the binary"
bare=$work/bare
mkdir -p "$bare/etc/flowgraf" "$bare/var/lib/flowgraf" "$bare/tmp"
dpkg-deb --fsys-tarfile "$packages"/flowgraf_*.deb | tar -x -C "$bare" ./usr/bin/flowgraf
sed 's/udp:\/\/:2055/udp:\/\/127.0.0.1:20552/' cmd/flowgraf/packaging/flowgraf.conf >"$bare/etc/flowgraf/flowgraf.conf"
chroot "$bare" /usr/bin/flowgraf version
chroot "$bare" /usr/bin/flowgraf check --config /etc/flowgraf/flowgraf.conf || fail "check in the bare root"
chroot "$bare" /usr/bin/flowgraf agent --config /etc/flowgraf/flowgraf.conf >"$work/agent.log" 2>&1 &
agent=$!
wait_for 'chroot "$bare" /usr/bin/flowgraf generate --to 127.0.0.1:20552 --protocol v5 --rate 2000 --count 300 >"$work/generate.log" 2>&1'
end_agent
chroot "$bare" /usr/bin/flowgraf dump -q -R /var/lib/flowgraf/flows -I | grep "^Flows:" || fail "no flows in the bare root"
echo "ok"
