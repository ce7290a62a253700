#!/usr/bin/env bash
# Builds static programs, and a container image FROM scratch for each: openlockbox/PROGRAM:${LOCKBOX_TAG:-dev}.
#
#   scripts/images.sh PROGRAM...
set -euo pipefail
cd "$(dirname "$0")/.."

tag=${LOCKBOX_TAG:-dev}
context=.cache/images
# Identities with their own key volume, see docker-compose.yml.
identities=(nats client forwarder provisioner tool-console)
for service in jit-evaluator lockbox-orchestrator notifier audit-projector portal compliance; do
	identities+=("$service" "$service@b")
done

if ! docker version >/dev/null 2>&1; then
	echo "images: no Docker engine answers" >&2
	exit 1
fi

rm -rf "$context"
mkdir -p "$context"/certificates "$context"/directories/{data,mail,keys,hand-out,demo,issuers,tmp}
for identity in "${identities[@]}"; do
	mkdir "$context/directories/hand-out/$identity"
done
chmod 700 "$context"/directories/{data,mail,keys,demo} "$context"/directories/hand-out/*
chmod 1777 "$context/directories/tmp"
for bundle in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt; do
	if [ -r "$bundle" ]; then
		install -m 644 "$bundle" "$context/certificates/ca-certificates.crt"
		break
	fi
done

for program in "$@"; do
	CGO_ENABLED=0 GOOS=linux go build -trimpath -ldflags '-s -w' -o "$context/program" "./services/$program/cmd/$program"
	if ! docker build --file deploy/docker/Dockerfile \
		--label "org.opencontainers.image.title=$program" --label "org.opencontainers.image.licenses=Apache-2.0" \
		--tag "openlockbox/$program:$tag" "$context" >"$context.log" 2>&1; then
		cat "$context.log" >&2
		exit 1
	fi
	echo "openlockbox/$program:$tag"
done
rm -rf "$context" "$context.log"
