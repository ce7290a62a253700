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

// columns of the CSV file (RFC 4180). The names are for programs and the same in every language.
var columns = []string{
	"sequence", "time", "tenant", "action", "title", "type", "actor_side", "actor_name", "actor_email", "actor_subject",
	"actor_issuer",
	"actor_employer", "kind", "aggregate_id", "request_id", "subscription_id", "resource_ids", "ticket_id",
	"requester_name", "requester_email", "requester_subject", "summary",
}

func columnNames() ([]byte, error) { return cells(columns...) }

// markedColumnNames are behind a byte order mark, without which spreadsheets take UTF-8 for something else.
func markedColumnNames() ([]byte, error) {
	names, err := columnNames()
	return append([]byte("\xEF\xBB\xBF"), names...), err
}

func sheetRow(a *lockboxv1.Activity) ([]byte, error) {
	e, by := a.GetEntry(), a.GetEntry().GetActor()
	return cells(
		strconv.FormatUint(e.GetSequence(), 10), e.GetTime().AsTime().Format(time.RFC3339Nano), a.GetTenant(), e.GetAction(),
		e.GetTitle(), e.GetType(),
		side(by), name(by), by.GetPerson().GetEmail(), by.GetPerson().GetSubject(), by.GetPerson().GetIssuer(),
		by.GetEmployer(),
		a.GetKind(), a.GetAggregateId(), a.GetRequestId(), a.GetSubscriptionId(), strings.Join(reached(a), "\n"),
		a.GetTicketId(), name(a.GetRequester()), a.GetRequester().GetPerson().GetEmail(),
		a.GetRequester().GetPerson().GetSubject(), e.GetSummary(),
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

// noFormula prevents a spreadsheet from interpreting user input as a formula, and a terminal from interpreting it as
// control sequences: it puts an apostrophe before characters that begin a formula, including their full-width forms,
// and replaces control characters by �. In locales with a decimal comma, spreadsheets separate cells by semicolons and
// treat quotes as text, so a formula may also begin after one of these, or on a new line.
func noFormula(cell string) string {
	var b strings.Builder
	begins := true // some spreadsheet may take this for the beginning of a cell
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
