package api

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/google/go-cmp/cmp"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/bearer"
	"github.com/openlockbox/lockbox/services/portal/internal/site/sitetest"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

func load(t testing.TB) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(document)
	if err == nil {
		err = doc.Validate(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// router finds what the document says of a request. Making it takes long, so all tests share one.
var router = sync.OnceValues(func() (routers.Router, error) {
	doc, err := openapi3.NewLoader().LoadFromData(document)
	if err != nil {
		return nil, err
	}
	return gorillamux.NewRouter(doc)
})

func serve(t testing.TB, b *sitetest.Backend) *bearer.API {
	t.Helper()
	h, err := New(bearer.NewDesk(sitetest.New(t, b, nil), "https://lockbox.example"))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestEveryRouteIsInTheDocumentAndNothingElse(t *testing.T) {
	var written, served []string
	for path, item := range load(t).Paths.Map() {
		for method, operation := range item.Operations() {
			open := operation.Security != nil && len(*operation.Security) == 0
			written = append(written, fmt.Sprint(method, " ", path, " open=", open))
		}
	}
	for _, r := range serve(t, &sitetest.Backend{}).Routes {
		served = append(served, fmt.Sprint(r.Method, " ", r.Path, " open=", r.Open))
	}
	slices.Sort(written)
	slices.Sort(served)
	if diff := cmp.Diff(written, served); diff != "" {
		t.Error(diff)
	}
}

// What an action's body may hold is what is read of it.
func TestBodiesAreDocumented(t *testing.T) {
	doc := load(t)
	for _, verb := range request.Verbs {
		_, fields := begin(verb)
		var want []string
		for name := range fields {
			want = append(want, name)
		}
		schema := doc.Paths.Find(prefix + "/requests/{requestId}/" +
			path(verb)).Post.RequestBody.Value.Content.Get("application/json").Schema.Value
		var got []string
		for name := range schema.Properties {
			got = append(got, name)
		}
		slices.Sort(want)
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" || schema.AdditionalProperties.Has == nil ||
			*schema.AdditionalProperties.Has {
			t.Errorf("%s: %s", verb.Name, diff)
		}
	}
}

func TestBodiesOfTicketsAreDocumented(t *testing.T) {
	doc, actions := load(t), map[string]protoreflect.Name{"": "open_ticket"}
	for name, action := range ticketActions {
		actions["/{ticketId}/"+name] = action
	}
	for path, action := range actions {
		_, fields := beginAction(action)
		body := doc.Paths.Find(prefix + "/tickets" + path).Post.RequestBody.Value
		schema := body.Content.Get("application/json").Schema.Value
		want, got := slices.Sorted(maps.Keys(fields)), slices.Sorted(maps.Keys(schema.Properties))
		if diff := cmp.Diff(want, got); diff != "" || *schema.AdditionalProperties.Has {
			t.Errorf("%s: %s", action, diff)
		}
	}
}

func TestBodiesOfErasuresAreDocumented(t *testing.T) {
	doc := load(t)
	for path, action := range erasureActions {
		_, fields := beginAction(action)
		body := doc.Paths.Find(prefix + "/erasures/{erasureId}" + path).Post.RequestBody.Value
		schema := body.Content.Get("application/json").Schema.Value
		want, got := slices.Sorted(maps.Keys(fields)), slices.Sorted(maps.Keys(schema.Properties))
		if diff := cmp.Diff(want, got); diff != "" || *schema.AdditionalProperties.Has {
			t.Errorf("%s: %s", action, diff)
		}
	}
}

// What an intent may hold, as a tool writes it, is what is read of it.
func TestTheBodyOfAnIntentIsDocumented(t *testing.T) {
	beside := []string{"token", "dryRun", "signedBy", "signature", "signed"}
	var want, got []string
	fields := new(lockboxv1.AccessIntent).ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		if name := fields.Get(i).JSONName(); !slices.Contains(beside, name) {
			want = append(want, name)
		}
	}
	for name := range load(t).Components.Schemas["IntentBody"].Value.Properties {
		got = append(got, name)
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// A schema that is called like a message has that message's fields, and one that is called like an enumeration its
// values.
func TestMessagesAreDocumented(t *testing.T) {
	doc, seen := load(t), map[protoreflect.FullName]bool{}
	for _, m := range []proto.Message{
		new(lockboxv1.SelfView), new(lockboxv1.TenantSettings), new(lockboxv1.RequestList), new(lockboxv1.RequestView),
		new(lockboxv1.ActivityList),
		new(lockboxv1.ApproversPreview), new(lockboxv1.AccessList), new(lockboxv1.Overview), new(lockboxv1.Dashboard),
		new(lockboxv1.CommandReply), new(lockboxv1.IntentOutcome), new(lockboxv1.TicketList),
		new(lockboxv1.ErasureList),
	} {
		compare(t, doc, m.ProtoReflect().Descriptor(), seen)
	}
}

func compare(t *testing.T, doc *openapi3.T, m protoreflect.MessageDescriptor, seen map[protoreflect.FullName]bool) {
	t.Helper()
	if seen[m.FullName()] {
		return
	}
	seen[m.FullName()] = true
	schema := doc.Components.Schemas[string(m.Name())]
	if schema == nil {
		t.Errorf("there is no schema %s", m.Name())
		return
	}
	if schema.Value.AdditionalProperties.Has != nil && *schema.Value.AdditionalProperties.Has {
		return // it says that it says nothing
	}
	want, got := map[string]string{}, map[string]string{}
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		want[f.JSONName()] = kind(f)
		if f.Message() != nil && !strings.HasPrefix(string(f.Message().FullName()), "google.") {
			compare(t, doc, f.Message(), seen)
		}
		if f.Enum() != nil && !seen[f.Enum().FullName()] {
			seen[f.Enum().FullName()] = true
			compareValues(t, doc, f.Enum())
		}
	}
	for name, p := range schema.Value.Properties {
		got[name] = documentedKind(p)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("schema %s in openapi.yaml, - is the message's: %s", m.Name(), diff)
	}
}

func compareValues(t *testing.T, doc *openapi3.T, e protoreflect.EnumDescriptor) {
	t.Helper()
	var want, got []string
	for i := range e.Values().Len() {
		want = append(want, string(e.Values().Get(i).Name()))
	}
	if schema := doc.Components.Schemas[string(e.Name())]; schema != nil {
		for _, v := range schema.Value.Enum {
			got = append(got, fmt.Sprint(v))
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("schema %s in openapi.yaml, - is the enumeration's: %s", e.Name(), diff)
	}
}

// kind is how protobuf's JSON shows a field.
func kind(f protoreflect.FieldDescriptor) string {
	is := map[protoreflect.Kind]string{
		protoreflect.StringKind: "string", protoreflect.BytesKind: "string byte", protoreflect.BoolKind: "boolean",
		protoreflect.Uint32Kind: "integer", protoreflect.Int32Kind: "integer", protoreflect.Uint64Kind: "Number",
	}[f.Kind()]
	switch {
	case f.Message() != nil && f.Message().Name() == "Timestamp":
		is = "string date-time"
	case f.Message() != nil:
		is = string(f.Message().Name())
	case f.Enum() != nil:
		is = string(f.Enum().Name())
	}
	if f.IsList() {
		is = "list of " + is
	}
	return is
}

func documentedKind(p *openapi3.SchemaRef) string {
	s := p.Value
	switch {
	case p.Ref != "":
		return p.Ref[strings.LastIndexByte(p.Ref, '/')+1:]
	case len(s.AllOf) == 1:
		return documentedKind(s.AllOf[0])
	case s.Type.Is("array"):
		return "list of " + documentedKind(s.Items)
	}
	return strings.TrimSpace(strings.Join(s.Type.Slice(), " ") + " " + s.Format)
}

// documented compares a request that was accepted, and any response, with the document. The request's body is given
// apart, for it has been read.
func documented(t *testing.T, r *http.Request, sent string, w *httptest.ResponseRecorder) {
	t.Helper()
	finder, err := router()
	if err != nil {
		t.Fatal(err)
	}
	route, params, err := finder.FindRoute(r)
	if err != nil {
		t.Fatalf("%s %s: %v", r.Method, r.URL, err)
	}
	r.Body = io.NopCloser(strings.NewReader(sent))
	request := &openapi3filter.RequestValidationInput{
		Request: r, PathParams: params, Route: route,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc,
			IncludeResponseStatus: true},
	}
	if err := openapi3filter.ValidateRequest(t.Context(), request); err != nil && w.Code < http.StatusBadRequest {
		t.Errorf("%s %s %s is accepted, and not as documented: %v", r.Method, r.URL, sent, err)
	}
	response := &openapi3filter.ResponseValidationInput{RequestValidationInput: request, Status: w.Code,
		Header: w.Header(), Options: request.Options}
	if err := openapi3filter.ValidateResponse(t.Context(), response.SetBodyBytes(w.Body.Bytes())); err != nil {
		t.Errorf("%s %s: the answer %d %s is not as documented: %v", r.Method, r.URL, w.Code, w.Body, err)
	}
}
