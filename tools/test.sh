#!/bin/sh
# All tests. The tests of whole nodes run after the others and alone, because
# they measure what a loaded machine would spoil.
set -eu

tools/prepare.sh
PATH=$PATH:/usr/sbin:/sbin
export PATH

race=-race
if ! command -v gcc >/dev/null 2>&1 || [ ! -e /usr/include/stdlib.h ]; then
	race=
	echo "test: no C compiler: running without the race detector (apt-get install gcc libc6-dev)"
fi

echo "test: go vet"
go vet ./...
echo "test: packages${race:+, with the race detector}"
# shellcheck disable=SC2086 # $race is one word or none
go test $race -timeout 10m $(go list ./... | grep -v '/test/e2e$')
echo "test: whole nodes"
# shellcheck disable=SC2086
go test $race -count=1 -timeout 15m ./test/e2e
