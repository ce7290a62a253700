package archtest

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

var (
	// typed are what people type or see as programs write it: addresses, commands, settings, claims, placeholders.
	typed = regexp.MustCompile(`\{\{[^}]*\}\}|https?://\S*|\S+@\S+|lockbox( [a-z-]+)+|\bContent-Type: \S+|` +
		`\bfield eq \S+|` +
		`\bapi-version\S*|whsec_\S*|xn--\S*|a-z|\S+\.example(\.org)?\S*|\\[nu]\S*`)
	// english are words that no English sentence does without, and that French does not have.
	english = regexp.MustCompile(`(?i)\b(the|of|with|was|were|is|are|has|have|had|you|your|this|that|these|those|from|` +
		`which|not|been|will|who|when|by|to|until|must|cannot|should|there|what|why|how|its|their|for|only|once|again|` +
		`request|requests|role|roles|approved|denied|view|show|back|memory|data|access|customer|customers|name|names)\b`)
	latin = regexp.MustCompile(`[A-Za-z][A-Za-z-]*`)
)

// named are the words in Latin letters that Japanese texts have: products, formats, and what protocols call things.
var named = strings.Fields(`Lockbox Customer Microsoft Azure Slack Teams Workflows Webhook Webhooks Standard Incoming
	Developer DevOps JSON Lines CSV CloudEvents OCSF Activity Log UTC UTF- SHA- ID SSH JIT ASCII Base64 Base API URL https
	UUID U x Bearer Authorization GET HEAD POST WebAuthn PIN ssh-keygen
	sub iss aud kid crit jwks uri audience meadowbank status decision and or Approve Deny SR- e Content-Type application
	json MiB KB GB SQL VM DNS IP TLS OS CPU PaaS Kubernetes Cosmos DB Data Explorer Machine Learning Functions App Service
	Logic Apps Synapse Databricks HDInsight Batch Redis PostgreSQL MySQL MariaDB Spring Cognitive OpenAI Site Recovery
	VMware Monitor Purview AKS Power BI Platform Dynamics Intune Red Hat OpenShift Fabric Container Registry Instances SAP
	HANA ExpressRoute Virtual Desktop NetApp Files Key Vault Blob Stack Edge Box Kusto Spark Hadoop Tomcat Cassandra MongoDB
	Gremlin Windows Linux iSCSI NFS SMB REST T Z Web Zone Log Analytics Dev Center BLOB Resource Manager AI`)

// texts are the catalogues' texts and the built-in catalogue's names in other languages, by file, with their language.
func texts(t *testing.T, each func(file, language, text string)) {
	t.Helper()
	seen := 0
	for _, dir := range []string{"pkg", "services"} {
		err := filepath.WalkDir(filepath.Join(root(t), dir), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || filepath.Base(filepath.Dir(path)) != "messages" {
				return err
			}
			parts := strings.Split(filepath.Base(path), ".")
			language := parts[max(0, len(parts)-2)]
			data, err := os.ReadFile(path) // #nosec G304,G122 -- a file of the repository
			if err != nil {
				return err
			}
			seen++
			var document yaml.Node
			if err := yaml.Unmarshal(data, &document); err != nil {
				return err
			}
			visit(&document, func(text *yaml.Node, _ string) { each(path, language, text.Value) })
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(filepath.Join(root(t), "pkg/catalogue/names/names.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var document yaml.Node
	if err := yaml.Unmarshal(data, &document); err != nil {
		t.Fatal(err)
	}
	visit(&document, func(text *yaml.Node, language string) { each("names.yaml", language, text.Value) })
	if seen < 30 {
		t.Fatalf("only %d catalogues were seen", seen)
	}
}

// No text of another language has a word of English: none of a page, a mail, a refusal, a message to a chat or a
// webhook, and no name of the catalogue.
func TestNoEnglishIsInTextsOfOtherLanguages(t *testing.T) {
	texts(t, func(file, language, text string) {
		plain := typed.ReplaceAllString(text, " ")
		for _, product := range []string{"Customer Lockbox", "Data Explorer", "Data Factory", "Data Lake", "Data Box",
			"Data Manager for Energy", "« and »"} {
			plain = strings.ReplaceAll(plain, product, " ")
		}
		switch language {
		case "fr":
			if word := english.FindString(plain); word != "" {
				t.Errorf("%s says %q in French: %s", file, word, text)
			}
		case "ja":
			if !strings.ContainsFunc(plain, func(r rune) bool { return r > 0x3000 }) {
				return // a name alone
			}
			for _, word := range latin.FindAllString(plain, -1) {
				if !slices.Contains(named, word) {
					t.Errorf("%s says %q in Japanese: %s", file, word, text)
				}
			}
		}
	})
}

// templateText is what a template says itself: what stands between its tags and actions.
var templateText = regexp.MustCompile(`(?s)\{\{.*?\}\}|<!--.*?-->|<code.*?</code>|<p class="mono.*?</p>|` +
	`<style.*?</style>|<script.*?</script>|<[^>]*>`)

// A page says nothing itself: all of its words are messages. What stands in a template would be in one language for
// all.
func TestTemplatesSayNothingThemselves(t *testing.T) {
	seen := 0
	portal := filepath.Join(root(t), "services/portal")
	err := filepath.WalkDir(portal, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || filepath.Ext(path) != ".tmpl" {
			return err
		}
		seen++
		data, err := os.ReadFile(path) // #nosec G304,G122 -- a file of the repository
		if err != nil {
			return err
		}
		for _, word := range latin.FindAllString(templateText.ReplaceAllString(string(data), " "), -1) {
			if !slices.Contains([]string{"Customer", "Lockbox", "SHA-", "English", "Fran", "ais"}, word) {
				t.Errorf("%s says %q", path, word)
			}
		}
		return nil
	})
	if err != nil || seen < 20 {
		t.Errorf("%d templates were seen: %v", seen, err)
	}
}
