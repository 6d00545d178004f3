#!/bin/sh
# Installs, when root on Debian, what the link is measured beside; without it
# those rows are left out. SLUICE_INSTALL=no installs nothing.
set -eu

PATH=$PATH:/usr/sbin:/sbin
missing=
for wanted in udp-sender=udpcast iperf3=iperf3 ip=iproute2 nft=nftables ethtool=ethtool; do
	command -v "${wanted%=*}" >/dev/null 2>&1 || missing="$missing ${wanted#*=}"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ] && [ "${SLUICE_INSTALL:-yes}" != no ] && command -v apt-get >/dev/null 2>&1; then
	echo "prepare: installing for the benchmark:$missing"
	export DEBIAN_FRONTEND=noninteractive
	# shellcheck disable=SC2086 # one word per package
	apt-get install -qq -y --no-install-recommends $missing >/dev/null 2>&1 ||
		{ apt-get update -qq && apt-get install -qq -y --no-install-recommends $missing >/dev/null; } ||
		echo "prepare: apt-get did not install them"
	exit 0
fi
echo "prepare: not installed:$missing"
