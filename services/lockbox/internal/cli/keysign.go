package cli

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/openlockbox/lockbox/pkg/approval"
	"github.com/openlockbox/lockbox/pkg/keychain"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/sshkey"
	"github.com/spf13/cobra"
)

// keySigning is how a statement about keys is signed.
type keySigning struct {
	with []string
	yes  *bool
}

// signsKeys adds the flags to a command that signs a statement about keys. None of them can be taken back.
func (a *app) signsKeys(c *cobra.Command) *keySigning {
	o := &keySigning{yes: askAlways(c)}
	c.Flags().StringArrayVar(&o.with, "sign-with", nil,
		"sign with this `key` too: agent[:NAME], a file, or ssh-keygen:FILE (repeat for several; lockbox help signing)")
	a.pins(c)
	complete(c, "sign-with", a.signers)
	return o
}

// pen is a key that signs a statement about keys.
type pen struct {
	key  approval.Key
	id   string
	name string
	with *sshkey.Signer
}

// recoveries are the recovery keys that there ever were.
func (k *keyring) recoveries() (keys []approval.Key) {
	for _, v := range k.GetKeys() {
		var key approval.Key
		if v.GetRole() != "recovery" || json.Unmarshal(v.GetEnrolment(), &key) != nil {
			continue
		}
		if id, err := key.ID(); err == nil && id == hex.EncodeToString(v.GetKeyId()) {
			keys = append(keys, key)
		}
	}
	return keys
}

// counting are somebody's keys that count now.
func (k *keyring) counting(me *lockboxv1.Person) (keys []approval.Enrolled) {
	if k.chain == nil {
		return nil
	}
	for _, e := range k.chain.Keys() {
		if e.Counts(keychain.Now) && e.Person.Account == keychain.AccountOf(me) {
			keys = append(keys, e)
		}
	}
	return keys
}

// helps reports whether an enrolled key may sign a statement: whoever signs without any right has it refused.
func (k *keyring) helps(e approval.Enrolled, st statement) bool {
	c := st.change
	if c == nil {
		return false
	}
	if e.Role == approval.Administrator {
		return c.Change != approval.RecoverKeys
	}
	switch c.Change {
	case approval.AddKey:
		return c.Keys[0].Person == e.Person && c.Keys[0].Role == approval.Approver
	case approval.RemoveKey:
		return slices.ContainsFunc(k.chain.Keys(),
			func(gone approval.Enrolled) bool { return gone.ID == c.Remove && gone.Person.Same(e.Person) })
	}
	return false
}

// pens are the keys with which the caller signs a statement that has some signatures: each new key of theirs, and one
// that counts, as far as they are here; or those that they name.
func (s *session) pens(
	ctx context.Context, k *keyring, st statement, signed []approval.Signature, o *keySigning,
) (pens []pen, err error) {
	me := s.me(ctx)
	has := func(id string) bool {
		return slices.ContainsFunc(signed, func(x approval.Signature) bool { return x.Key == id })
	}
	var own, others []pen
	for _, key := range append(st.adds(), k.recoveries()...) {
		p := pen{key: key, name: k.nameOf(key)}
		if p.id, err = key.ID(); err != nil {
			return nil, err
		}
		if st.ownedBy(key, keychain.AccountOf(me)) {
			own = append(own, p)
		} else {
			others = append(others, p)
		}
	}
	counting := k.counting(me)
	voted := slices.ContainsFunc(counting, func(e approval.Enrolled) bool { return has(e.ID) })
	for _, e := range counting {
		if k.helps(e, st) && !voted {
			own = append(own, pen{key: e.Key, id: e.ID, name: k.nameOf(e.Key)})
		}
	}
	if len(o.with) > 0 {
		return s.app.pensNamed(ctx, o.with, append(own, others...))
	}
	adds := st.adds()
	for _, p := range own {
		isNew := slices.ContainsFunc(adds, func(key approval.Key) bool { return key.Public == p.key.Public })
		if has(p.id) || !isNew && voted {
			continue
		}
		if _, with := s.app.here([]holder{{Enrolment: approval.Enrolment{Key: p.key}}}); with != nil {
			p.with, voted = with, voted || !isNew // one key that counts is enough
			pens = append(pens, p)
		}
	}
	return pens, nil
}

// pensNamed are the keys that somebody names, among those that may sign.
func (a *app) pensNamed(ctx context.Context, names []string, all []pen) (pens []pen, err error) {
	for _, name := range names {
		with, err := a.tools().Find(ctx, name)
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(all, func(p pen) bool { return p.key.Public == with.Encoded() })
		if i < 0 {
			return nil, refusal.OfKind(refusal.Forbidden("sign-with", "R42", "%s is no key that has to sign this", name),
				"key-unknown")
		}
		p := all[i]
		p.with = with
		pens = append(pens, p)
	}
	return pens, nil
}

// ownedBy reports whether a key that the statement adds is somebody's.
func (st statement) ownedBy(key approval.Key, who approval.Account) bool {
	var all []approval.Enrolment
	if st.genesis != nil {
		all = st.genesis.Administrators
	} else {
		all = st.change.Keys
	}
	return slices.ContainsFunc(all,
		func(e approval.Enrolment) bool { return e.Key.Public == key.Public && e.Person.Account == who })
}

