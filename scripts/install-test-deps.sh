#!/usr/bin/env bash
# Installs the Debian packages that the tests need, if they are missing: Postfix with SASL, a real mail server to test
# the notifier against (run by scripts/smtp-server.sh); glewlwyd, an independent OpenID Connect provider (run by
# pkg/identity/jwks on its own database); Chromium with Japanese fonts, for the browser tests of the portal
# (services/lockbox/internal/e2e/portal); Python with protobuf and NaCl, and protoc, for the example that publishes an
# intent (proto/examples), Python with openssl for the second verifier of receipts (pkg/merkle/oracletest) and with
# cryptography for that of signed approvals (pkg/approval/oracletest); nginx, behind which the manual puts the portal;
# OpenSSH's client, which checks the signatures of releases and of approvals; systemd-analyze, for
# the units (deploy/systemd); Prometheus, for promtool, which tests the alerts (services/lockbox/internal/monitoring); and
# a C compiler, which go test needs for the race detector. It starts no service and configures no mail delivery.
#
#   scripts/install-test-deps.sh            all packages
#   scripts/install-test-deps.sh compiler   the C compiler only
set -euo pipefail

packages=()
[ "${1:-}" = compiler ] || packages=(postfix libsasl2-modules sasl2-bin glewlwyd dbconfig-sqlite3 sqlite3 chromium fonts-noto-cjk
	python3 python3-cryptography python3-protobuf python3-nacl openssl protobuf-compiler libprotobuf-dev openssh-client nginx-light systemd
	prometheus)
compiler=$(go env CC)
command -v "${compiler%% *}" >/dev/null || packages+=(gcc libc6-dev)

missing=()
for package in "${packages[@]}"; do
	status=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true)
	[ "$status" = "install ok installed" ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

fail() {
	cat >&2 <<-TEXT
		The tests need these Debian packages: ${missing[*]}
		$1
		Install them once, as root:  apt-get install --no-install-recommends ${missing[*]}
	TEXT
	exit 1
}

command -v apt-get >/dev/null || fail "This system has no apt-get; the tests run on Debian and its relatives."
root=()
if [ "$(id -u)" -ne 0 ]; then
	if ! command -v sudo >/dev/null || ! sudo -n true 2>/dev/null; then
		fail "This is neither root nor a user who may use sudo without a password."
	fi
	root=(sudo -n)
fi

# Packages must not start a mail server on this machine: policy-rc.d forbids all package scripts to start services.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
	trap '"${root[@]}" rm -f $policy' EXIT
	printf '#!/bin/sh\nexit 101\n' | "${root[@]}" tee $policy >/dev/null
	"${root[@]}" chmod 755 $policy
fi

export DEBIAN_FRONTEND=noninteractive
echo "installing ${missing[*]}"
echo "postfix postfix/main_mailer_type select No configuration" | "${root[@]}" debconf-set-selections || true
install=("${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=300 "${missing[@]}")
log=$(mktemp)
if ! "${install[@]}" </dev/null >"$log" 2>&1; then
	# Usually the package lists are missing or outdated.
	"${root[@]}" apt-get update -q </dev/null >>"$log" 2>&1 || true
	if ! "${install[@]}" </dev/null >>"$log" 2>&1; then
		tail -20 "$log" >&2
		fail "apt-get could not install them; its last words are above."
	fi
fi
rm -f "$log"
