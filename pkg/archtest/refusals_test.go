package archtest

import (
	"go/ast"
	"go/token"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/tenant"
)

// refusers are the packages whose refusals people meet on the portal's pages, because they answer its commands.
// No page writes to tickets, so pkg/ticket is none of them.
var refusers = []string{"pkg/request", "pkg/tenant", "services/lockbox-orchestrator",
	"services/portal/internal/administration", "services/portal/internal/requests", "services/portal/internal/form",
	"services/portal/internal/site", "pkg/identity", "pkg/identity/oidcclient"}

// A refused is one place in the source that refuses something.
type refused struct {
	at   string
	call *ast.CallExpr
	// code, rule and field say what the portal knows of it; field is the last part of the path, empty if the source does
	// not say it at that place.
	code, rule, field string
	// message is what is written there, coded whether a reason goes with it, which has words of its own.
	message string
	coded   bool
}

// id is the message of the portal that says it, and general the one for all fields.
func (r refused) id() string {
	if r.field == "" {
		return r.general()
	}
	return r.general() + "." + r.field
}

func (r refused) general() string {
	return "refusal." + r.code + "." + strings.ReplaceAll(strings.ToLower(r.rule), " ", "-")
}

// refusals finds every refusal of the packages.
func refusals(t *testing.T) (all []refused) {
	t.Helper()
	known := sources(t, program)
	named := map[string]map[string]string{} // by directory: the constants of its package
	for _, source := range known {
		dir := path.Dir(source.path)
		if named[dir] == nil {
			named[dir] = map[string]string{}
		}
		for _, d := range source.file.Decls {
			if d, is := d.(*ast.GenDecl); is {
				constants(d, named[dir])
			}
		}
	}
	for _, source := range known {
		dir := path.Dir(source.path)
		if !slices.Contains(refusers, dir) {
			continue
		}
		for _, d := range source.file.Decls {
			f, is := d.(*ast.FuncDecl)
			if !is {
				continue
			}
			here := maps.Clone(named[dir])
			for _, p := range f.Type.Params.List { // a parameter hides the constant of its name
				for _, name := range p.Names {
					delete(here, name.Name)
				}
			}
			constants(f, here)
			for _, r := range refusalsIn(f, here) {
				r.at = source.at(r.call)
				all = append(all, r)
			}
		}
	}
	return all
}

// constants adds the texts that are declared in a part of the source.
func constants(in ast.Node, to map[string]string) {
	ast.Inspect(in, func(node ast.Node) bool {
		if v, is := node.(*ast.ValueSpec); is && len(v.Values) == len(v.Names) {
			for i, name := range v.Names {
				if text, is := v.Values[i].(*ast.BasicLit); is && text.Kind == token.STRING {
					to[name.Name], _ = strconv.Unquote(text.Value)
				}
			}
		}
		return true
	})
}

func refusalsIn(f *ast.FuncDecl, constants map[string]string) (all []refused) {
	coded := map[ast.Expr]bool{}
	ast.Inspect(f, func(node ast.Node) bool {
		call, is := node.(*ast.CallExpr)
		if !is {
			return true
		}
		name, at := calledOfRefusal(call)
		if name == "Because" {
			coded[call.Args[0]] = true
		}
		if at == 0 || len(call.Args) <= at || name == "New" {
			return true
		}
		all = append(all, refused{call: call, code: strings.ToLower(name), rule: said(call.Args[1], constants),
			field: lastPart(call.Args[0], constants), coded: coded[call],
			message: strings.Join(literals(call.Args[at]), "")})
		return true
	})
	return all
}

// calledOfRefusal returns the function of package refusal that is called, and where its message stands.
func calledOfRefusal(call *ast.CallExpr) (name string, at int) {
	f, is := call.Fun.(*ast.SelectorExpr)
	if !is {
		return "", 0
	}
	if pkg, named := f.X.(*ast.Ident); !named || pkg.Name != "refusal" {
		return "", 0
	}
	return f.Sel.Name, spoken[f.Sel.Name]
}

// said returns the text of a literal or of a constant; a dash of anything else.
func said(of ast.Expr, constants map[string]string) string {
	switch e := of.(type) {
	case *ast.BasicLit:
		text, _ := strconv.Unquote(e.Value)
		return text
	case *ast.Ident:
		if text, known := constants[e.Name]; known {
			return text
		}
	}
	return "-"
}

