package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/demo/devissuer"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/client"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/signin"
	"github.com/openlockbox/lockbox/services/verifier"
	"github.com/spf13/cobra"
)

// Exit codes. Scripts rely on them: their meaning never changes.
const (
	exitOK              = 0
	exitOther           = 1
	exitUsage           = 2
	exitInvalid         = 3
	exitUnauthenticated = 4
	exitForbidden       = 5
	exitNotFound        = 6
	exitConflict        = 7
	exitPrecondition    = 8
	exitUnavailable     = 9
	exitNotTrue         = 10
	exitFailure         = 11
	exitWarning         = 12
	exitUnknown         = 13
	exitNotTrusted      = 14
	exitStale           = 15
	exitInconclusive    = 16
	exitInterrupted     = 130
)

// usageError reports an invalid command line; nothing was sent.
type usageError struct {
	command *cobra.Command
	err     error
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usage(c *cobra.Command, format string, args ...any) error {
	for i, arg := range args {
		if err, is := arg.(error); is {
			args[i] = told{err}
		}
	}
	return &usageError{c, fmt.Errorf(format, args...)}
}

// told is an error in the words for people.
type told struct{ error }

func (e told) Error() string { return refusal.Sentence(e.error) }
func (e told) Unwrap() error { return e.error }

var (
	errNothingRuns = errors.New("no Lockbox is running here")
	errInterrupted = errors.New("interrupted")
	// ErrNotTrue reports that stored data is not what it has to be.
	ErrNotTrue = errors.New("the stream is not true")
)

// CheckedError ends a command that has said what it found, with nothing to add.
type CheckedError struct {
	State render.State
	// Nagios asks for the exit codes of Nagios instead.
	Nagios bool
}

func (e *CheckedError) Error() string { return "not all is well" }

func (e *CheckedError) exitCode() int {
	code := map[render.State]int{render.Failed: exitFailure, render.Unknown: exitUnknown, render.Warning: exitWarning}
	if e.Nagios {
		code = map[render.State]int{render.Warning: 1, render.Failed: 2, render.Unknown: 3}
	}
	return code[e.State]
}

// verdicts are the exit codes of what is said of a log.
var verdicts = map[error]int{
	verifier.ErrContradiction: exitNotTrue, verifier.ErrNotTrusted: exitNotTrusted, verifier.ErrStale: exitStale,
	verifier.ErrInconclusive: exitInconclusive,
}

// ExitCode is the only mapping from errors to exit codes; `lockbox help exit-codes` explains it.
func ExitCode(err error) int {
	var wrong *usageError
	var checked *CheckedError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &checked):
		return checked.exitCode()
	case errors.As(err, &wrong):
		return exitUsage
	case errors.Is(err, errInterrupted):
		return exitInterrupted
	case verifier.Verdict(err) != nil:
		return verdicts[verifier.Verdict(err)]
	case errors.Is(err, ErrNotTrue), errors.Is(err, verifier.ErrNotProven):
		return exitNotTrue
	case errors.Is(err, errNothingRuns), errors.Is(err, client.ErrNotRunning), errors.Is(err, journal.ErrUnknown):
		return exitUnavailable
	}
	r, refused := refusal.As(err)
	if !refused {
		return exitOther
	}
	switch r.GetCode() {
	case lockboxv1.RefusalCode_REFUSAL_CODE_INVALID:
		return exitInvalid
	case lockboxv1.RefusalCode_REFUSAL_CODE_UNAUTHENTICATED:
		return exitUnauthenticated
	case lockboxv1.RefusalCode_REFUSAL_CODE_FORBIDDEN:
		return exitForbidden
	case lockboxv1.RefusalCode_REFUSAL_CODE_NOT_FOUND:
		return exitNotFound
	case lockboxv1.RefusalCode_REFUSAL_CODE_CONFLICT:
		return exitConflict
	case lockboxv1.RefusalCode_REFUSAL_CODE_PRECONDITION:
		return exitPrecondition
	case lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE:
		return exitUnavailable
	default:
		return exitOther
	}
}

