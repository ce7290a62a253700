#!/usr/bin/env bash
# Builds every module by itself, without go.work, with its tests, as somebody would who depends on that module alone;
# and checks that go.mod and go.sum say what the code needs.
set -euo pipefail
cd "$(dirname "$0")/.."

go list -m -f '{{.Dir}}' | while read -r module; do
	name=${module#"$PWD/"}
	(
		cd "$module"
		export GOWORK=off
		go build ./...
		go vet ./...
		go mod tidy -diff
	) </dev/null || {
		echo "$name: does not stand by itself (GOWORK=off)" >&2
		exit 1
	}
	echo "$name: builds by itself"
done
