#!/usr/bin/env bash
# Builds and vets every module, including its tests, without go.work, as it is for a project that depends on that module
# alone; and checks that go.mod and go.sum are tidy.
set -euo pipefail
cd "$(dirname "$0")/.."

go list -m -f '{{.Dir}}' | while read -r module; do
	name=${module#"$PWD/"}
	(
		cd "$module"
		export GOWORK=off
		go build -o /dev/null ./...
		go vet ./...
		go mod tidy -diff
	) </dev/null || {
		echo "$name: does not build on its own (GOWORK=off)" >&2
		exit 1
	}
	echo "$name: builds on its own"
done
