#!/bin/sh
# Installs, when root on Debian, what the package's tests take.
# SLUICE_INSTALL=no keeps it from that; the tests then say what is missing.
set -eu

packages=
for pair in debootstrap:debootstrap systemd-nspawn:systemd-container lintian:lintian nsenter:util-linux; do
	command -v "${pair%%:*}" >/dev/null 2>&1 || packages="$packages ${pair##*:}"
done
if [ -z "$packages" ] || [ "$(id -u)" != 0 ] || [ "${SLUICE_INSTALL:-yes}" = no ] || ! command -v apt-get >/dev/null 2>&1; then
	exit 0
fi
echo "prepare: installing for the tests:$packages"
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086 # one word per package
apt-get install -qq -y --no-install-recommends $packages >/dev/null 2>&1 ||
	{ apt-get update -qq && apt-get install -qq -y --no-install-recommends $packages >/dev/null; } ||
	echo "prepare: apt-get did not install them"
