module github.com/openlockbox/lockbox/pkg/approval/oracletest

go 1.26.0

replace (
	github.com/openlockbox/lockbox/pkg => ../..
	github.com/openlockbox/lockbox/pkg/merkle => ../../merkle
	github.com/openlockbox/lockbox/proto => ../../../proto
)

require (
	github.com/go-webauthn/webauthn v0.18.2
	github.com/hiddeco/sshsig v0.2.0
	github.com/openlockbox/lockbox/pkg v0.0.0
	golang.org/x/crypto v0.58.0
)

require (
	github.com/fxamacker/cbor/v2 v2.9.4 // indirect
	github.com/go-viper/mapstructure/v2 v2.5.0 // indirect
	github.com/go-webauthn/x v0.3.1 // indirect
	github.com/golang-jwt/jwt/v5 v5.3.1 // indirect
	github.com/google/go-tpm v0.9.8 // indirect
	github.com/google/uuid v1.6.0 // indirect
	github.com/philhofer/fwd v1.2.0 // indirect
	github.com/tinylib/msgp v1.6.4 // indirect
	github.com/x448/float16 v0.8.4 // indirect
	golang.org/x/sys v0.50.0 // indirect
)
