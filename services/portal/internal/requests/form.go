package requests

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/openlockbox/lockbox/pkg/prose"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/resource"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/shown"
	"google.golang.org/protobuf/types/known/durationpb"
)

// form is a submitted form for an action on a request.
type form struct {
	verb
	of loaded
	// Text is the reason, the question or the answer.
	Text string
	// Duration is the chosen duration in Go's notation; Chosen holds indexes into the intent's list of resources, which
	// never changes.
	Duration string
	Chosen   []int
	// Question identifies the question that is answered.
	Question string
	// Seen is the version of the request that the person saw.
	Seen uint64
	// Command is the ID of the resulting command, however often the form is sent.
	Command string
	// Wrong holds the errors by field.
	Wrong map[string]*wrong
}

// wrong is one error: a sentence in the reader's language, or a service's in English.
type wrong struct {
	Text    string
	English bool
}

// starts reports whether the form starts emergency access: the last stage of the provider's own approval, after which
// the customer is not asked (R43).
func (f form) starts() bool {
	return f.Verb == request.InternalApprove && f.of.Emergency() && f.of.Starts()
}

// Needs reports whether the form is refused without a text.
func (f form) Needs() bool { return f.Required || f.starts() }

// ID returns the ID of one of its messages.
func (f form) ID(of string) string {
	if f.starts() && slices.Contains([]string{"title", "label", "hint", "button"}, of) {
		of = "starts." + of
	}
	return f.verb.ID(of)
}

// Look returns the CSS class of the button that sends the form.
func (f form) Look() string {
	switch {
	case f.Verb == request.InternalApprove && f.of.Starts() && f.of.CustomerData():
		return "danger"
	case f.Tone == "":
		return "main"
	}
	return f.Tone
}

// blank returns the form before anybody has filled it in, with everything as requested.
func blank(b verb, r loaded) form {
	f := form{verb: b, of: r, Seen: r.GetVersion(), Duration: r.Asked().String(), Wrong: map[string]*wrong{}}
	for i := range r.GetIntent().GetResourceIds() {
		f.Chosen = append(f.Chosen, i)
	}
	return f
}

// filled parses a form as it is sent. Every form carries the version seen.
func filled(b verb, r loaded, values url.Values) form {
	f := form{
		verb: b, of: r, Duration: values.Get("duration"), Question: values.Get("question"), Command: values.Get("command"),
		Wrong: map[string]*wrong{},
		Text:  strings.TrimSpace(prose.Text(values.Get("reason"))),
	}
	f.Seen, _ = strconv.ParseUint(values.Get("seen"), 10, 64) // malformed: 0, no version seen
	for _, each := range values["resource"] {
		i, err := strconv.Atoi(each)
		if err != nil {
			i = 0
		}
		f.Chosen = append(f.Chosen, i-1)
	}
	return f
}

// renew makes the form a new command on the request's current version.
func (f *form) renew(r loaded) (err error) {
	f.of, f.Seen = r, r.GetVersion()
	f.Command, err = commandID()
	return err
}

// values returns the form as it is sent.
func (f form) values() url.Values {
	q := url.Values{"seen": {strconv.FormatUint(f.Seen, 10)}}
	if f.Text != "" {
		q.Set("reason", f.Text)
	}
	if f.Question != "" {
		q.Set("question", f.Question)
	}
	if f.Narrows {
		q.Set("duration", f.Duration)
		for _, i := range f.Chosen {
			q.Add("resource", strconv.Itoa(i+1))
		}
	}
	return q
}

// check validates the form before anything is sent. The services validate again.
func (f form) check() error {
	if err := f.checkText(); err != nil || !f.Narrows {
		return err
	}
	if t, err := time.ParseDuration(f.Duration); err != nil || t <= 0 || t > f.of.Asked() {
		if err := f.mistake("duration", "decision.wrong.duration", "Duration", f.of.Say.Duration(f.of.Asked())); err != nil {
			return err
		}
	}
	asked := f.of.GetIntent().GetResourceIds()
	sorted := slices.Compact(slices.Sorted(slices.Values(f.Chosen)))
	if len(sorted) == 0 || len(sorted) != len(f.Chosen) || sorted[0] < 0 || sorted[len(sorted)-1] >= len(asked) {
		return f.mistake("resource", "decision.wrong.resource")
	}
	if _, both := f.allowed(); len(both) == 0 {
		return f.mistake("resource", "decision.wrong.common")
	}
	return nil
}