// problem is an error in JSON, written to stderr with -o json.
type problem struct {
	ExitCode int    `json:"exit_code"`
	Code     string `json:"code"`
	Field    string `json:"field"`
	Rule     string `json:"rule"`
	Message  string `json:"message"`
	Hint     string `json:"hint"`
}

// complain reports an error on stderr, as text or JSON.
func (a *app) complain(err error) {
	if checked := (*CheckedError)(nil); errors.As(err, &checked) {
		return
	}
	p := problem{ExitCode: ExitCode(err), Code: "ERROR", Message: err.Error(), Hint: a.hint(err)}
	var faults *faultsError
	r, refused := refusal.As(err)
	if refused {
		p.Code, p.Field, p.Rule, p.Message = render.RefusalCode(r.GetCode()), r.GetField(), r.GetRule(), r.GetMessage()
	} else if p.ExitCode == exitUsage {
		p.Code = "USAGE"
	}
	var out string
	switch {
	case a.output != formatTable:
		text, err := render.ValueJSON(struct {
			Error problem `json:"error"`
		}{p})
		if err == nil && a.output == formatYAML {
			text, err = render.YAML(text)
		}
		if err != nil {
			text = err.Error() + "\n"
		}
		out = text
	case errors.Is(err, errInterrupted):
		return
	case errors.As(err, &faults):
		out = render.Faults(a.lookAt(a.ErrTerminal), refused, faults.sentences(), p.Hint)
	case refused:
		out = render.Refusal(a.lookAt(a.ErrTerminal), r, p.Hint)
	default:
		out = render.Failure(a.lookAt(a.ErrTerminal), p.Message, p.Hint)
	}
	_, _ = fmt.Fprint(a.Err, out) // nothing can be done if stderr is gone
}

// hint returns what the user can do about an error; empty if there is nothing to add.
func (a *app) hint(err error) string {
	var wrong *usageError
	var corrupt *journal.CorruptError
	switch {
	case errors.As(err, &wrong):
		return fmt.Sprintf("%s --help shows how it is used", wrong.command.CommandPath())
	case errors.Is(err, errNothingRuns):
		return "start one with `lockbox up --demo`, or name another with --url, --keys and --token-file"
	case errors.Is(err, client.ErrNotRunning):
		return "it may have ended without saying so: start it with `lockbox up`, or check --url"
	case errors.As(err, &corrupt), errors.Is(err, input.ErrUnknownFact):
		return "stop here and tell the security officer: either this program is too old, or the stream was tampered with"
	}
	r, refused := refusal.As(err)
	if !refused {
		return ""
	}
	if hint, known := ruleHints[r.GetRule()]; known && hint.code == r.GetCode() {
		return hint.text
	}
	switch r.GetCode() {
	case lockboxv1.RefusalCode_REFUSAL_CODE_UNAUTHENTICATED:
		return a.signInHint(r.GetField() == tenant.StaleField)
	case lockboxv1.RefusalCode_REFUSAL_CODE_FORBIDDEN:
		return "`lockbox whoami` shows who you are and what you hold"
	case lockboxv1.RefusalCode_REFUSAL_CODE_NOT_FOUND:
		return "not found, or you don't have access to it: check the ID and --tenant"
	case lockboxv1.RefusalCode_REFUSAL_CODE_CONFLICT:
		if r.GetField() == "seen_version" {
			return "look at it again, then decide"
		}
		return "`lockbox request show` or `lockbox tenant show` tells what happened"
	case lockboxv1.RefusalCode_REFUSAL_CODE_PRECONDITION:
		return "its state does not allow this; `lockbox request show` or `lockbox tenant show` tells how it stands"
	case lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE:
		return "try again in a moment; see whether all services run"
	default:
		return ""
	}
}

type ruleHint struct {
	code lockboxv1.RefusalCode
	text string
}

