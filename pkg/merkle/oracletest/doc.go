// Package oracletest contains only tests, which check pkg/merkle with independent implementations that know nothing of
// its code. Tessera's fsck reads the tiles as C2SP tlog-tiles; receipt.py, written from FORMATS.md alone, verifies
// receipts and heads. It is a separate module, so that nothing else depends on tessera and its dependencies.
package oracletest
