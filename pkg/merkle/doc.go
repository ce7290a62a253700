// Package merkle makes the audit log verifiable without trust in the provider or its disks: trees over the events,
// checkpoints cosigned by witnesses, and receipts that anybody can verify offline with only public keys (R41). It is
// pure: tiles are read and written through an interface; time and keys are parameters. The README explains what it
// proves, to whom, and what it does not. The following specifies everything that another implementation needs.
//
// # Conventions
//
// u64 is eight bytes, big-endian. ‖ concatenates bytes; quoted texts stand for their UTF-8 bytes, \n is one byte. Every
// encoding below consists of parts of fixed length and at most one part of variable length, at the end, so no two
// values have the same encoding. H is SHA-256. Trees are those of RFC 6962 §2.1: the hash of a leaf is H(0x00 ‖ entry),
// of a node H(0x01 ‖ left ‖ right); inclusion and consistency proofs are those of §2.1.1 and §2.1.2.
//
// # A tenant's tree
//
// Leaf n-1 of a tenant's tree is the tenant's event n in stream order, counted from 1 (the tenant sequence). Its entry
// is the event's statement:
//
//	0x01 ‖ u64 stream sequence ‖ u64 tenant sequence ‖ commitment (32 bytes) ‖ subject
//
//	commitment = H("lockbox/v1 event\n" ‖ salt (32 bytes) ‖ stored bytes)
//
// Stream sequences increase with tenant sequences. Without the salt the commitment reveals nothing, so a receipt can
// withhold an event's bytes and still prove its position, its subject, and that exactly one byte string belongs there.
// Salts are derived from a secret of the projector, so that rebuilding yields the same tree:
//
//	salt = HMAC-SHA-256(secret, "lockbox/v1 event salt\n" ‖ u64 stream sequence ‖ tenant)
//
// # Directories and the global tree
//
// At each checkpoint a directory lists every tenant that has an event, in the order of the tenants' first events. The
// position is the tenant's slot, counted from 0; it never changes. The directory is a tree; the entry in a slot is
//
//	0x01 ‖ salt (32 bytes) ‖ u64 slot ‖ u64 size of the tenant's tree ‖ its root (32 bytes) ‖ tenant
//
//	salt = HMAC-SHA-256(secret, "lockbox/v1 slot salt\n" ‖ u64 number ‖ tenant)
//
// where number is the directory's number, counted from 0. Directories are the leaves of the single global tree, which
// only grows; the entry of leaf number is
//
//	0x01 ‖ u64 slots in the directory ‖ root of the directory (32 bytes)
//
// # Checkpoints
//
// A checkpoint of the global tree is a C2SP tlog-checkpoint of three lines (origin, size, root) in a C2SP signed note,
// with the log's Ed25519 signature under a key named like the origin, and C2SP tlog-cosignature v1 lines of witnesses.
// A tenant's checkpoint has no signature of its own: it is the entry in the tenant's slot of the last directory of a
// signed checkpoint.
//
// # Tiles
//
// Each tree is stored and served as C2SP tlog-tiles: tile/<level>/<N>[.p/<W>] and tile/entries/<N>[.p/<W>]. Beside
// them, with the same numbering, events/<N>[.p/<W>] holds the second copy of the stream: what the commitments of a
// tenant's tree commit to. It is a sequence of
//
//	salt (32 bytes) ‖ length of the stored bytes (four bytes, the highest first) ‖ stored bytes
//
// # Receipts
//
// A receipt is a JSON document (see Receipt for its content) with exactly one valid form: two spaces of indentation,
// fields in the order of the type, bytes as padded base64, a final newline. VerifyReceipt refuses any other form.
// FORMATS.md specifies those of format 2, and the heads that they show.
package merkle
