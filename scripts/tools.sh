#!/usr/bin/env bash
# Installs the development tools, at exactly these versions, into .cache/bin. Each tool is built once per user and Go
# version and kept in the user's cache directory: building golangci-lint takes minutes on 2 cores.
#
#   scripts/tools.sh [NAME...]      all tools if no name is given
set -euo pipefail
cd "$(dirname "$0")/.."

# name  package  module  version
tools="
buf            github.com/bufbuild/buf/cmd/buf                         github.com/bufbuild/buf                 v1.75.0
protoc-gen-go  google.golang.org/protobuf/cmd/protoc-gen-go            google.golang.org/protobuf              v1.36.12
golangci-lint  github.com/golangci/golangci-lint/v2/cmd/golangci-lint  github.com/golangci/golangci-lint/v2    v2.15.0
"

go_version=$(go env GOVERSION)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/lockbox/bin/$go_version
local_bin=$PWD/.cache/bin

# built FILE MODULE VERSION: tests whether FILE is that version and built by this Go. A linter built by an older Go
# rejects newer code.
built() {
	[ -x "$1" ] && go version -m "$1" 2>/dev/null | awk -v file="$1" -v go="$go_version" -v module="$2" -v version="$3" '
		$1 == file ":" && $2 == go { same_go = 1 }
		$1 == "mod" && $2 == module && $3 == version { same_version = 1 }
		END { exit !(same_go && same_version) }'
}

provide() {
	local name=$1 package=$2 module=$3 version=$4
	local cached=$cache/$name@$version gobin
	gobin=$(go env GOBIN)
	gobin=${gobin:-$(go env GOPATH)/bin}
	if ! built "$cached" "$module" "$version"; then
		local work
		mkdir -p "$cache"
		work=$(mktemp -d "$cache/.$name.XXXXXX")
		if built "$gobin/$name" "$module" "$version"; then
			cp "$gobin/$name" "$work/$name"
		else
			echo "building $name $version (once per user)"
			GOBIN=$work GOFLAGS='' GOWORK=off go install "$package@$version"
		fi
		# Renamed into place, so that an interrupted build, or two at once, cannot leave a partial file.
		mv "$work/$name" "$cached"
		rmdir "$work"
	fi
	ln -sfn "$cached" "$local_bin/$name"
}

mkdir -p "$local_bin"
wanted=" $* "
while read -r name package module version; do
	[ -n "$name" ] || continue
	if [ $# -eq 0 ] || [[ $wanted == *" $name "* ]]; then
		provide "$name" "$package" "$module" "$version"
	fi
done <<<"$tools"
