package devissuer

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/identity"
	"github.com/openlockbox/lockbox/pkg/input"
)

// shape is how a kind of identity provider writes tokens, and how Lockbox is configured for it.
type shape struct {
	// subject is what identifies a persona.
	subject func(Persona) string
	// claims changes the plain claims of a token to those of the shape. chosen is when the persona was.
	claims func(p Persona, chosen time.Time, c map[string]any)
	// configured is what the provider's issuer is configured with; of it, a tenant is registered with what it can be.
	configured identity.Claims
	// group is what tokens call a group; nil: the same.
	group func(string) string
	// thumbprint means that tokens name the key by its certificate only.
	thumbprint bool
}

// plain is the shape of the demo's own tokens.
const plain = "plain"

// multipleAuthn is what AD FS says of a sign-in with several factors.
const multipleAuthn = "http://schemas.microsoft.com/claims/multipleauthn"

// Shapes names the kinds of identity provider whose tokens the demo can write.
func Shapes() []string { return []string{plain, "entra", "keycloak", "okta", "adfs"} }

var shapes = map[string]shape{
	plain: {
		subject: func(p Persona) string { return p.Name }, claims: func(Persona, time.Time, map[string]any) {},
	},
	// Groups by their ids, an authentication context instead of methods, a subject that is another for each client beside
	// an id of the person.
	"entra": {
		subject: func(p Persona) string { return derived("person " + p.Name) },
		claims: func(p Persona, _ time.Time, c map[string]any) {
			sum := sha256.Sum256([]byte(Audience + p.Name))
			move(c, map[string]string{"locale": "xms_pl", "employer": "companyname"})
			delete(c, "amr")
			c["sub"], c["oid"] = base64.RawURLEncoding.EncodeToString(sum[:]), derived("person "+p.Name)
			c["tid"], c["ver"], c["preferred_username"] = derived("tenant "+p.Tenant), "2.0", p.Email
			if several(p) {
				c["acrs"] = []string{"c1"}
			}
			if p.Isolated {
				delete(c, "isolated_identity")
				c["extn.privileged"] = []string{"true"}
			}
			mapGroups(c, entraGroup)
		},
		configured: identity.Claims{
			Subject: "oid", Locale: "xms_pl", Employer: "companyname",
			MultiFactor: identity.MultiFactor{ACR: []string{"c1"}},
			Isolated:    identity.IsolatedClaim{Claim: "extn.privileged", Values: []string{"true"}},
			GroupMap:    groupMap(entraGroup),
		},
		group: entraGroup,
	},
	// Groups as paths, a number as the class, several audiences, attributes as lists.
	"keycloak": {
		subject: func(p Persona) string { return derived("person " + p.Name) },
		claims: func(p Persona, _ time.Time, c map[string]any) {
			delete(c, "amr")
			c["sub"], c["aud"], c["azp"] = derived("person "+p.Name), []string{"account", Audience}, Audience
			c["typ"], c["preferred_username"], c["email_verified"], c["acr"] = "ID", p.Name, true, 1
			if several(p) {
				c["acr"] = 2
			}
			if p.Employer != "" {
				c["employer"] = []string{p.Employer}
			}
			mapGroups(c, keycloakGroup)
		},
		configured: identity.Claims{
			MultiFactor: identity.MultiFactor{ACR: []string{"2"}},
			GroupMap:    groupMap(keycloakGroup),
		},
		group: keycloakGroup,
	},
	// Groups by the names that people see, methods.
	"okta": {
		subject: func(p Persona) string { return oktaID(p.Name) },
		claims: func(p Persona, _ time.Time, c map[string]any) {
			c["sub"], c["ver"], c["idp"], c["preferred_username"] = oktaID(p.Name), 1, oktaID("idp"), p.Email
			mapGroups(c, oktaGroup)
			if groups, ok := c["groups"].([]string); ok {
				c["groups"] = append(groups, "Everyone")
			}
		},
		configured: identity.Claims{GroupMap: groupMap(oktaGroup)},
		group:      oktaGroup,
	},
	// The key by its certificate only, a time as a date, one group as a text, methods as addresses in a claim of their
	// own.
	"adfs": {
		subject: func(p Persona) string { return p.Email },
		claims: func(p Persona, chosen time.Time, c map[string]any) {
			sum := sha256.Sum256([]byte(p.Name))
			delete(c, "amr")
			c["sub"], c["upn"] = base64.StdEncoding.EncodeToString(sum[:]), p.Email
			c["unique_name"], c["auth_time"] = `NIMBUS\`+p.Name, chosen.UTC().Format("2006-01-02T15:04:05.000Z")
			methods := []string{"urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"}
			if several(p) {
				methods = append(methods, multipleAuthn)
			}
			if c["authmethod"] = methods; len(methods) == 1 {
				c["authmethod"] = methods[0]
			}
			move(c, map[string]string{"groups": "group"})
			if groups, ok := c["group"].([]string); ok && len(groups) == 1 {
				c["group"] = groups[0]
			}
			if p.Isolated {
				c["isolated_identity"] = "true"
			}
		},
		configured: identity.Claims{
			Subject: "upn", Groups: "group",
			MultiFactor: identity.MultiFactor{Claim: "authmethod", AMR: []string{multipleAuthn}},
			Isolated:    identity.IsolatedClaim{Values: []string{"true"}},
		},
		thumbprint: true,
	},
}

func several(p Persona) bool { return slices.Contains(p.Methods, "mfa") }

// derived returns an id that is the same in all demos.
func derived(of string) string {
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte("https://lockbox.example/demo/"+of)).String()
}

func oktaID(of string) string { return "00u" + strings.ReplaceAll(derived(of), "-", "")[:17] }

func entraGroup(g string) string { return derived("group " + g) }

func keycloakGroup(g string) string { return "/" + g }

func oktaGroup(g string) string { return "Lockbox " + strings.ReplaceAll(g, "-", " ") }

// groupMap maps the shape's names of all groups to Lockbox's.
func groupMap(theirs func(string) string) map[string]string {
	all := map[string]string{}
	for _, g := range []string{aggregate.SupportEngineers, aggregate.SupportLeads, aggregate.DevOpsManagers,
		aggregate.SecurityOfficers, aggregate.Onboarding, aggregate.EmergencyResponders, aggregate.TicketSystems} {
		all[theirs(g)] = g
	}
	return all
}

// mapGroups renames the groups in a token.
func mapGroups(c map[string]any, theirs func(string) string) {
	groups, ok := c["groups"].([]string)
	if !ok {
		return
	}
	named := make([]string, len(groups))
	for i, g := range groups {
		named[i] = theirs(g)
	}
	c["groups"] = named
}

// move renames claims.
func move(c map[string]any, names map[string]string) {
	for from, to := range names {
		if v, has := c[from]; has {
			c[to] = v
			delete(c, from)
		}
	}
}

// Subject returns what identifies a persona in tokens of a shape; empty if there is none of that name.
func Subject(shapeName, persona string) string {
	p, known := Find(persona)
	s, is := shapes[cmp.Or(shapeName, plain)]
	if !known || !is {
		return ""
	}
	return s.subject(p)
}

// NameOf returns the name of the persona that a subject in tokens of a shape identifies; the subject itself if there is
// none.
func NameOf(shapeName, subject string) string {
	for _, p := range Personas() {
		if subject != "" && Subject(shapeName, p.Name) == subject {
			return p.Name
		}
	}
	return subject
}

// keepShape stores the shape with which a demo begins. It cannot be changed later, because in tokens of another shape
// everybody is somebody else; a demo that began without any has the plain one.
func keepShape(dir, wanted string) (string, error) {
	if _, known := shapes[wanted]; wanted != "" && !known {
		return "", fmt.Errorf("the demo's sign-in writes tokens in the shape of %s; not of %q%s",
			strings.Join(Shapes(), ", "), wanted, input.DidYouMean(wanted, Shapes()))
	}
	kept := plain
	_, begun := os.Stat(filepath.Join(dir, "url"))
	_, named := os.Stat(filepath.Join(dir, "shape"))
	if errors.Is(begun, fs.ErrNotExist) || named == nil {
		content, err := keep(dir, "shape", func() ([]byte, error) { return []byte(cmp.Or(wanted, plain) + "\n"), nil })
		if err != nil {
			return "", err
		}
		kept = strings.TrimSpace(string(content))
	}
	if _, known := shapes[kept]; !known {
		return "", fmt.Errorf("%s names no shape of tokens", filepath.Join(dir, "shape"))
	}
	if wanted != "" && wanted != kept {
		return "", fmt.Errorf("this demo began with tokens in the shape %s, by which its people are known; begin with an empty --data directory for %s",
			kept, wanted)
	}
	return kept, nil
}