// lastPart returns the last part of a field's path, as far as the source says it.
func lastPart(of ast.Expr, constants map[string]string) string {
	if sum, is := of.(*ast.BinaryExpr); is {
		of = sum.Y
	}
	text := said(of, constants)
	if text == "-" {
		return ""
	}
	return text[strings.LastIndex(text, ".")+1:]
}

// wordless are the codes whose sentence no page shows: the pages say it themselves, alike for all.
var wordless = []string{"notfound", "unavailable"}

// byTools are refusals that only tools meet, each with the reason why nobody does who uses the portal's forms.
var byTools = map[string]string{
	"refusal.conflict.bad-input.id":                   "an intent's or an operator's command, of the command line",
	"refusal.conflict.i6.sha256":                      "messages are set aside at the command line",
	"refusal.conflict.r2.tenant":                      "customers are created at the command line",
	"refusal.conflict.r18.aggregate_id":               "subscriptions are registered by the provider's inventory",
	"refusal.conflict.r48.aggregate_id":               "subscriptions are registered by the provider's inventory",
	"refusal.conflict.r48.from":                       "subscriptions are transferred at the command line",
	"refusal.forbidden.i6.token":                      "messages are set aside at the command line",
	"refusal.forbidden.r1.token":                      "plans are changed at the command line",
	"refusal.forbidden.r2.token":                      "customers are created at the command line",
	"refusal.forbidden.r48.token":                     "subscriptions are registered by the provider's inventory",
	"refusal.forbidden.r5.token":                      "the page that asks has words of its own for each field",
	"refusal.forbidden.r66.token":                     "first invitations are made at the command line",
	"refusal.invalid.bad-input.action":                "each page sends the command that it is for",
	"refusal.invalid.bad-input.message":               "the page that asks has words of its own for each field",
	"refusal.invalid.configuration.customer_approval": "a service's configuration",
	"refusal.invalid.configuration.waived_report":     "a service's configuration",
	"refusal.invalid.r1":                              "plans are changed at the command line",
	"refusal.invalid.-":                               "claims of an issuer are named at the command line",
	"refusal.invalid.r13":                             "values of an issuer's claims are named at the command line",
	"refusal.invalid.r13.authorities":                 "an issuer's authorities are named at the command line",
	"refusal.invalid.r13.issuer":                      "the portal's configuration, and its page always sends one",
	"refusal.invalid.r13.jwks":                        "keys are recorded at the command line",
	"refusal.invalid.r13.jwks_max_bytes":              "an issuer's limits are named at the command line",
	"refusal.invalid.r13.leeway":                      "an issuer's limits are named at the command line",
	"refusal.invalid.r13.private_key_jwt":             "how the portal proves itself is said at the command line",
	"refusal.invalid.r13.token_max_bytes":             "an issuer's limits are named at the command line",
	"refusal.invalid.r18.resource_ids":                "the page that asks has words of its own for each field",
	"refusal.invalid.r22.scope":                       "the pages send the scope of the page",
	"refusal.invalid.r4.customer_may_be_told":         "the page that asks has words of its own for each field",
	"refusal.invalid.r4.reason_type":                  "the page that asks has words of its own for each field",
	"refusal.invalid.r4.ticket_id":                    "the page that asks has words of its own for each field",
	"refusal.invalid.r43.reason_type":                 "the page that asks has words of its own for each field",
	"refusal.invalid.r51.human":                       "the pages never send it",
	"refusal.invalid.r57.kind":                        "the page's form offers the kinds that there are",
	"refusal.invalid.r57.types":                       "the page's form chooses no types",
	"refusal.invalid.r62.signed":                      "the page that asks has words of its own for each field",
	"refusal.invalid.r62.token":                       "the page that asks has words of its own for each field",
	"refusal.invalid.r65.display_name":                "changes of sign-in are proposed at the command line",
	"refusal.invalid.r65.route":                       "changes of sign-in are proposed at the command line",
	"refusal.invalid.r66.invitation":                  "the pages send what an invitation has to have",
	"refusal.invalid.r66.administrator":               "customers are created at the command line",
	"refusal.invalid.r66.invitation_id":               "the pages send the invitation's own role",
	"refusal.invalid.r66.role":                        "first invitations are made at the command line",
	"refusal.invalid.r66.secret_hash":                 "the pages make it",
	"refusal.invalid.r66.token":                       "the service itself says whose the role is",
	"refusal.invalid.r66.until":                       "the pages send the time that there is",
	"refusal.invalid.r67.group_map":                   "an issuer's groups are mapped at the command line",
	"refusal.invalid.r67.id":                          "an issuer's groups are mapped at the command line",
	"refusal.invalid.r67.name":                        "an issuer's groups are mapped at the command line",
	"refusal.invalid.r67.eligible_only":               "the page for groups always says so",
	"refusal.invalid.r67.person":                      "the page for groups sends no person",
	"refusal.invalid.-.duration":                      "the page that asks has words of its own for each field",
	"refusal.precondition.r13.id":                     "the page that asks has words of its own for each field",
	"refusal.precondition.r42.signed_approvals_only":  "no page offers it",
	"refusal.precondition.r43.emergency":              "the page that asks has words of its own for each field",
	"refusal.precondition.r48.aggregate_id":           "subscriptions are registered by the provider's inventory",
	"refusal.precondition.r50.begin_signing":          "signing begins at the command line",
	"refusal.precondition.r50.certificates":           "signing begins at the command line",
	"refusal.precondition.r50.deployment_key":         "signing begins at the command line",
	"refusal.precondition.r65.route":                  "changes of sign-in are proposed at the command line",
	"refusal.precondition.r66":                        "first invitations are made at the command line",
	"refusal.unauthenticated.r13.login":               "the pages of the sign-in say it by its kind",
	"refusal.unauthenticated.r25.auth_time":           "the pages have people sign in once more",
}