func (f form) checkText() error {
	switch {
	case f.Text == "" && f.Needs():
		return f.mistake("reason", "decision.wrong.required")
	case utf8.RuneCountInString(f.Text) > f.Most():
		return f.mistake("reason", "decision.wrong.long", "Count", f.Most())
	}
	return nil
}

func (f form) mistake(field, id string, pairs ...any) error {
	text, err := f.of.Say.Say(id, pairs...)
	f.Wrong[field] = &wrong{Text: text}
	return err
}

// duration returns the chosen duration; check has made sure that there is one.
func (f form) duration() *durationpb.Duration {
	t, _ := time.ParseDuration(f.Duration)
	return durationpb.New(t)
}

// ids returns the IDs of the chosen resources in the order of the request.
func (f form) ids() []string {
	var ids []string
	for i, id := range f.of.GetIntent().GetResourceIds() {
		if slices.Contains(f.Chosen, i) {
			ids = append(ids, id)
		}
	}
	return ids
}

// allowed returns what would be allowed: the minimum of this form and all approvals so far (R27, R30).
func (f form) allowed() (time.Duration, []string) {
	t, ids := f.duration().AsDuration(), f.ids()
	for _, d := range f.of.Approvals() {
		if d.GetDuration() != nil {
			t = min(t, d.GetDuration().AsDuration())
		}
		if len(d.GetResourceIds()) > 0 {
			ids = slices.DeleteFunc(ids, func(id string) bool {
				return !slices.ContainsFunc(d.GetResourceIds(), func(yes string) bool { return resource.Same(id, yes) })
			})
		}
	}
	return t, ids
}

// command returns the resulting command.
func (f form) command() *lockboxv1.Command {
	c := f.Verb.Command(f.Text)
	c.Id, c.Tenant, c.AggregateId = f.Command, f.of.GetTenant(), f.of.GetRequestId()
	if f.Settles {
		c.SeenVersion = f.Seen
	}
	if approve := c.GetApprove(); approve != nil {
		approve.Duration, approve.ResourceIds = f.duration(), f.ids()
	}
	if answer := c.GetAnswer(); answer != nil {
		answer.QuestionId = f.Question
	}
	return c
}

// choice is a duration to choose from.
type choice struct {
	Value, Text   string
	Chosen, Asked bool
}

var shorter = []time.Duration{15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour,
	8 * time.Hour, 12 * time.Hour, 24 * time.Hour, 48 * time.Hour}

// Durations lists the durations to choose from, longest first: the requested one and shorter ones.
func (f form) Durations() []choice {
	list := []choice{{Value: f.of.Asked().String(), Text: f.of.Say.Duration(f.of.Asked()), Asked: true}}
	for _, t := range slices.Backward(shorter) {
		if t < f.of.Asked() {
			list = append(list, choice{Value: t.String(), Text: f.of.Say.Duration(t)})
		}
	}
	for i, c := range list {
		list[i].Chosen = c.Value == f.Duration
	}
	return list
}

// box is the checkbox of a resource that may be left out.
type box struct {
	shown.Resource
	Number int
	Chosen bool
}

// Boxes returns the checkboxes of the resources that are shown at once, and MoreBoxes those that are there on demand.
func (f form) Boxes() []box { return f.AllBoxes()[:min(boxesAtOnce, len(f.AllBoxes()))] }

// MoreBoxes returns the checkboxes that are there on demand.
func (f form) MoreBoxes() []box { return f.AllBoxes()[min(boxesAtOnce, len(f.AllBoxes())):] }

// Narrowed reports whether some of the resources are not chosen.
func (f form) Narrowed() bool { return len(f.Chosen) < len(f.of.GetIntent().GetResourceIds()) }

// boxesAtOnce is how many resources are shown at once.
const boxesAtOnce = 5

// AllBoxes returns the checkboxes of the requested resources.
func (f form) AllBoxes() []box {
	var list []box
	for i, r := range f.of.Resources() {
		list = append(list, box{r, i + 1, slices.Contains(f.Chosen, i)})
	}
	return list
}
