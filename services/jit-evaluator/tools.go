package evaluator

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Everything matches every tenant or every resource type.
const Everything = "*"

// Tool limits what one engineering tool may submit intents for, regardless of the engineer. A tool is identified by its
// key on the bus: no other client can publish on its subject.
type Tool struct {
	// Name is the tool's name, which is in the name of its key. `portal` is what engineers ask for by REST.
	Name string `yaml:"name"`
	// Tenants lists the customers, or "*".
	Tenants []string `yaml:"tenants"`
	// Services lists resource types (compute/virtual-machines), prefixes up to a slash (compute/*), or "*".
	Services []string `yaml:"services"`
	// PublicKey verifies the intents that the tool signs and the portal publishes for it (R62): an Ed25519 key in PEM
	// (PUBLIC KEY). Empty: it can sign none.
	PublicKey string `yaml:"public_key"`
}

// Unlimited returns a tool for every tenant and every service.
func Unlimited(name string) Tool {
	return Tool{Name: name, Tenants: []string{Everything}, Services: []string{Everything}}
}

// OnlyTenants returns the tenants that the tool is limited to; nil for no limit.
func (t Tool) OnlyTenants() []string {
	if slices.Contains(t.Tenants, Everything) {
		return nil
	}
	return t.Tenants
}

// CheckTools rejects an ambiguous or incomplete configuration. Unlisted tools may submit nothing, and an omitted field
// must not allow everything.
func CheckTools(tools []Tool) error {
	if len(tools) == 0 {
		return errors.New(
			"tools: name the engineering tools that may submit intents; without one nobody can ask for anything")
	}
	names := map[string]bool{}
	for _, t := range tools {
		if err := t.check(); err != nil {
			return fmt.Errorf("tools: %q: %w", t.Name, err)
		}
		if names[t.Name] {
			return fmt.Errorf("tools: %q is named twice", t.Name)
		}
		names[t.Name] = true
	}
	return nil
}

func (t Tool) check() error {
	if err := input.Token("name", t.Name); err != nil {
		return err
	}
	if t.PublicKey != "" {
		if t.Name == bus.PortalTool {
			return errors.New("public_key: the portal signs nothing; what it publishes unsigned is its own")
		}
		if _, err := t.key(); err != nil {
			return fmt.Errorf("public_key: %w", err)
		}
	}
	if len(t.Tenants) == 0 || len(t.Services) == 0 {
		return errors.New(`say for which tenants and which services it may submit; ["*"] is all of them`)
	}
	for _, tenant := range t.Tenants {
		if tenant == Everything {
			continue
		}
		if err := input.Tenant("tenants", tenant); err != nil {
			return err
		}
	}
	for _, pattern := range t.Services {
		kind, rest, cut := strings.Cut(pattern, "/")
		if pattern != Everything && (!cut || kind == "" || rest == "" || strings.Contains(kind, "*") || rest != "*" &&
			strings.Contains(rest, "*")) {
			return fmt.Errorf(`services: %q is neither a resource type such as compute/virtual-machines, nor compute/*, nor "*"`,
				pattern)
		}
	}
	return nil
}

// key returns the key that verifies what the tool signs.
func (t Tool) key() (ed25519.PublicKey, error) {
	block, rest := pem.Decode([]byte(t.PublicKey))
	if block == nil || block.Type != "PUBLIC KEY" || len(bytes.TrimSpace(rest)) > 0 {
		return nil, errors.New("is not one public key in PEM (openssl pkey -pubout writes it)")
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	if key, is := key.(ed25519.PublicKey); is {
		return key, nil
	}
	return nil, errors.New("is no Ed25519 key")
}

// speaker returns the tool whose an intent is: the one that published it, or the one that signed it. It refuses
// (UNAUTHENTICATED) a signature that is not that tool's for this intent, tenant and token, and (FORBIDDEN) one that
// another tool publishes: only the portal does that for others.
func speaker(tools []Tool, publisher string, in *lockboxv1.AccessIntent) (string, error) {
	name := in.GetSignedBy()
	if len(in.GetSigned()) == 0 {
		return publisher, nil
	}
	if publisher != bus.PortalTool && publisher != name {
		return "", refusal.Forbidden("signed_by", signing, "an engineering tool publishes its own intents only")
	}
	// The same refusal for all: it tells nobody which tools there are.
	wrong := refusal.Unauthenticated("signature", signing,
		"is not the signature of that tool, over this intent, for this customer, with this token")
	i := slices.IndexFunc(tools, func(t Tool) bool { return t.Name == name && t.PublicKey != "" })
	if i < 0 || len(in.GetSignature()) != ed25519.SignatureSize {
		return "", wrong
	}
	key, err := tools[i].key()
	statement := request.SignedStatement(name, in.GetTenant(), in.GetDryRun(), in.GetToken(), in.GetSigned())
	if err != nil || !ed25519.Verify(key, statement, in.GetSignature()) {
		return "", wrong
	}
	return name, nil
}

// permit refuses (FORBIDDEN) an intent that the tool may not submit.
func permit(tools []Tool, name, tenant, resourceType string) error {
	i := slices.IndexFunc(tools, func(t Tool) bool { return t.Name == name })
	if i < 0 {
		return refusal.Naming(
			refusal.Forbidden("tool", rule, "the engineering tool %s is not configured here, so it may submit nothing",
				name),
			"tool", name)
	}
	if only := tools[i].OnlyTenants(); only != nil && !slices.Contains(only, tenant) {
		return refusal.Naming(
			refusal.Forbidden("tenant", rule, "the engineering tool %s may not submit intents for this customer", name),
			"tool", name)
	}
	if !slices.ContainsFunc(tools[i].Services, func(pattern string) bool { return covers(pattern, resourceType) }) {
		return refusal.Naming(
			refusal.Forbidden("resource_type", rule, "the engineering tool %s may not submit intents for this service",
				name),
			"tool", name)
	}
	return nil
}

func covers(pattern, resourceType string) bool {
	if kind, all := strings.CutSuffix(pattern, "*"); all {
		return strings.HasPrefix(resourceType, kind) // kind is empty or ends in a slash
	}
	return pattern == resourceType
}

const (
	rule    = "R13"
	signing = "R62"
)
