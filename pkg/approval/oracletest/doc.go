// Package oracletest contains only tests, which check pkg/approval with independent implementations that know nothing
// of its code: OpenSSH itself, both ways; go-webauthn and sshsig; and verify.py, written from the README of
// pkg/approval alone. It is a separate module, so that nothing else depends on them.
package oracletest
