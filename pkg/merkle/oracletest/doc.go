// Package oracletest contains only a test, which checks the tiles of pkg/merkle with an independent implementation:
// tessera's fsck reads them as C2SP tlog-tiles, knows nothing of Lockbox and shares no code with it. It is a separate
// module, so that nothing else depends on tessera and its dependencies.
package oracletest
