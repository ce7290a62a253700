# Common tasks. The README and continuous integration run these same targets.
# Requires Go, make and git; make test installs the rest (scripts/tools.sh, scripts/install-test-deps.sh).
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

BINARIES := lockbox jit-evaluator lockbox-orchestrator notifier audit-projector portal forwarder verifier
LINT := .cache/bin/golangci-lint

# All modules of go.work, as package patterns.
PACKAGES = $(shell go list -m -f '{{.Dir}}/...')
ARGS ?=
FUZZ_TIME ?= 20s
# Without paths in the build, clones share the build cache.
export GOFLAGS ?= -trimpath
# Only the race detector needs C; one setting everywhere keeps the build cache shared.
export CGO_ENABLED = 0
# Runs and counts the tests of a tier; pkg/archtest/suite/tiers.go defines the tiers.
TIER = go run ./pkg/archtest/suite

##@ Use it
.PHONY: help run build images release
help: ## this list
	@awk 'BEGIN { FS = ":.*## " } /^##@/ { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z][a-z-]*:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: build-lockbox ## run everything in one process, with two demo tenants (ARGS="--data DIR" to keep it elsewhere)
	exec bin/lockbox up --demo $(ARGS)

build: $(addprefix build-,$(BINARIES)) ## build all programs into bin/

.PHONY: $(addprefix build-,$(BINARIES))
$(addprefix build-,$(BINARIES)): build-%:
	@go build -trimpath -o bin/$* ./services/$*/cmd/$*

images: ## build the container images, of one program each, for docker-compose.yml
	@go run ./scripts/release images --tag $${LOCKBOX_TAG:-dev} $(BINARIES)

release: ## make what is published of a commit, into dist/ (VERSION=v1.2.3 ARGS="--key FILE")
	@go run ./scripts/release --version "$(VERSION)" $(ARGS)

##@ Check it
.PHONY: test checks pure parts browser faults bench bench-compare fuzz deps tools check-format vet lint check-generated check-modules check-shape compose-test
# What breaks most often and fails fastest comes first: a pure package fails before the linter is even built.
# LOCKBOX_TEST_LONG=10 gives all randomized tests ten times as many rounds; nothing else changes.
test: checks pure thorough-checks parts browser faults compose-test ## everything that CI runs; installs what it needs

checks: check-format vet check-shape ## format, vet, where code lives

pure: compiler ## tests of what only computes
	@$(TIER) pure

parts: deps build ## tests with the bus, databases and other people's servers
	@$(TIER) parts

browser: deps build ## tests of the portal in a browser
	@$(TIER) browser

faults: deps build ## tests that start programs and kill them
	@$(TIER) faults

.PHONY: thorough-checks compiler
thorough-checks: lint check-generated check-modules ## the linter, the contract, each module by itself

bench: ## measure stages and the whole workflow, beside the bare floor and PostgreSQL in the same run
	@go build -trimpath -o bin/lockbox-bench-peers ./services/lockbox/internal/bench/peers
	@go run ./services/lockbox/cmd/lockbox-bench --peers bin/lockbox-bench-peers $(ARGS)

bench-compare: ## compare the Go benchmarks with those of a commit (BASE=main BENCH=Load BENCHTIME=1s COUNT=6)
	@BENCH="$(BENCH)" BENCHTIME="$(BENCHTIME)" COUNT="$(COUNT)" scripts/bench-compare.sh $(BASE)

fuzz: ## run each fuzz target for FUZZ_TIME (20s)
	@scripts/fuzz.sh $(FUZZ_TIME)

compose-test: ## bring the compose stack up, carry a request through it, take it down
	@scripts/compose-test.sh

lint: tools ## golangci-lint over every module
	@echo "==> golangci-lint"
	@$(LINT) run --allow-parallel-runners $(PACKAGES)

deps:
	@echo "==> system packages for the tests"
	@scripts/install-test-deps.sh

compiler: # without which go test has no race detector
	@scripts/install-test-deps.sh compiler

tools:
	@echo "==> tools"
	@scripts/tools.sh

check-format:
	@echo "==> formatting"
	@unformatted=$$(git ls-files -z --cached --others --exclude-standard -- '*.go' | xargs -0 -r ls -d 2>/dev/null | xargs -r gofmt -l); \
	if [ -n "$$unformatted" ]; then echo "not formatted (run gofmt -w):"; echo "$$unformatted"; exit 1; fi

vet:
	@echo "==> go vet"
	@go vet $(PACKAGES)

check-generated: tools
	@echo "==> protobuf: lint, generated code, breaking changes"
	@scripts/generate.sh --check

check-modules:
	@echo "==> each module by itself"
	@scripts/check-modules.sh

check-shape:
	@$(TIER) checks

##@ Change it
.PHONY: generate controls clean
generate: tools ## generate the Go code of proto/
	@scripts/generate.sh

controls: ## write the control mapping, deploy/compliance/README.md, from the tests' tags
	@go test -count=1 -run TestTheControlMappingIsWhatTheTestsSay ./pkg/archtest -update

clean: ## remove what was built (tools stay in the user's cache, data in .lockbox)
	rm -rf bin dist .cache artefacts
