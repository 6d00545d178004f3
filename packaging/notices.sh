#!/bin/sh
# Prints the licences and notices of every module that is linked into the
# programs, and of the Go standard library. First argument: GOARCH.
set -eu

show() { # name, folder
	found=
	for file in "$2"/LICEN[CS]E* "$2"/UNLICENSE* "$2"/COPYING* "$2"/NOTICE* "$2"/PATENTS*; do
		[ -f "$file" ] || continue
		found=yes
		printf '==== %s: %s\n\n' "$1" "$(basename "$file")"
		cat "$file"
		printf '\n\n'
	done
	[ -n "$found" ] || { echo "notices: $1 has no licence file" >&2; exit 1; }
}

show "Go $(go env GOVERSION)" "$(go env GOROOT)"
CGO_ENABLED=0 GOOS=linux GOARCH=$1 go list -deps -f '{{with .Module}}{{if not .Main}}{{.Path}}@{{.Version}} {{.Dir}}{{end}}{{end}}' ./cmd/... |
	sort -u | while read -r module dir; do
	show "$module" "$dir"
done