// ruleHints are hints that are more specific than those by code.
var ruleHints = map[string]ruleHint{
	"R1": {lockboxv1.RefusalCode_REFUSAL_CODE_PRECONDITION,
		"the provider's onboarding changes the plan: lockbox tenant plan TENANT developer"},
	"R2": {lockboxv1.RefusalCode_REFUSAL_CODE_FORBIDDEN,
		"a Global Administrator does this: lockbox role list shows who that is"},
	"R9": {lockboxv1.RefusalCode_REFUSAL_CODE_INVALID, "ask again with the new resource type"},
	"R10": {lockboxv1.RefusalCode_REFUSAL_CODE_INVALID,
		"completion knows the catalogue: lockbox intent submit --type <Tab>"},
	"R13": {lockboxv1.RefusalCode_REFUSAL_CODE_FORBIDDEN,
		"lockbox policy explain REQUEST says which rule refused it, and why"},
	"R20": {lockboxv1.RefusalCode_REFUSAL_CODE_FORBIDDEN,
		"lockbox request show lists who was asked; an eligible role counts once activated: lockbox role activate"},
	"R26": {lockboxv1.RefusalCode_REFUSAL_CODE_PRECONDITION, "the requester can submit a new intent"},
	"R27": {lockboxv1.RefusalCode_REFUSAL_CODE_INVALID,
		"shorten with --for, narrow with --only; lockbox request show lists what was asked for"},
	"R28": {lockboxv1.RefusalCode_REFUSAL_CODE_INVALID, "say why with --reason"},
	"R30": {lockboxv1.RefusalCode_REFUSAL_CODE_FORBIDDEN,
		"a Global Administrator changes settings: lockbox role list shows who that is"},
	"R42": {lockboxv1.RefusalCode_REFUSAL_CODE_FORBIDDEN,
		"lockbox key list shows your organisation's keys and what they are good for; lockbox help signing"},
	"I9":  {lockboxv1.RefusalCode_REFUSAL_CODE_INVALID, "name the customer with --tenant or LOCKBOX_TENANT"},
	"I10": {lockboxv1.RefusalCode_REFUSAL_CODE_FORBIDDEN, "somebody else must decide this one"},
	"bus": {lockboxv1.RefusalCode_REFUSAL_CODE_FORBIDDEN,
		"name the directory of your keys with --keys; only the compliance team holds the key for replays"},
}

// signInHint explains how to sign in. With anew, an old sign-in was refused; the issuer may still have a session and
// would otherwise not ask again.
func (a *app) signInHint(anew bool) string {
	flags := ""
	if anew {
		flags = " --max-age 0"
	}
	if store, profile, err := a.profileNamed(); err == nil &&
		first(a.as, a.tokenFile, a.Getenv("LOCKBOX_AS"), a.Getenv("LOCKBOX_TOKEN_FILE")) == "" {
		if v, err := store.Load(profile); err == nil {
			return "sign in again: `" + a.loginAgain(v, profile) + flags + "`"
		}
	}
	if info, err := a.running(); err == nil && info.Demo != nil {
		return "this is a demo: say who you are with --as, for example --as erin (an engineer) or --as otto (a customer), or with `lockbox login`"
	}
	return "sign in with your organisation: `lockbox login --issuer URL" + flags +
		"`; or name a token with --token-file or LOCKBOX_TOKEN_FILE"
}

// loginAgain returns the command that repeats a saved sign-in.
func (a *app) loginAgain(v signin.Saved, profile string) string {
	command := "lockbox login"
	if info, err := a.running(); err == nil && info.Demo != nil && strings.HasPrefix(v.Issuer, info.Demo.IssuerURL+"/") {
		if tenant, is := strings.CutPrefix(v.Issuer, info.Demo.IssuerURL+"/t/"); is {
			command += " --tenant " + tenant
		}
	} else {
		command += " --issuer " + v.Issuer
		if v.ClientID != devissuer.ClientID {
			command += " --client-id " + v.ClientID
		}
	}
	if profile != signin.DefaultProfile {
		command += " --profile " + profile
	}
	return render.Clean(command)
}
