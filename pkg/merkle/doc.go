// Package merkle makes the audit log verifiable without trust in the provider or its disks: trees over the events,
// heads of aggregates, checkpoints cosigned by witnesses, and receipts that anybody can verify offline with only public
// keys (R41). It is pure: tiles are read and written through an interface; time and keys are parameters. The README
// explains what it proves, to whom, and what it does not; FORMATS.md has every byte of it, of both formats.
package merkle
