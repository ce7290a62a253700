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
project=lockbox-test-$$
compose+=(--project-name "$project")
for port in NATS NATS_B NATS_C MAIL PORTAL PORTAL_B LOG LOG_B; do
	export "LOCKBOX_${port}_PORT=0" # any free port
done
nodes=(nats-a nats-b nats-c)
services=()
for service in jit-evaluator lockbox-orchestrator notifier audit-projector portal forwarder; do
	services+=("$service" "$service-b")
done

# The file for production says of itself what it lacks, and has nothing of the demo.
production=("${compose[@]}" --file docker-compose.yml --file deploy/compose/production.yml config)
if "${production[@]}" >/dev/null 2>&1; then
	echo "compose: production.yml asks for no settings" >&2
	exit 1
fi
# Captured, because a command whose output is read only in part fails.
configured=$(LOCKBOX_SETTINGS=/etc/lockbox LOCKBOX_LOG_NAME=log.example.org/log "${production[@]}")
grep -q -- '--log-name=log.example.org/log' <<<"$configured"
grep -q '/etc/lockbox/portal.yaml' <<<"$configured"
if grep -E 'demo|mailbox' <<<"$configured"; then
	echo "compose: production.yml has parts of the demo" >&2
	exit 1
fi

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
		sleep 0.5
	done
}

container() {
	docker ps --all --quiet --filter "label=com.docker.compose.project=$project" \
		--filter "label=com.docker.compose.service=$1" --filter label=com.docker.compose.oneoff=False
}
is() { [ "$(docker inspect --format "$1" "$(container "$2")")" = "$3" ]; }
healthy_since_its_start() { is '{{.State.Health.Status}} {{.RestartCount}}' "$1" 'healthy 0'; }
cli() { "${compose[@]}" run --rm -T cli "$@" </dev/null; }

start=$SECONDS
"${compose[@]}" up --detach
eventually 180 is '{{.State.Status}} {{.State.ExitCode}}' provision 'exited 0'
for part in "${nodes[@]}" "${services[@]}" mailbox; do
	eventually 180 healthy_since_its_start "$part"
done
echo "compose: three nodes and two copies of each service are healthy after $((SECONDS - start)) s"

# No container runs as root, has a capability, writes outside its volumes, or takes all memory or processes.
limited='{{.Config.User}} {{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}} {{.HostConfig.SecurityOpt}}'
limited+=' {{.HostConfig.Memory}} {{.HostConfig.PidsLimit}}'
for part in "${nodes[@]}" "${services[@]}" mailbox keys provision demo-issuer demo-customers; do
	said=$(docker inspect --format "$limited" "$(container "$part")")
	grep -qE '^65532:65532 true \[ALL\] \[no-new-privileges:true\] (268435456|536870912) 128$' <<<"$said" ||
		{ echo "compose: $part has more privileges than it needs" >&2 && exit 1; }
done

# The streams are encrypted on disk.
readable=$(docker cp "$(container nats-a):/data" - | grep -c -a 'lockbox.event.meadowbank' || true)
[ "$readable" = 0 ] || { echo "compose: events are readable in the files of nats-a" >&2 && exit 1; }

# The portal serves its own page.
portal_answers() (
	address=$("${compose[@]}" port "$1" 8080)
	exec 3<>"/dev/tcp/${address%:*}/${address##*:}"
	printf 'GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n' "$address" >&3
	grep -q '^Content-Security-Policy: ' <&3
)
eventually 60 portal_answers portal
eventually 60 portal_answers portal-b

eventually 180 is '{{.State.Status}} {{.State.ExitCode}}' demo-customers 'exited 0'

# A request from intent to grant.
submitted=$(cli intent submit --as erin --tenant meadowbank --subscription meadow-production \
	--type compute/virtual-machines --scenario memory-dump \
	--resource /subscriptions/meadow-production/resourceGroups/payments/providers/Microsoft.Compute/virtualMachines/payments-1 \
	--reason-type CUSTOMER_INITIATED_SUPPORT --ticket SR-2026-0001 --justification "The machine hangs; a memory dump will show where." -o json)
request=$(grep -oE '[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}' <<<"$submitted" | head -n 1)
echo "compose: request $request"
active() { cli request show --as otto "$request" -o json | grep -q "REQUEST_STATUS_$1"; }
eventually 60 active CUSTOMER_NOTIFIED

# A node is killed while the request waits: the other two carry it through, and the node comes back.
docker kill "$(container nats-a)" >/dev/null
approve() { cli approval approve --as otto "$request" --for 2h --yes || active ACTIVE; }
eventually 60 approve
eventually 60 active ACTIVE
docker start "$(container nats-a)" >/dev/null
eventually 180 is '{{.State.Health.Status}}' nats-a healthy

# A key and the certificate are replaced by the commands of deploy/README.md; the restarts below need them.
rotate() { "${compose[@]}" run --rm -T keys bus rotate "$@" --dir /keys --hand-out /hand-out </dev/null; }
rotate key notifier
rotate key notifier
"${compose[@]}" kill -s HUP notifier >/dev/null 2>&1
rotate certificate
eventually 180 is '{{.State.Health.Status}} {{.RestartCount}}' notifier 'healthy 0'

# Nodes and copies are restarted one after the other, and nothing is lost.
for part in "${nodes[@]}" lockbox-orchestrator lockbox-orchestrator-b notifier audit-projector; do
	"${compose[@]}" restart "$part" >/dev/null 2>&1
	eventually 180 is '{{.State.Health.Status}}' "$part" healthy
done
eventually 60 active ACTIVE
revoke() { cli approval revoke --as otto "$request" --reason "We have seen enough." || active REVOKED; }
eventually 60 revoke
eventually 60 active REVOKED
cli request list --as olga >/dev/null
docker stats --no-stream --format '{{.Name}} {{.MemUsage}} {{.PIDs}}' $(docker ps --quiet --filter "label=com.docker.compose.project=$project")
echo "compose: the stack works"
