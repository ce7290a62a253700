#!/usr/bin/env bash
# Runs each fuzz target for a limited time, one after another.
#
#   scripts/fuzz.sh [TIME]      time per target, by default 20s
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:-20s}

mapfile -t patterns < <(go list -m -f '{{.Dir}}/...')
go list -f '{{range .TestGoFiles}}{{$.Dir}}/{{.}} {{$.ImportPath}}{{"\n"}}{{end}}{{range .XTestGoFiles}}{{$.Dir}}/{{.}} {{$.ImportPath}}{{"\n"}}{{end}}' "${patterns[@]}" |
	while read -r file package; do
		[ -n "$file" ] || continue
		sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$file" | while read -r target; do
			echo "==> $package $target"
			go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "$package" </dev/null
		done
	done
