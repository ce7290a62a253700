// Package goldentest checks that this version decodes the stored bytes of every event type ever shipped as before. The
// files are in proto/testdata/golden: the bytes as stored (.bin) and their content (.txtpb). Files are only ever added:
// stored events are never rewritten, so no later version may read them differently.
//
// A new event type needs a hand-written .txtpb file, with every field set there or in a variant (Type-variant.txtpb),
// and must appear in one of the test's histories. `go test ./pkg/goldentest -add` then writes its bytes.
package goldentest
