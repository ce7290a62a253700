package export

import (
	"bytes"
	"encoding/csv"
	"strconv"
	"strings"
	"time"
	"unicode"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// columns of the sheet (RFC 4180), for people with a spreadsheet. They are named for programs, the same in every
// language.
var columns = []string{
	"sequence", "time", "tenant", "action", "title", "type", "actor_side", "actor_name", "actor_email", "actor_subject",
	"actor_issuer",
	"actor_employer", "kind", "aggregate_id", "request_id", "subscription_id", "resource_ids", "summary",
}

func columnNames() ([]byte, error) { return cells(columns...) }

func sheetRow(a *lockboxv1.Activity) ([]byte, error) {
	e, by := a.GetEntry(), a.GetEntry().GetActor()
	return cells(
		strconv.FormatUint(e.GetSequence(), 10), e.GetTime().AsTime().Format(time.RFC3339Nano), a.GetTenant(), e.GetAction(),
		e.GetTitle(), e.GetType(),
		side(by), name(by), by.GetPerson().GetEmail(), by.GetPerson().GetSubject(), by.GetPerson().GetIssuer(),
		by.GetEmployer(),
		a.GetKind(), a.GetAggregateId(), a.GetRequestId(), a.GetSubscriptionId(), strings.Join(a.GetResourceIds(), "\n"),
		e.GetSummary(),
	)
}

func incompleteSheet(sentence string) ([]byte, error) {
	row := make([]string, len(columns))
	row[0], row[len(row)-1] = "incomplete", sentence
	return cells(row...)
}

func cells(values ...string) ([]byte, error) {
	row := make([]string, len(values))
	for i, v := range values {
		row[i] = noFormula(v)
	}
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	w.UseCRLF = true
	if err := w.Write(row); err != nil {
		return nil, err
	}
	w.Flush()
	return b.Bytes(), w.Error()
}

// noFormula keeps a spreadsheet from taking what somebody wrote for a formula, and a terminal for a command: an
// apostrophe stands before the signs that begin a formula, some of them also in the width that is usual in Japan, and �
// instead of what steers. A spreadsheet of a country that writes commas in its numbers separates cells by semicolons
// instead, and takes quotes for text then: so a formula may also begin behind one of those, or in a new line.
func noFormula(cell string) string {
	var b strings.Builder
	begins := true // a cell may begin here for somebody
	for i, r := range cell {
		if begins && strings.ContainsRune("=+-@＝＋－＠", r) || i == 0 && strings.ContainsRune("\t\r\n", r) {
			b.WriteByte('\'')
		}
		if steers(r) && r != '\n' && r != '\t' {
			r = unicode.ReplacementChar
		}
		b.WriteRune(r)
		switch r {
		case ';', '\t', '\n', unicode.ReplacementChar:
			begins = true
		case '"', ' ', '\u00a0', '\u3000':
		default:
			begins = false
		}
	}
	return b.String()
}
