// Package goldentest holds the bytes of every event type that was ever shipped to what this version makes of them. The
// files are in proto/testdata/golden: the bytes as they were stored (.bin), and beside them what they say (.txtpb).
// They are only ever added: stored events are never rewritten, so no later version may read them otherwise.
//
// A new event type needs a .txtpb written by hand, every field of it set in this file or in a variant
// (Type-variant.txtpb), and a place in one of the histories of the test. `go test ./pkg/goldentest -add` then writes
// its bytes.
package goldentest