// nameOf is what a key is called.
func (k *keyring) nameOf(key approval.Key) string {
	for _, h := range k.keys {
		if h.Key.Public == key.Public {
			return h.name()
		}
	}
	return "the recovery key"
}

// signKeys has a person read a statement about keys, signs it with their keys and sends it. A statement that they draft
// is sent even if no key of theirs that has to sign it is here.
func (s *session) signKeys(ctx context.Context, k *keyring, st statement, o *keySigning, drafts bool) error {
	var before []approval.Signature
	for _, open := range k.open() {
		if open.Statement == string(st.bytes) {
			before = open.Signatures
		}
	}
	pens, err := s.pens(ctx, k, st, before, o)
	if err != nil {
		return err
	}
	if len(pens) == 0 && !drafts {
		return refusal.Precondition("sign-with", "R42",
			"no key of yours that still has to sign this is here: name one with --sign-with, or ssh-add it")
	}
	if err := s.readKeys(ctx, st, pens, *o.yes); err != nil {
		return err
	}
	change := approval.Signed{Statement: string(st.bytes)}
	var names []string
	for _, p := range pens {
		made, err := s.app.signature(ctx, p.with, p.key, st.format, st.bytes)
		if err != nil {
			return err
		}
		change.Signatures = keychain.Merge(change.Signatures, []approval.Signature{made})
		names = append(names, render.Clean(p.name))
	}
	return s.sendKeys(ctx, k, st, change, names)
}

// readKeys shows what is about to be signed, and asks.
func (s *session) readKeys(ctx context.Context, st statement, pens []pen, yes bool) error {
	a := s.app
	var with []string
	for _, p := range pens {
		with = append(with, fmt.Sprintf("%s (%s)", render.Clean(p.name), p.with.Where))
	}
	if !a.interactive() {
		what, _, _ := strings.Cut(st.text, "\n")
		return a.confirmDangerous(ctx, s.command, yes, what+" Words: "+st.words(), goOn)
	}
	text := render.Statement(a.lookAt(a.ErrTerminal), st.text, st.words(), strings.Join(with, ", "))
	if _, err := io.WriteString(a.Err, text); err != nil {
		return err
	}
	question := "Sign it?"
	if len(pens) == 0 {
		question = "Draft it, for others to sign?"
	}
	return a.confirm(ctx, yes, "", question)
}

// sendKeys sends signatures of a statement, and says what came of it.
func (s *session) sendKeys(
	ctx context.Context, k *keyring, st statement, change approval.Signed, names []string,
) error {
	reply, err := s.do(ctx, k.tenant, "", &lockboxv1.Command{Action: &lockboxv1.Command_SignKeys{
		SignKeys: &lockboxv1.SignKeys{Change: keychain.ToProto(change)}}})
	if err != nil {
		return err
	}
	sentence := "Drafted."
	if len(names) > 0 {
		sentence = fmt.Sprintf("Signed with %s, words %s.", strings.Join(names, ", "), st.words())
	}
	return s.app.done(reply, "%s%s", sentence, s.outcome(ctx, k.tenant, st, reply))
}

// outcome says whether a statement took effect, or who else has to sign it.
func (s *session) outcome(ctx context.Context, tenant string, st statement, reply *lockboxv1.CommandReply) string {
	if s.app.output != formatTable {
		return ""
	}
	answer, err := s.ask(ctx, tenant, reply.GetSequence(),
		&lockboxv1.Query{Ask: &lockboxv1.Query_GetKeys{GetKeys: &lockboxv1.GetKeys{}}})
	if err != nil {
		return " What came of it shows `lockbox key list`."
	}
	k := &keyring{KeysView: answer.GetKeys(), tenant: tenant, keys: heldBy(answer.GetKeys().GetKeys())}
	if k.chain, err = foldKeys(tenant, k.GetEvents()); err != nil {
		return " " + render.Clean(err.Error())
	}
	for _, open := range k.open() {
		if open.Statement == string(st.bytes) {
			return "\n" + k.next(st, open.Signatures)
		}
	}
	if st.genesis != nil {
		return " The keys count now: compare these words with the other administrators by another way, and pin them."
	}
	return " It is recorded" + k.effect(st) + "."
}

// effect says from when on a change counts.
func (k *keyring) effect(st statement) string {
	change, recovery := k.chain.Genesis().Delays()
	switch st.change.Change {
	case approval.AddKey, approval.ReplaceRecovery:
		return ", and counts " + render.Duration(change) + " after the witnesses have seen it"
	case approval.RecoverKeys:
		return ", and counts " + render.Duration(recovery) + " after the witnesses have seen it"
	case approval.SetDemand:
		if d, waits := k.chain.Awaited(); waits && d == st.change.Demand {
			return ", and counts " + render.Duration(change) + " after the witnesses have seen it"
		}
	}
	return ", and counts at once"
}

