// Package oracletest contains only tests, which check pkg/merkle with independent implementations that know nothing of
// its code. Tessera's fsck reads the tiles as C2SP tlog-tiles; receipt.py and log.py, written from FORMATS.md alone,
// verify receipts and heads, and make and read leaves and directories. It is a separate module, so that nothing else
// depends on tessera and its dependencies.
package oracletest
