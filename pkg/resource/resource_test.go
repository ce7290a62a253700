package resource_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/resource"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"pgregory.net/rapid"
)

const (
	group   = "/subscriptions/prod/resourceGroups/pay"
	compute = group + "/providers/Microsoft.Compute/virtualMachines/"
)

func TestIdsThatMayBeNamed(t *testing.T) {
	longest := compute + strings.Repeat("a", resource.MaxLength-len(compute))
	for _, id := range []string{
		"/subscriptions/prod", "/tenants/contoso/directory", compute + "payments-1", compute + "payments-1/",
		strings.ToUpper(compute) + "PAYMENTS-1", compute + "a.b_c-(1)", compute + "..a", compute + "two words", longest,
		// One script, or scripts that are written together.
		compute + "café", compute + "größe-1", compute + "платежи", compute + "платежи-1", compute + "本番データ・ベースです",
		compute + "本番db-01", compute + "データベースserver", compute + "結帳ㄅㄆ", compute + "결제-db", compute + "قاعدة",
		compute + "हिन्दी१",
		// A different script in each segment.
		group + "/providers/платежи/本番/payments",
	} {
		if err := resource.Check("resource_ids", id); err != nil {
			t.Errorf("%.200q: %v", id, err)
		}
	}
}

func TestIdsThatCouldMeanSomethingElse(t *testing.T) {
	for name, row := range map[string]struct{ id, says string }{
		"empty":                       {"", "is required"},
		"a slash":                     {"/", "begins with a slash"},
		"two slashes":                 {"//", "begins with a slash"},
		"relative":                    {"subscriptions/prod/x", "begins with a slash"},
		"a wildcard":                  {compute + "*", "wildcards"},
		"a wildcard within a name":    {compute + "pay*", "wildcards"},
		"one character":               {compute + "payments-?", "wildcards"},
		"a query":                     {compute + "payments-1?api-version=1", "queries"},
		"a fragment":                  {compute + "payments-1#/x", "fragments"},
		"percent-encoding":            {compute + "payments%2D1", "percent"},
		"an encoded slash":            {compute + "a%2F..%2Fb", "percent"},
		"a backslash":                 {compute + `a\..\b`, "backslashes"},
		"a dot":                       {compute + "./payments-1", `"."`},
		"two dots":                    {compute + "../payments-1", `".."`},
		"two dots at the end":         {compute + "payments-1/..", `".."`},
		"an empty segment":            {group + "//providers/Microsoft.Compute/virtualMachines/a", "two slashes"},
		"two slashes at the end":      {compute + "payments-1//", "two slashes"},
		"a dot at the end":            {compute + "payments-1.", "ends with a space, nor ends with a dot"},
		"three dots":                  {compute + "...", "nor ends with a dot"},
		"a space at the end":          {compute + "payments-1 ", "ends with a space"},
		"a space at the beginning":    {compute + " payments-1", "begins nor ends with a space"},
		"two spaces":                  {compute + "two  words", "two spaces"},
		"a space before a slash":      {compute + "payments-1 /extensions/x", "ends with a space"},
		"a no-break space":            {compute + "payments\u00a01", "NFKC"},
		"a narrow no-break space":     {compute + "payments\u202f1", "NFKC"},
		"an ideographic space":        {compute + "本番\u3000db", "NFKC"},
		"a line break":                {compute + "a\nb", "one line"},
		"a null":                      {compute + "a\x00b", "U+0000"},
		"not UTF-8":                   {compute + "\xff", "UTF-8"},
		"a zero-width space":          {compute + "pay\u200bments-1", "U+200B"},
		"a zero-width joiner":         {compute + "pay\u200dments-1", "U+200D"},
		"a soft hyphen":               {compute + "pay\u00adments-1", "U+00AD"},
		"a byte order mark":           {compute + "\ufeffpayments-1", "U+FEFF"},
		"a word joiner":               {compute + "pay\u2060ments-1", "U+2060"},
		"a right-to-left mark":        {compute + "payments-1\u200f", "U+200F"},
		"a left-to-right mark":        {compute + "\u200epayments-1", "U+200E"},
		"a right-to-left override":    {compute + "\u202e1-stnemyap", "U+202E"},
		"an isolate":                  {compute + "\u2066payments-1\u2069", "U+2066"},
		"a variation selector":        {compute + "payments-1\ufe0f", "U+FE0F"},
		"full-width letters":          {compute + "ｐａｙｍｅｎｔｓ-1", "NFKC"},
		"a full-width digit":          {compute + "payments-１", "NFKC"},
		"a full-width slash":          {compute + "a／b", "NFKC"},
		"a full-width percent sign":   {compute + "a％2f", "NFKC"},
		"mathematical letters":        {compute + "𝐩𝐚𝐲ments-1", "NFKC"},
		"a ligature":                  {compute + "ﬁnance", "NFKC"},
		"a Kelvin sign":               {compute + "\u212aey", "NFKC"},
		"an accent of its own":        {compute + "cafe\u0301", "NFKC"},
		"an accent that does not fit": {compute + "payments\u0335-1", "U+0335"},
		"a fraction slash":            {compute + "a\u2044b", "U+2044"},
		"a division slash":            {compute + "a\u2215b", "U+2215"},
		"an en dash":                  {compute + "payments\u20131", "U+2013"},
		"a minus sign":                {compute + "payments\u22121", "U+2212"},
		"a one dot leader":            {compute + "\u2024", "NFKC"},
		"an emoji":                    {compute + "🙂", "U+1F642"},
		"not assigned":                {compute + "\u0378", "U+0378"},
		"Cyrillic in Latin":           {compute + "раyments-1", "mixes scripts (Cyrillic, Latin)"},
		"one Cyrillic letter":         {compute + "pаyments-1", "mixes scripts (Latin, Cyrillic)"},
		"one Greek letter":            {compute + "paymentς", "mixes scripts (Latin, Greek)"},
		"one Cherokee letter":         {compute + "Ꭰayments", "mixes scripts (Cherokee, Latin)"},
		"Greek in Cyrillic":           {compute + "платежι", "mixes scripts (Cyrillic, Greek)"},
		"Hangul and kana":             {compute + "결제デ", "mixes scripts"},
		"Arabic digits":               {compute + "payments-\u0661", "mixes scripts (Latin, Arabic)"},
		"Devanagari digits":           {compute + "payments-१", "mixes scripts (Latin, Devanagari)"},
		"in the resource group": {"/subscriptions/prod/resourceGroups/рay/providers/Microsoft.Compute/disks/d",
			"mixes scripts (Cyrillic, Latin)"},
		"in the type": {group + "/providers/Microsoft.Cоmpute/virtualMachines/a", "mixes scripts"},
		"too long":    {compute + strings.Repeat("a", resource.MaxLength), "at most 1024"},
	} {
		t.Run(name, func(t *testing.T) {
			err := resource.Check("resource_ids", row.id)
			r, is := refusal.As(err)
			if !is || r.GetField() != "resource_ids" || r.GetCode() != lockboxv1.RefusalCode_REFUSAL_CODE_INVALID ||
				r.GetRule() != "R49" && r.GetRule() != "bad input" || !strings.Contains(r.GetMessage(), row.says) {
				t.Errorf("%q: got %v, want %q", row.id, err, row.says)
			}
		})
	}
}

