package ops

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
)

const (
	root   = "../../../.."
	module = "github.com/openlockbox/lockbox/"
	manual = root + "/deploy/README.md"
	begin  = "<!-- settings: made by `go test ./services/lockbox/internal/ops -update` from the configurations' comments -->\n"
	end    = "<!-- end of settings -->\n"
)

var update = flag.Bool("update", false, "write the manual's tables of settings anew")

// The manual's tables list every setting of every service, with what the code says of it.
func TestTheManualListsEverySetting(t *testing.T) {
	var b strings.Builder
	common := true
	for _, p := range programs() {
		w := settings{t: t, skip: map[string]bool{"service": true}}
		file := reflect.ValueOf(p.Defaults()).Elem()
		if common {
			b.WriteString(begin + "\nAll services:\n\n")
			w.table(&b, file)
			common = false
		}
		w.skip = map[string]bool{"nats": true, "issuers": true, "observe": true}
		fmt.Fprintf(&b, "\n%s:\n\n", p.Name)
		w.table(&b, file)
	}
	b.WriteString("\n" + end)
	text, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	from, to := strings.Index(string(text), begin), strings.Index(string(text), end)
	if from < 0 || to < 0 {
		t.Fatal("deploy/README.md has no place for the settings")
	}
	to += len(end)
	if string(text[from:to]) == b.String() {
		return
	}
	if !*update {
		t.Fatal("deploy/README.md lists other settings; write it anew with -update")
	}
	if err := os.WriteFile(manual, []byte(string(text[:from])+b.String()+string(text[to:])), 0o600); err != nil {
		t.Fatal(err)
	}
}

// settings reads configurations together with their source.
type settings struct {
	t    *testing.T
	skip map[string]bool // top-level keys
}

func (s settings) table(b *strings.Builder, file reflect.Value) {
	b.WriteString("| key | means | default |\n|---|---|---|\n")
	s.rows(b, file, sourceOf(s.t, file.Type()), "")
}

func (s settings) rows(b *strings.Builder, v reflect.Value, source *ast.StructType, path string) {
	i := 0
	for _, f := range source.Fields.List {
		for range max(1, len(f.Names)) {
			field, value := v.Type().Field(i), v.Field(i)
			i++
			key, _, _ := strings.Cut(field.Tag.Get("yaml"), ",")
			switch {
			case field.Anonymous && key == "":
				s.rows(b, value, structOf(s.t, field.Type, f.Type), path)
				continue
			case key == "" || key == "-" || path == "" && s.skip[key]:
				continue
			}
			s.row(b, field, value, f, v.Type(), strings.TrimPrefix(path+"."+key, "."))
		}
	}
}

func (s settings) row(
	b *strings.Builder, field reflect.StructField, value reflect.Value, source *ast.Field, of reflect.Type, key string,
) {
	within := value.Type()
	switch within.Kind() {
	case reflect.Slice:
		if within = within.Elem(); within.Kind() == reflect.Struct {
			value, key = reflect.Zero(within), key+"[]"
		}
	case reflect.Map:
		within, value, key = within.Elem(), reflect.Zero(within.Elem()), key+".NAME"
	}
	if within.Kind() == reflect.Struct && len(yamlFields(within)) > 0 {
		s.rows(b, value, structOf(s.t, within, source.Type), key)
		return
	}
	if source.Doc == nil {
		s.t.Errorf("%s.%s has no comment", of, field.Name)
		return
	}
	fmt.Fprintf(b, "| `%s` | %s | %s |\n", key, meaning(source.Doc.Text(), field.Name, of), plain(value))
}

var (
	rules = regexp.MustCompile(`\s*\((?:[RI]\d+(?:, )?)+\)`)
	zeros = regexp.MustCompile(`([hm])0[ms](0s)?\b`)
	words = regexp.MustCompile(`\b[A-Z]\w+\b`)
)

// meaning is a comment without the name of its field, with the others' keys for their names.
func meaning(comment, name string, of reflect.Type) string {
	text := strings.Join(strings.Fields(comment), " ")
	for _, verb := range []string{" is ", " are ", " "} {
		if rest, is := strings.CutPrefix(text, name+verb); is {
			text = rest
			break
		}
	}
	keys := yamlFields(of)
	text = words.ReplaceAllStringFunc(text, func(w string) string {
		if key := keys[w]; key != "" && w != "URL" {
			return "`" + key + "`"
		}
		return w
	})
	return strings.ReplaceAll(strings.TrimSuffix(rules.ReplaceAllString(text, ""), "."), "|", `\|`)
}

func plain(v reflect.Value) string {
	if v.IsZero() {
		return ""
	}
	text := fmt.Sprint(v.Interface())
	if _, is := v.Interface().(time.Duration); is || v.Type() == reflect.TypeFor[[]time.Duration]() {
		text = zeros.ReplaceAllString(text, "$1")
	}
	return strings.ReplaceAll(text, " ", ", ")
}

func yamlFields(t reflect.Type) map[string]string {
	keys := map[string]string{}
	for i := range t.NumField() {
		if key, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ","); key != "" && key != "-" {
			keys[t.Field(i).Name] = key
		}
	}
	return keys
}

// structOf returns the source of a struct that is declared in place or has a name.
func structOf(t *testing.T, of reflect.Type, written ast.Expr) *ast.StructType {
	switch w := written.(type) {
	case *ast.StructType:
		return w
	case *ast.ArrayType:
		return structOf(t, of, w.Elt)
	case *ast.MapType:
		return structOf(t, of, w.Value)
	}
	return sourceOf(t, of)
}

func sourceOf(t *testing.T, of reflect.Type) *ast.StructType {
	name, _, _ := strings.Cut(of.Name(), "[")
	dir := filepath.Join(root, strings.TrimPrefix(of.PkgPath(), module))
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			g, is := d.(*ast.GenDecl)
			if !is {
				continue
			}
			for _, spec := range g.Specs {
				if s, is := spec.(*ast.TypeSpec); is && s.Name.Name == name {
					switch w := s.Type.(type) {
					case *ast.StructType:
						return w
					case *ast.ArrayType: // a list of its own type
						return structOf(t, of.Elem(), w.Elt)
					}
				}
			}
		}
	}
	t.Fatalf("%s: no struct %s (%v)", dir, name, fs.ErrNotExist)
	return nil
}
