module github.com/openlockbox/lockbox/services/verifier

go 1.26.0

replace (
	github.com/openlockbox/lockbox/pkg => ../../pkg
	github.com/openlockbox/lockbox/pkg/merkle => ../../pkg/merkle
	github.com/openlockbox/lockbox/proto => ../../proto
)

require (
	github.com/openlockbox/lockbox/pkg v0.0.0
	github.com/openlockbox/lockbox/pkg/merkle v0.0.0
	github.com/openlockbox/lockbox/proto v0.0.0
	golang.org/x/mod v0.42.0
	google.golang.org/protobuf v1.36.12
)

require (
	filippo.io/mldsa v0.0.0-20260215214346-43d0283efc3e // indirect
	github.com/google/uuid v1.6.0 // indirect
	github.com/transparency-dev/formats v0.1.1 // indirect
	go.yaml.in/yaml/v3 v3.0.6 // indirect
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/crypto/x509roots/fallback v0.0.0-20261030153154-30a33513ff6d // indirect
	golang.org/x/text v0.43.0 // indirect
)
