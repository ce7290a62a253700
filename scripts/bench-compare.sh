#!/usr/bin/env bash
# Compares the Go benchmarks of this tree with those of another commit, in turns, and says with benchstat what differs
# by more than chance. Of a package without benchmarks there, only the figures of this tree are shown.
#
#   scripts/bench-compare.sh COMMIT
#
# BENCH       regular expression of the benchmarks, by default all
# BENCHTIME   time or number of iterations (100x) of each, by default 1s
# COUNT       rounds, by default 6, which benchstat needs to tell a difference from chance
set -euo pipefail
cd "$(dirname "$0")/.."
base=${1:?which commit is it to be compared with? make bench-compare BASE=COMMIT}
bench=${BENCH:-.} benchtime=${BENCHTIME:-1s} count=${COUNT:-6}
benchstat=golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da

git rev-parse --verify --quiet "$base^{commit}" >/dev/null || {
	echo "there is no commit $base" >&2
	exit 1
}
work=$(mktemp -d)
trap 'git worktree remove --force "$work/base" || true; rm -rf "$work"' EXIT
git worktree add --quiet --detach "$work/base" "$base"
ln -s "$PWD" "$work/new"

# packages: the directories with a benchmark that matches, below the current one.
packages() {
	local dir name
	git grep --untracked -E '^func Benchmark[A-Za-z0-9_]*\(' -- '*_test.go' |
		sed -E 's#/[^/:]+:func (Benchmark[A-Za-z0-9_]*).*# \1#' |
		while read -r dir name; do
			if [[ $name =~ ${bench%%/*} ]]; then echo "$dir"; fi
		done | sort -u
}

# build TREE: compiles the tests of each of its packages, as TREE.tests/1, 2, ...; their directories are in TREE.packages.
build() {
	local n=0 dir
	mkdir "$work/$1.tests"
	(cd "$work/$1" && packages) | while read -r dir; do
		n=$((n + 1))
		(cd "$work/$1/$dir" && go test -c -o "$work/$1.tests/$n" .) </dev/null
		echo "$n $dir"
	done >"$work/$1.packages"
	: >"$work/$1.txt"
}

# round TREE: runs each benchmark once.
round() {
	local n dir
	while read -r n dir; do
		(cd "$work/$1/$dir" && "$work/$1.tests/$n" -test.run '^$' -test.bench "$bench" -test.benchtime "$benchtime" \
			-test.benchmem) </dev/null >>"$work/$1.txt"
	done <"$work/$1.packages"
}

for tree in base new; do
	echo "building $tree" >&2
	build "$tree"
	[ -s "$work/$tree.packages" ] || echo "there is no benchmark like $bench in $tree" >&2
done
for i in $(seq "$count"); do
	echo "round $i of $count" >&2
	# Neither always comes first.
	if [ $((i % 2)) = 1 ]; then
		round base
		round new
	else
		round new
		round base
	fi
done
GOFLAGS='' GOWORK=off go run "$benchstat" "base=$work/base.txt" "new=$work/new.txt"
