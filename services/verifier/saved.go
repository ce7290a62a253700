package verifier

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"unicode/utf16"
	"unicode/utf8"
)

// The first bytes of files by which editors and mail programs mark how text is written.
var (
	utf8Mark   = []byte("\xef\xbb\xbf")
	utf16Marks = map[string]binary.ByteOrder{"\xff\xfe": binary.LittleEndian, "\xfe\xff": binary.BigEndian}
)

// asWritten undoes what saving a receipt elsewhere does to it without changing what it says: other line ends, a mark at
// the beginning, a line end more or less at the end, and two bytes for each character. A receipt
// has one spelling: what comes out either is that, or is refused.
func asWritten(file []byte) []byte {
	if len(file) >= len("\xff\xfe") {
		if order, wide := utf16Marks[string(file[:2])]; wide {
			file = narrow(file[2:], order)
		}
	}
	file = bytes.TrimPrefix(file, utf8Mark)
	if bytes.IndexByte(file, '\r') >= 0 {
		file = bytes.ReplaceAll(file, []byte("\r\n"), []byte("\n"))
		file = bytes.ReplaceAll(file, []byte("\r"), []byte("\n"))
	}
	file = bytes.TrimRight(file, " \t\n\x1a")
	return append(file[:len(file):len(file)], '\n')
}

// narrow converts text of two bytes each to UTF-8.
func narrow(file []byte, order binary.ByteOrder) []byte {
	text := make([]byte, 0, len(file)/2)
	for ; len(file) >= 2; file = file[2:] {
		r := rune(order.Uint16(file))
		if utf16.IsSurrogate(r) && len(file) >= 4 {
			if pair := utf16.DecodeRune(r, rune(order.Uint16(file[2:]))); pair != utf8.RuneError {
				r, file = pair, file[2:]
			}
		}
		text = utf8.AppendRune(text, r)
	}
	return text
}

// whatHappened says what may have happened to a file, with that undone which says nothing, that is not as a receipt is
// written; empty if it is not known.
func whatHappened(file []byte) string {
	text := bytes.TrimSpace(file)
	switch {
	case len(text) == 0:
		return "; the file is empty: download it again"
	case bytes.HasPrefix(bytes.ToLower(text), []byte("<!doctype")), bytes.HasPrefix(text, []byte("<html")):
		return "; it is a web page, perhaps that of a sign-in, saved under this name: download the receipt again"
	case text[0] != '{':
		return "; it is no receipt, or something stands before it: download it again"
	case !json.Valid(text):
		return "; it is not whole, or was changed: download it again"
	}
	if !bytes.HasPrefix(text, []byte("{\n  \"format\": \"lockbox-receipt/")) {
		return "; it was formatted anew, by an editor or another program: download it again and keep it as it is"
	}
	return ""
}
