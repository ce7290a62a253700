#!/usr/bin/env bash
# Builds the images, starts the container stack under its own project name and on its own ports, takes a request through
# the workflow, and always removes the stack again.
#
#   scripts/compose-test.sh         without a Docker engine: reports a skip, which in CI (CI=true) is a failure
set -euo pipefail
cd "$(dirname "$0")/.."

if ! docker version >/dev/null 2>&1; then
	echo "compose: SKIPPED, no Docker engine answers: the container stack was not tested" >&2
	[ -z "${CI:-}" ]
	exit
fi
if docker compose version >/dev/null 2>&1; then
	compose=(docker compose)
elif command -v docker-compose >/dev/null; then
	compose=(docker-compose)
else
	echo "compose: there is a Docker engine but neither docker compose nor docker-compose" >&2
	exit 1
fi
make images
compose+=(--project-name "lockbox-test-$$")
export LOCKBOX_NATS_PORT=0 LOCKBOX_MAIL_PORT=0 LOCKBOX_PORTAL_PORT=0 LOCKBOX_LOG_PORT=0 # any free port

take_down() {
	status=$?
	trap - EXIT
	if [ $status -ne 0 ]; then
		"${compose[@]}" ps || true
		"${compose[@]}" logs --no-color --tail 60 || true
	fi
	"${compose[@]}" down --volumes --remove-orphans >/dev/null 2>&1 || echo "compose: could not remove everything" >&2
	exit $status
}
trap take_down EXIT
trap 'exit 130' INT TERM

# eventually SECONDS COMMAND...: waits until the command succeeds.
eventually() {
	local deadline=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		if [ $SECONDS -ge $deadline ]; then
			echo "compose: gave up waiting for: $*" >&2
			"$@" || return 1
			return
		fi
		sleep 0.2
	done
}

container() { "${compose[@]}" ps --all -q "$1"; }
is() { [ "$(docker inspect --format "$1" "$(container "$2")")" = "$3" ]; }
running_since_its_start() { is '{{.State.Running}} {{.RestartCount}}' "$1" 'true 0'; }
cli() { "${compose[@]}" run --rm -T cli "$@" </dev/null; }

start=$SECONDS
"${compose[@]}" up --detach
eventually 60 is '{{.State.Status}} {{.State.ExitCode}}' provision 'exited 0'
for part in nats mailbox jit-evaluator lockbox-orchestrator notifier audit-projector portal; do
	eventually 20 running_since_its_start "$part"
done
echo "compose: up after $((SECONDS - start)) s"

# No container runs as root or can write outside its volumes.
for part in nats mailbox jit-evaluator lockbox-orchestrator notifier audit-projector portal; do
	is '{{.Config.User}} {{.HostConfig.ReadonlyRootfs}}' "$part" '65532:65532 true' || { echo "compose: $part has more privileges than it needs" >&2 && exit 1; }
done

# The portal serves its own page.
portal_answers() (
	address=$("${compose[@]}" port portal 8080)
	exec 3<>"/dev/tcp/${address%:*}/${address##*:}"
	printf 'GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n' "$address" >&3
	grep -q '^Content-Security-Policy: ' <&3
)
eventually 20 portal_answers

eventually 60 is '{{.State.Status}} {{.State.ExitCode}}' demo-customers 'exited 0'

# A request from intent to grant.
submitted=$(cli intent submit --as erin --tenant meadowbank --subscription meadow-production \
	--type compute/virtual-machines --scenario memory-dump \
	--resource /subscriptions/meadow-production/resourceGroups/payments/providers/Microsoft.Compute/virtualMachines/payments-1 \
	--reason-type CUSTOMER_INITIATED_SUPPORT --ticket SR-2026-0001 --justification "The machine hangs; a memory dump will show where." -o json)
request=$(grep -oE '[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}' <<<"$submitted" | head -n 1)
echo "compose: request $request"
cli approval approve --as otto "$request" --for 2h --yes >/dev/null
active() { cli request show --as otto "$request" -o json | grep -q REQUEST_STATUS_ACTIVE; }
eventually 30 active

# After a restart of the bus, all services reconnect on their own and nothing is lost.
"${compose[@]}" restart nats >/dev/null 2>&1
eventually 30 active
cli approval revoke --as otto "$request" --reason "We have seen enough." >/dev/null
echo "compose: the stack works"