func TestWhichIdsAreTheSame(t *testing.T) {
	disk := "/subscriptions/meadow-production/resourceGroups/DISKRG1/providers/Microsoft.Compute/disks/d2"
	for _, other := range []string{
		"/subscriptions/meadow-production/resourcegroups/diskRG1/providers/microsoft.compute/disks/d2",
		strings.ToLower(disk), strings.ToUpper(disk), disk + "/",
	} {
		if !resource.Same(disk, other) || resource.Canonical(disk) != resource.Canonical(other) {
			t.Errorf("%s is another resource", other)
		}
	}
	for _, other := range []string{
		"", "/", disk + "2", disk + "/x", disk + "//", strings.Replace(disk, "k", "\u212a", 1),
		strings.Replace(disk, "d2", "d\u20322", 1),
	} {
		if resource.Same(disk, other) {
			t.Errorf("%s is the same resource", other)
		}
	}
	if resource.Same(compute+"É", compute+"é") {
		t.Error("only letters of ASCII are compared without case")
	}
}

func TestWhatIsInASubscription(t *testing.T) {
	root := resource.Root("contoso", "prod")
	for id, inside := range map[string]bool{
		"/subscriptions/prod": true, "/subscriptions/prod/": true, "/SUBSCRIPTIONS/Prod/disks/a": true,
		"/subscriptions/prod2": false, "/subscriptions/prod-2/disks/a": false, "/subscriptions": false, "": false,
		"/tenants/contoso/directory": false,
	} {
		if resource.Within(root, id) != inside {
			t.Errorf("%s: want %v", id, inside)
		}
	}
	if root := resource.Root("contoso", ""); !resource.Within(root, "/tenants/contoso/directory") {
		t.Errorf("nothing is in %s", root)
	}
}