// next says who has to sign a statement that waits, and how.
func (k *keyring) next(st statement, signed []approval.Signature) string {
	has := func(id string) bool {
		return slices.ContainsFunc(signed, func(x approval.Signature) bool { return x.Key == id })
	}
	var missing []string
	offline := false
	for _, key := range st.adds() {
		id, err := key.ID()
		if err != nil || has(id) {
			continue
		}
		name := k.nameOf(key)
		for _, h := range k.keys {
			if h.id == id {
				name = fmt.Sprintf("%s (%s)", name, h.Person.Subject)
			}
		}
		offline = offline || name == "the recovery key"
		missing = append(missing, render.Clean(name))
	}
	if c := st.change; c != nil {
		switch {
		case c.Change == approval.RecoverKeys:
			offline = true
			missing = append(missing, "the recovery key")
		case c.Change != approval.RemoveKey:
			n := k.administrators(signed)
			if need := int(k.chain.Genesis().Threshold) - n; need > 0 { // #nosec G115 -- at most 32
				missing = append(missing, fmt.Sprintf("%d more of your administrators", need))
			}
		}
	}
	text := "It waits for: " + strings.Join(missing, ", ") + ". Each signs with `lockbox key sign`, or in the portal."
	if offline {
		text += "\nWith a key on a machine of its own:\n    lockbox key statement --file statement.json\n" +
			"    lockbox key sign --offline statement.json --sign-with RECOVERY-KEY\n    lockbox key submit statement.json"
	}
	return text
}

// administrators counts the different people among the administrators who signed.
func (k *keyring) administrators(signed []approval.Signature) int {
	var people []approval.Person
	for _, e := range k.chain.Keys() {
		is := slices.ContainsFunc(signed, func(x approval.Signature) bool { return x.Key == e.ID })
		if is && e.Role == approval.Administrator && e.Counts(keychain.Now) &&
			!slices.ContainsFunc(people, e.Person.Same) {
			people = append(people, e.Person)
		}
	}
	return len(people)
}

func (a *app) keySignCommand() *cobra.Command {
	var offline, file string
	c := &cobra.Command{
		Use: "sign [STATEMENT]", Short: "Read a statement about keys that waits, and sign it", Args: atMost("STATEMENT"),
		ValidArgsFunction: firstArgument(a.statements),
		Long: `Shows a statement that waits for signatures, in words, and signs it with your keys that have to. If several wait, name one by
the first of its words, which are the same for everybody. With --offline it signs a file, on a machine without any network, and
writes the signature beside it, as ssh-keygen -Y sign does.`,
		Example: `  lockbox key sign
  lockbox key sign "bafida hogupo"
  lockbox key sign --offline statement.json --sign-with ./recovery`,
	}
	o := a.signsKeys(c)
	c.Flags().StringVar(&offline, "offline", "", "sign this `file` of lockbox key statement, without any network")
	c.Flags().StringVar(&file, "file", "", "with --offline: write the signature to this new `file` (default FILE.sig)")
	signed := a.with(func(ctx context.Context, s *session, args []string) error {
		k, err := s.keyring(ctx)
		if err != nil {
			return err
		}
		st, err := s.waiting(k, first(args...))
		if err != nil {
			return err
		}
		return s.signKeys(ctx, k, st, o, false)
	})
	c.RunE = func(c *cobra.Command, args []string) error {
		if offline == "" {
			return signed(c, args)
		}
		if len(args) > 0 || len(o.with) != 1 {
			return usage(c, "--offline needs one --sign-with, and no other statement")
		}
		return a.signOffline(c, o, offline, first(file, offline+".sig"))
	}
	return c
}

// signOffline signs a file.
func (a *app) signOffline(c *cobra.Command, o *keySigning, file, to string) error {
	st, err := a.statementIn(file)
	if err != nil {
		return err
	}
	with, err := a.tools().Find(c.Context(), o.with[0])
	if err != nil {
		return err
	}
	s := &session{app: a, command: c}
	if err := s.readKeys(c.Context(), st, []pen{{name: with.Fingerprint(), with: with}}, *o.yes); err != nil {
		return err
	}
	blob, err := with.SSHSIG(c.Context(), approval.Namespace(st.format), st.bytes)
	if err != nil {
		return err
	}
	err = a.into(to, func(out io.Writer) error {
		_, err := out.Write(approval.Armor(blob))
		return err
	})
	if err != nil {
		return err
	}
	text := fmt.Sprintf("Signed with %s, words %s. The signature is in %s. Where there is a network: "+
		"lockbox key submit %s", with.Where, st.words(), to, file)
	return a.say(strings.TrimSuffix(render.Paragraphs(a.look(), text), "\n"))
}

// statements completes the words of the statements that wait.
func (a *app) statements(c *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	return a.asking(func(ctx context.Context, s *session) []string {
		k, err := s.keyring(ctx)
		if err != nil {
			return nil
		}
		var names []string
		for _, open := range k.open() {
			if st, err := a.readStatement([]byte(open.Statement)); err == nil {
				what, _, _ := strings.Cut(st.text, "\n")
				names = append(names, cobra.CompletionWithDesc(strings.Join(strings.Fields(st.words())[:2], "-"), what))
			}
		}
		return names
	})(c, args, typed)
}
