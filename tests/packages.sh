#!/bin/sh
# Installs the Debian packages whose programs the tests talk to. Postfix (for its
# smtp-source and smtp-sink) and exim4 cannot be installed beside another mail
# server, and bsd-mailx would bring one: they are unpacked below build/, and exim
# gets the user it insists on.
# Writes tests/peers.env, which tells the tests where those are. Without root or
# apt-get it installs nothing and says so.
set -eu
cd "$(dirname "$0")/.."
packages="nfdump nfdump-sflow softflowd pmacct tcpreplay influxdb influxdb-client swaks tshark openssl nats-server chromium systemd dbus-daemon"
postfix=build/postfix
exim=build/exim
mailx=build/mailx

missing=""
for program in gcc nfdump nfcapd sfcapd nfreplay softflowd pmacctd tcpreplay influxd influx swaks tshark openssl nats-server chromium systemd-analyze dbus-daemon; do
	command -v "$program" >/dev/null 2>&1 || missing="$missing $program"
done
[ -x "$postfix/usr/sbin/smtp-sink" ] || missing="$missing smtp-sink"
perl -MNet::SSLeay -e 1 2>/dev/null || missing="$missing libnet-ssleay-perl"
[ -x "$exim/usr/sbin/exim4" ] || missing="$missing exim4"
[ -x "$exim/usr/sbin/update-exim4.conf" ] || missing="$missing exim4-config"
[ -x "$exim/usr/sbin/eximstats" ] || missing="$missing exim4-base"
[ -x "$mailx/usr/bin/bsd-mailx" ] || missing="$missing bsd-mailx"

if [ -n "$missing" ]; then
	if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
		echo "installing$missing"
		export DEBIAN_FRONTEND=noninteractive
		apt-get update -qq
		# shellcheck disable=SC2086
		apt-get install -qq -y --no-install-recommends $packages gcc libc6-dev libidn12 libnet-ssleay-perl >/dev/null
		mkdir -p "$postfix"
		(cd build && apt-get download -qq -o APT::Sandbox::User=root postfix && dpkg -x postfix_*.deb postfix && rm postfix_*.deb)
		mkdir -p "$exim"
		for package in exim4-daemon-light exim4-config exim4-base; do
			(cd build && apt-get download -qq -o APT::Sandbox::User=root $package && dpkg -x "$package"_*.deb exim && rm "$package"_*.deb)
		done
		mkdir -p "$mailx"
		for package in bsd-mailx liblockfile1 libbsd0; do
			(cd build && apt-get download -qq -o APT::Sandbox::User=root $package && dpkg -x "$package"_*.deb mailx && rm "$package"_*.deb)
		done
		id Debian-exim >/dev/null 2>&1 ||
			useradd --system --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin Debian-exim
	else
		echo "not installed (no root, or no apt-get):$missing; the tests that need them are skipped"
	fi
fi
{
	echo "export FLOWGRAF_POSTFIX='$PWD/$postfix'"
	echo "export PATH=\"\$PATH:/usr/sbin:/sbin\""
} >tests/peers.env