// anyID draws what people and attackers write.
func anyID() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		part := rapid.OneOf(
			rapid.SampledFrom([]string{"subscriptions", "prod", "resourceGroups", "providers", "Microsoft.Compute", "disks", "",
				".", "..", "*", "a%2f", `a\b`, "раyments", "платежи", "本番データ", "ａ", "K", "é", "e\u0301", "a ", "a."}),
			rapid.StringMatching(`[A-Za-z0-9._-]{1,12}`), rapid.StringN(0, 6, -1))
		id := strings.Join(rapid.SliceOfN(part, 0, 9).Draw(t, "segments"), "/")
		return rapid.SampledFrom([]string{"/", "", "/subscriptions/prod/"}).Draw(t, "begins") + id
	})
}

// otherCase returns the id with the case of some ASCII letters changed and perhaps another end.
func otherCase(t *rapid.T, id string) string {
	b := []byte(id)
	for i, c := range b {
		if (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z') && rapid.Bool().Draw(t, "case") {
			b[i] = c ^ 0x20
		}
	}
	if s := string(b); !strings.HasSuffix(s, "/") && rapid.Bool().Draw(t, "slash") {
		return s + "/"
	}
	return string(b)
}

func TestCheckAndCompareAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := anyID().Draw(t, "id")
		other := otherCase(t, id)
		canonical := resource.Canonical(id)
		if !resource.Same(id, other) || resource.Canonical(other) != canonical {
			t.Fatalf("%q and %q are different", id, other)
		}
		if again := resource.Canonical(canonical); again != canonical && !strings.HasSuffix(canonical, "/") {
			t.Fatalf("%q becomes %q, then %q", id, canonical, again)
		}
		checked(t.Fatalf, id)
		if utf8.RuneCountInString(other) <= resource.MaxLength &&
			(resource.Check("x", id) == nil) != (resource.Check("x", other) == nil) {
			t.Fatalf("%q: %v, but %q: %v", id, resource.Check("x", id), other, resource.Check("x", other))
		}
	})
}

// checked demands of an id that is let through what R49 says, in the plainest words.
func checked(fail func(string, ...any), id string) {
	if resource.Check("x", id) != nil {
		return
	}
	if !strings.HasPrefix(id, "/") || strings.ContainsAny(id, "*?%\\#\x00\n\t\u200b\u200e\u200f\u202e") ||
		strings.Contains(id, "//") || strings.Contains(id+"/", "/./") || strings.Contains(id+"/", "/../") {
		fail("%q is let through", id)
	}
	if resource.Check("x", resource.Canonical(id)) != nil {
		fail("%q is let through, its canonical form is not", id)
	}
}

func FuzzCheck(f *testing.F) {
	f.Add(compute + "payments-1")
	f.Add(compute + "раyments-1")
	f.Add("/a/本番データ・db/")
	f.Fuzz(func(t *testing.T, id string) { checked(t.Fatalf, id) })
}
