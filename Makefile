# Sluice. `make` alone lists the targets. Needs Go and make; what else a target
# wants, it fetches or names.

MAKEFLAGS += --no-print-directory

# VERSION=1.2.3 goes into the programs; without it they say what the source says.
VERSION ?=
LDFLAGS := -s -w $(if $(VERSION),-X main.version=$(VERSION))

# How long each fuzz target of fuzz-short runs.
FUZZTIME ?= 10s

TOOLS := bin/tools
GO_TOOL := go tool -modfile=tools/go.mod

.PHONY: help
help:
	@awk -F ' *## *' '/^[a-z0-9-]+:.*##/ { sub(/:.*/, "", $$1); printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## compile every program into bin/
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)' -o bin/ ./cmd/...

.PHONY: run
run: build ## build and start the quickstart: two nodes on loopback, joined by a one-way link
	@bin/sluice run

.PHONY: demo
demo: build ## cut a one-way link for ten seconds and lose nothing; under a minute, without root
	@go run ./test/demo

.PHONY: test
test: ## all tests, with the race detector; as root it installs the programs that some of them want
	@tools/test.sh

.PHONY: e2e
e2e: ## only the tests of whole nodes, in network namespaces when root
	@tools/prepare.sh
	go test -count=1 -timeout 15m -v ./test/e2e

.PHONY: fuzz-short
fuzz-short: ## every fuzz target for FUZZTIME (10s)
	@FUZZTIME=$(FUZZTIME) tools/fuzz.sh

.PHONY: lint
lint: $(TOOLS)/golangci-lint ## golangci-lint and staticcheck
	$(TOOLS)/golangci-lint run ./...
	$(GO_TOOL) staticcheck ./...

.PHONY: format
format: $(TOOLS)/golangci-lint ## format the Go code
	$(TOOLS)/golangci-lint fmt ./...

.PHONY: generate
generate: ## write the generated files anew
	@tools/generate.sh .

.PHONY: check-generated
check-generated: ## fail when a generated file is not what generate would write
	@tools/check-generated.sh

.PHONY: deb
deb: $(TOOLS)/nfpm ## build the Debian package into dist/; VERSION=1.2.3 names it, ARCH=arm64 builds for another machine
	@VERSION=$(VERSION) ARCH=$(ARCH) packaging/build.sh $(TOOLS)/nfpm

.PHONY: package-test
package-test: deb ## install the package in a Debian root and boot it, as root; three minutes, needs a Debian mirror
	@packaging/prepare.sh
	SLUICE_PACKAGE_TEST=yes go test -count=1 -timeout 15m -v ./packaging

.PHONY: bench
bench: build ## measure the whole way beside rsyslog; QUICK=1 ends within 45 s, UPDATE=1 writes docs/performance.md
	go run ./test/bench

.PHONY: bench-diode
bench-diode: ## measure the one-way link alone beside udpcast, as root; QUICK=1 and UPDATE=1 as with bench
	@test/bench/diode/prepare.sh
	go run ./test/bench/diode

.PHONY: bench-guard
bench-guard: build ## measure what guard and sandbox cost, with them and without, as root; QUICK=1 and UPDATE=1 as with bench
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -o bin/bench/ ./test/bench ./test/bench/diode ./test/bench/barriers
	bin/bench/barriers

.PHONY: guard-matrix
guard-matrix: ## show what leaves a guarded interface under which defence, as root; QUICK=1 tries monitoring points only
	@tools/prepare.sh
	@go test -c -o bin/guard-matrix ./test/matrix
	@rm -f bin/guard-matrix.md
	@bin/guard-matrix -matrix bin/guard-matrix.md -test.run '^TestEmission$$' $(if $(QUICK),-test.short) || ended=$$?; \
		cat bin/guard-matrix.md || { echo "guard-matrix: nothing was tried: it takes root, and what tools/prepare.sh names"; exit 1; }; exit $${ended:-0}

.PHONY: ci
ci: check-generated lint test ## what must pass before a change is merged

.PHONY: clean
clean: ## remove what was built, and the state of the quickstart
	rm -rf bin dist var

# Built once: golangci-lint takes about 140 s.
$(TOOLS)/golangci-lint: tools/golangci-lint/go.mod tools/golangci-lint/go.sum
	go build -C tools/golangci-lint -buildvcs=false -o ../../$@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

$(TOOLS)/nfpm: tools/nfpm/go.mod tools/nfpm/go.sum
	go build -C tools/nfpm -buildvcs=false -o ../../$@ github.com/goreleaser/nfpm/v2/cmd/nfpm
