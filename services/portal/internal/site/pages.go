package site

import (
	"bytes"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/tenant"
	"github.com/openlockbox/lockbox/services/portal/internal/words"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Pages are a package's templates, each in every language. They are in its templates directory, one file per page,
// which defines "main"; files that begin with an underscore hold shared parts.
type Pages struct {
	byLanguage map[string]map[string]*template.Template
}

// ParsePages parses a package's pages into the site's layout. In addition to html/template's functions, templates have:
//
//	t "id" "Name" value …   a message of package words
//	instant T, duration D   a time and a duration, in words; T and D may be protobuf's
//	iso T                   a time for machines (RFC 3339)
//	refusal R               why a service refused, for the template "reason"
func (s *Site) ParsePages(files fs.FS) (*Pages, error) {
	p := &Pages{byLanguage: map[string]map[string]*template.Template{}}
	for _, tag := range tenant.Languages {
		set, err := parsePages(files, s.Words.In(tag))
		if err != nil {
			return nil, err
		}
		p.byLanguage[tag] = set
	}
	return p, nil
}

func parsePages(files fs.FS, say *words.Speaker) (map[string]*template.Template, error) {
	shared, err := template.New("").Funcs(functions(say)).Option("missingkey=error").ParseFS(layoutFiles,
		"templates/*.tmpl")
	if err != nil {
		return nil, fmt.Errorf("portal: %w", err)
	}
	names, err := fs.Glob(files, "templates/*.tmpl")
	if err != nil {
		return nil, err
	}
	var own []string
	for _, name := range names {
		if strings.HasPrefix(path.Base(name), "_") {
			if shared, err = shared.ParseFS(files, name); err != nil {
				return nil, fmt.Errorf("portal: %w", err)
			}
			continue
		}
		own = append(own, name)
	}
	set := map[string]*template.Template{}
	for _, name := range own {
		page, err := shared.Clone()
		if err == nil {
			page, err = page.ParseFS(files, name)
		}
		if err != nil {
			return nil, fmt.Errorf("portal: %w", err)
		}
		set[strings.TrimSuffix(path.Base(name), ".tmpl")] = page
	}
	return set, nil
}

func functions(say *words.Speaker) template.FuncMap {
	return template.FuncMap{
		"t":       say.Say,
		"asset":   assetPath,
		"refusal": say.Refusal,
		"instant": func(t any) (string, error) {
			at, err := moment(t)
			return say.Instant(at), err
		},
		"iso": func(t any) (string, error) {
			at, err := moment(t)
			return at.UTC().Format(time.RFC3339), err
		},
		"duration": func(d any) (string, error) {
			switch d := d.(type) {
			case time.Duration:
				return say.Duration(d), nil
			case *durationpb.Duration:
				return say.Duration(d.AsDuration()), nil
			}
			return "", fmt.Errorf("%T is not a duration", d)
		},
	}
}

func moment(t any) (time.Time, error) {
	switch t := t.(type) {
	case time.Time:
		return t, nil
	case *timestamppb.Timestamp:
		if t == nil {
			return time.Time{}, nil
		}
		return t.AsTime(), nil
	}
	return time.Time{}, fmt.Errorf("%T is not a time", t)
}

// Page is the data of the layout.
type Page struct {
	Visit *Visit
	Title string
	// Nav is empty for visitors who are not signed in.
	Nav []NavItem
	// Live is the URL of the page's live updates; empty if it has none.
	Live string
	// Script is an asset that the page runs; empty if it has none.
	Script string
	// Refresh is the URL that the browser is sent to at once; empty if it stays.
	Refresh string
	// Data is the page's own data.
	Data any
}

// Languages lists the languages offered at the foot of every page.
func (p Page) Languages() []string { return tenant.Languages }

// Kept returns the URL's query without the language, for links to the same page in another language.
func (p Page) Kept() url.Values {
	query := p.Visit.R.URL.Query()
	query.Del("lang")
	query.Del("after")
	query.Del("reason") // what somebody types is in no address
	return query
}

// Render writes a page. It sends nothing before the whole page has been rendered.
func (v *Visit) Render(pages *Pages, name string, status int, p Page) error {
	page, known := pages.byLanguage[v.Say.Language][name]
	if !known {
		return fmt.Errorf("portal: no page %q", name)
	}
	p.Visit = v
	if v.Session != nil && p.Nav == nil {
		var err error
		if p.Nav, err = v.nav(); err != nil {
			return err
		}
	}
	var out bytes.Buffer
	if err := page.ExecuteTemplate(&out, "layout", p); err != nil {
		return fmt.Errorf("portal: %w", err)
	}
	v.W.Header().Set("Content-Type", "text/html; charset=utf-8")
	v.W.Header().Set("Content-Language", v.Say.Language)
	v.W.WriteHeader(status)
	if v.R.Method != http.MethodHead {
		_, _ = v.W.Write(out.Bytes()) // the client has disconnected
	}
	return nil
}
