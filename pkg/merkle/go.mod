module github.com/openlockbox/lockbox/pkg/merkle

go 1.26.0

replace github.com/openlockbox/lockbox/proto => ../../proto

require (
	filippo.io/mldsa v0.0.0-20260215214346-43d0283efc3e
	github.com/google/go-cmp v0.7.0
	github.com/openlockbox/lockbox/proto v0.0.0
	github.com/transparency-dev/formats v0.1.1
	golang.org/x/mod v0.42.0
	google.golang.org/protobuf v1.36.12
	pgregory.net/rapid v1.3.0
)

require golang.org/x/crypto v0.58.0 // indirect
