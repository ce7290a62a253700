// Package oracletest contains only tests, which check pkg/merkle with independent implementations that know nothing
// of its code. Tessera's fsck reads the tiles as C2SP tlog-tiles; receipt.py, log.py and erasure.py, written from
// FORMATS.md alone, verify receipts and heads, and make and read leaves, directories and what can be erased.
// Torchwood's client and tessera's read our tiles, torchwood's witness cosigns our log, ours cosigns tessera's, and
// tessera agrees about who is a quorum. It is a separate module, so that nothing else depends on them;
// testdata/litewitness is one of its own, whose tests cannot be had.
package oracletest
