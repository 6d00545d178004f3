#!/bin/sh
# Fails when a generated file differs from what generate would write. Needs no
# git: it generates into a folder of its own and compares.
set -eu

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
tools/generate.sh "$dir"
status=0
for file in $(cd "$dir" && find . -type f | sort); do
	if ! diff -u "$file" "$dir/$file"; then
		status=1
	fi
done
[ $status = 0 ] || echo "check-generated: run make generate and commit the result" >&2
exit $status
