// Package merkle makes the audit log checkable by somebody who trusts neither the provider nor its disks: trees over
// the events, checkpoints that witnesses cosign, receipts that anybody verifies offline with public keys alone (R41).
// It is pure: tiles are read and written through an interface, time and keys are parameters. What it proves, to whom,
// and what it does not, is in the README. What follows is all that another implementation needs.
//
// # Conventions
//
// u64 is eight bytes, the highest first. ‖ joins bytes; texts in quotes are their UTF-8 bytes, \n is one byte. Every
// encoding below is a run of parts of fixed length with at most one part of free length, which stands last: no two
// values have one encoding. H is SHA-256. A tree is that of RFC 6962 §2.1: the hash of a leaf is H(0x00 ‖ entry), of a
// node H(0x01 ‖ left ‖ right); inclusion and consistency proofs are those of §2.1.1 and §2.1.2.
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
// Stream sequences rise with tenant sequences. The salt makes the commitment say nothing to whoever does not have it,
// so a receipt may withhold an event's bytes and still prove its place, its subject, and that exactly one sequence of
// bytes belongs there. Salts come from a secret of the projector, so that rebuilding gives the same tree:
//
//	salt = HMAC-SHA-256(secret, "lockbox/v1 event salt\n" ‖ u64 stream sequence ‖ tenant)
//
// # Directories and the global tree
//
// At each checkpoint every tenant that has an event stands in a directory, in the order of the tenants' first events.
// The place is the tenant's slot, counted from 0; it never changes. The directory is a tree; the entry in a slot is
//
//	0x01 ‖ salt (32 bytes) ‖ u64 slot ‖ u64 size of the tenant's tree ‖ its root (32 bytes) ‖ tenant
//
//	salt = HMAC-SHA-256(secret, "lockbox/v1 slot salt\n" ‖ u64 number ‖ tenant)
//
// where number is the directory's own, counted from 0. Directories are the leaves of the one global tree, which only
// grows; the entry of leaf number is
//
//	0x01 ‖ u64 slots in the directory ‖ root of the directory (32 bytes)
//
// # Checkpoints
//
// A checkpoint of the global tree is a C2SP tlog-checkpoint of three lines (origin, size, root) in a C2SP signed note,
// with the log's Ed25519 signature under a key named like the origin, and C2SP tlog-cosignature v1 lines of witnesses.
// A tenant's checkpoint is not signed by itself: it is the entry in the tenant's slot of the last directory of a signed
// checkpoint.
//
// # Tiles
//
// Each tree is stored and served as C2SP tlog-tiles: tile/<level>/<N>[.p/<W>] and tile/entries/<N>[.p/<W>]. Beside
// them, and with the same numbering, events/<N>[.p/<W>] holds what the commitments of a tenant's tree are about, the
// second copy of the stream. It is a run of
//
//	salt (32 bytes) ‖ length of the stored bytes (four bytes, the highest first) ‖ stored bytes
//
// # Receipts
//
// A receipt is a JSON document (Receipt says what is in it) that is written in exactly one way: two spaces of
// indentation, fields in the order of the type, bytes as padded base64, a final newline. VerifyReceipt refuses any
// other spelling.
package merkle
