// Package oracletest has no code of its own. Its test has other people's programs judge the tiles of pkg/merkle:
// tessera's fsck reads them as C2SP tlog-tiles, knows nothing of Lockbox, and shares no code with it. It is a module of
// its own so that nothing else depends on what tessera brings along.
package oracletest