// passedOn are refusals whose rule or field another function gives, with the messages of those that it may be.
var passedOn = map[string][]string{
	"refusal.conflict.-":        {"refusal.conflict.r29.seen_version"},
	"refusal.invalid.bad-input": {"refusal.invalid.bad-input.seen"},
	"refusal.invalid.r24":       {"refusal.invalid.r24.language"},
	"refusal.invalid.r27":       {"refusal.invalid.r27.duration", "refusal.invalid.r27.resource_ids"},
	"refusal.precondition.-.aggregate_id": {"refusal.precondition.r15.aggregate_id",
		"refusal.precondition.r26.aggregate_id"},
}

// alike are messages that say several things in one way, because whoever reads them does the same about each.
var alike = []string{"refusal.invalid.r57", "refusal.invalid.r57.secret_url", "refusal.invalid.r67.group",
	"refusal.invalid.r27.duration", "refusal.invalid.r13.audiences", "refusal.invalid.r13.jwks_url",
	"refusal.conflict.r65.propose_sign_in_change",
	"refusal.invalid.i10.url", "refusal.invalid.r65.administrators",
	"refusal.conflict.r66.id"}

// What a service refuses has words in the reader's language on the portal's pages, and different things have different
// words: nobody is told no in a language that they may not read.
func TestWhatThePortalIsRefusedHasWordsInEveryLanguage(t *testing.T) {
	said := map[string]map[string]any{}
	for _, tag := range tenant.Languages {
		said[tag] = catalogue(t, pages+"refusal."+tag+".yaml")
	}
	used, sentences, seen := map[string]bool{}, map[string]string{}, 0
	for _, r := range refusals(t) {
		seen++
		if r.coded || slices.Contains(wordless, r.code) {
			continue
		}
		if byTools[r.id()] != "" {
			used[r.id()] = true
			continue
		}
		ids := passedOn[r.id()]
		if ids == nil {
			id := r.id()
			if _, own := said["en"][id]; !own {
				id = r.general()
			}
			ids = []string{id}
			if before, again := sentences[id]; again && before != r.message && !slices.Contains(alike, id) {
				t.Errorf("%s: %s says %s and %s: give each a reason, or say why one will do", r.at, id, before, r.message)
			}
			sentences[id] = r.message
		}
		for _, id := range ids {
			for _, tag := range tenant.Languages {
				if text, _ := said[tag][id].(string); text == "" {
					t.Errorf("%s: %s has no words in %s", r.at, r.id(), tag)
				}
			}
		}
	}
	for id := range byTools {
		if !used[id] {
			t.Errorf("nothing refuses %s any more", id)
		}
	}
	if seen < 150 {
		t.Errorf("only %d refusals were seen", seen)
	}
}
