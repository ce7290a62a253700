package activitylog

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/encoding/protojson"
)

// lines is JSON Lines: on each an Activity as protobuf's JSON, with the field names of the .proto files, as the command
// line writes it. Nothing of the event is left out.
type lines struct{ *bufio.Writer }

func newLines(w io.Writer) file { return lines{bufio.NewWriter(w)} }

func (lines) head() error { return nil }

func (l lines) add(a *lockboxv1.Activity) error {
	data, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(a)
	if err != nil {
		return err
	}
	var line bytes.Buffer
	if err := json.Compact(&line, data); err != nil { // protojson's own blanks differ from build to build on purpose
		return err
	}
	line.WriteByte('\n')
	_, err = l.Write(line.Bytes())
	return err
}

func (l lines) last(sentence string) error {
	data, err := json.Marshal(map[string]string{"incomplete": sentence})
	if err != nil {
		return err
	}
	_, err = l.Write(append(data, '\n'))
	return err
}

func (l lines) flush() error { return l.Flush() }

// sheet is comma-separated values (RFC 4180), for people with a spreadsheet. The columns are named for programs, the same in
// every language.
type sheet struct{ *csv.Writer }

var columns = []string{
	"sequence", "time", "tenant", "action", "title", "type", "actor_side", "actor_name", "actor_email", "actor_subject", "actor_issuer",
	"actor_employer", "kind", "aggregate_id", "request_id", "subscription_id", "resource_ids", "summary",
}

func newSheet(w io.Writer) file {
	s := sheet{csv.NewWriter(w)}
	s.UseCRLF = true
	return s
}

func (s sheet) head() error { return s.Write(columns) }

func (s sheet) add(a *lockboxv1.Activity) error {
	e, by := a.GetEntry(), a.GetEntry().GetActor()
	return s.row(
		strconv.FormatUint(e.GetSequence(), 10), e.GetTime().AsTime().Format(time.RFC3339Nano), a.GetTenant(), e.GetAction(), e.GetTitle(), e.GetType(),
		strings.ToLower(strings.TrimPrefix(by.GetSide().String(), "SIDE_")), name(by), by.GetPerson().GetEmail(), by.GetPerson().GetSubject(),
		by.GetPerson().GetIssuer(), by.GetEmployer(), a.GetKind(), a.GetAggregateId(), a.GetRequestId(), a.GetSubscriptionId(),
		strings.Join(a.GetResourceIds(), "\n"), e.GetSummary(),
	)
}

func (s sheet) row(cells ...string) error {
	for i, c := range cells {
		cells[i] = safe(c)
	}
	return s.Write(cells)
}

func (s sheet) last(sentence string) error {
	cells := make([]string, len(columns))
	cells[0], cells[len(cells)-1] = "incomplete", sentence
	return s.row(cells...)
}

func (s sheet) flush() error {
	s.Flush()
	return s.Error()
}

// safe keeps a spreadsheet from taking what somebody wrote for a formula: programs take what follows one of these signs for
// one, some of them also in the width that is usual in Japan.
func safe(cell string) string {
	if first, _ := utf8.DecodeRuneInString(cell); strings.ContainsRune("=+-@\t\r\n＝＋－＠", first) {
		return "'" + cell
	}
	return cell
}
