package identity

import (
	"strings"
	"unicode"

	"github.com/openlockbox/lockbox/pkg/prose"
)

const ellipsis = '…'

// displayName returns a name as it can be shown on one line: nobody is kept out for how their issuer writes it. What
// only controls how others are shown, or is shown as nothing, is dropped; a name that is too long is cut. It may come
// out empty.
func displayName(s string) string {
	name := []rune(strings.Join(strings.Fields(prose.Line(strings.ToValidUTF8(s, ""))), " "))
	if len(name) <= maxName {
		return string(name)
	}
	cut := strings.TrimRightFunc(string(name[:maxName-1]), func(r rune) bool {
		return r == ' ' || unicode.In(r, unicode.M, unicode.Cf)
	})
	return cut + string(ellipsis)
}
