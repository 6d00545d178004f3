#!/bin/sh
# Runs every fuzz target for FUZZTIME.
set -eu

grep -rn --include='*_test.go' -o '^func Fuzz[A-Za-z0-9_]*' . | sort | while IFS=: read -r file _ func; do
	name=${func#func }
	dir=$(dirname "$file")
	echo "fuzz: $dir $name"
	go test -run '^$' -fuzz "^$name\$" -fuzztime "${FUZZTIME:-10s}" "$dir" </dev/null
done
