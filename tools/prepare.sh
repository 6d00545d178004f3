#!/bin/sh
# Installs, when root on Debian, the programs that some tests want, and says
# what the tests will skip for want of the others. SLUICE_INSTALL=no only says.
set -eu

# program and the Debian package that has it
wanted() {
	cat <<-END
		gcc gcc
		ip iproute2
		nft nftables
		ethtool ethtool
		rsyslogd rsyslog
		openssl openssl
		logger bsdutils
		nmap nmap
	END
}

missing() {
	wanted | while read -r program package; do
		command -v "$program" >/dev/null 2>&1 || echo "$package"
	done
	# The TLS driver of rsyslog is a module, not a program.
	ls /usr/lib/*/rsyslog/lmnsd_ossl.so >/dev/null 2>&1 || echo rsyslog-openssl
	# The race detector links against the C library.
	[ -e /usr/include/stdlib.h ] || echo libc6-dev
}

PATH=$PATH:/usr/sbin:/sbin
packages=$(missing | tr '\n' ' ')
if [ -n "$packages" ] && [ "$(id -u)" = 0 ] && [ "${SLUICE_INSTALL:-yes}" != no ] && command -v apt-get >/dev/null 2>&1; then
	echo "prepare: installing for the tests: $packages"
	export DEBIAN_FRONTEND=noninteractive
	# shellcheck disable=SC2086 # one word per package
	apt-get install -qq -y --no-install-recommends $packages >/dev/null 2>&1 ||
		{ apt-get update -qq && apt-get install -qq -y --no-install-recommends $packages >/dev/null; } ||
		echo "prepare: apt-get did not install them"
	packages=$(missing | tr '\n' ' ')
fi
if [ -n "$packages" ]; then
	echo "prepare: not installed: $packages"
	echo "prepare: tests that need them are skipped and say so with go test -v"
fi
if [ "$(id -u)" != 0 ]; then
	echo "prepare: not root: tests in network namespaces are skipped"
fi
