#!/usr/bin/env bash
# Generates the Go code of the protobuf contract.
#
#   scripts/generate.sh           writes the code beside the .proto files
#   scripts/generate.sh --check   changes nothing; fails if the contract violates the lint rules, if the checked-in code
#                                 is not what it generates, or if it breaks compatibility with an earlier commit
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/.cache/bin:$PATH"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

check_same() {
	mkdir "$work/generated"
	(cd proto && buf generate -o "$work/generated")
	(cd proto && find lockbox -name '*.pb.go' -exec install -D -m 644 {} "$work/checked-in/{}" \;)
	if ! diff -ru "$work/checked-in" "$work/generated"; then
		echo "proto: the checked-in Go code differs from what buf generates; run make generate" >&2
		exit 1
	fi
}

# The commit to stay compatible with: the merge base with the main branch; on the main branch itself, the parent commit.
earlier_commit() {
	local head base ref
	head=$(git rev-parse --verify -q HEAD) || return 0
	for ref in origin/main main; do
		base=$(git merge-base HEAD "$ref" 2>/dev/null) || continue
		if [ "$base" != "$head" ]; then
			echo "$base"
			return
		fi
	done
	git rev-parse --verify -q 'HEAD^' || true
}

check_promise() {
	local base
	base=$(earlier_commit)
	if [ -z "$base" ] || [ -z "$(git ls-tree "$base" proto/buf.yaml 2>/dev/null)" ]; then
		echo "proto: no earlier contract to compare with"
		return
	fi
	mkdir "$work/earlier"
	git archive "$base" proto | tar -x -C "$work/earlier"
	(cd proto && buf breaking --against "$work/earlier/proto")
}

case "${1:-}" in
'')
	(cd proto && buf generate)
	;;
--check)
	(cd proto && buf lint)
	(cd proto && buf format --diff --exit-code >/dev/null) || {
		echo "proto: not formatted; run buf format -w in proto" >&2
		exit 1
	}
	check_same
	check_promise
	;;
*)
	echo "usage: scripts/generate.sh [--check]" >&2
	exit 2
	;;
esac
