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
	"sync"
	"time"

	"github.com/openlockbox/lockbox/pkg/reason"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/words"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Pages are a package's templates. They are in its templates directory, one file per page, which defines "main"; files
// that begin with an underscore hold shared parts.
type Pages struct {
	byName map[string]*page
}

// ParsePages parses a package's pages into the site's layout. In addition to html/template's functions, templates have:
//
//	t "id" "Name" value …   a message of package words
//	instant T, duration D   a time in the reader's zone and a duration, in words; T and D may be protobuf's
//	stamp T                 a time in the reader's zone to the second
//	zone                    that zone's name, for fields in which somebody types a time
//	iso T                   a time for machines (RFC 3339)
//	refusal R               why a service refused, for the template "reason"
func (s *Site) ParsePages(files fs.FS) (*Pages, error) {
	shared, err := template.New("").Funcs(functions(new(reader))).Option("missingkey=error").ParseFS(layoutFiles,
		"templates/*.tmpl")
	if err != nil {
		return nil, fmt.Errorf("portal: %w", err)
	}
	s.Files = append(s.Files, files)
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
	p := &Pages{byName: map[string]*page{}}
	for _, name := range own {
		parsed, err := shared.Clone()
		if err == nil {
			parsed, err = parsed.ParseFS(files, name)
		}
		if err != nil {
			return nil, fmt.Errorf("portal: %w", err)
		}
		p.byName[strings.TrimSuffix(path.Base(name), ".tmpl")] = &page{parsed: parsed}
	}
	return p, nil
}

// reader is whom a template's functions speak to while it is executed.
type reader struct{ *words.Speaker }

// page is one page. Its functions speak to one reader at a time, in a language and a time zone, so that each reader who
// looks at the same moment has a copy; there are as many as readers at once, whatever their languages and zones.
type page struct {
	// parsed is never executed, since it could not be copied then.
	parsed *template.Template
	mu     sync.Mutex
	free   []*copied
}

type copied struct {
	*template.Template
	reader *reader
}

func (p *page) take() (*copied, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if last := len(p.free) - 1; last >= 0 {
		c := p.free[last]
		p.free = p.free[:last]
		return c, nil
	}
	c := &copied{reader: new(reader)}
	t, err := p.parsed.Clone()
	if err != nil {
		return nil, err
	}
	c.Template = t.Funcs(functions(c.reader))
	return c, nil
}

// render executes the page for a reader.
func (p *page) render(say *words.Speaker, data any) ([]byte, error) {
	c, err := p.take()
	if err != nil {
		return nil, err
	}
	c.reader.Speaker = say
	var out bytes.Buffer
	err = c.ExecuteTemplate(&out, "layout", data)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free = append(p.free, c)
	return out.Bytes(), err
}

func functions(say *reader) template.FuncMap {
	return template.FuncMap{
		"t":     func(id string, pairs ...any) (string, error) { return say.Say(id, pairs...) },
		"asset": assetPath, "integrity": integrity,
		"refusal": func(r *lockboxv1.Refusal) reason.Text { return say.Refusal(r) },
		"stamp": func(t any) (string, error) {
			at, err := moment(t)
			return say.Stamp(at), err
		},
		"instant": func(t any) (string, error) {
			at, err := moment(t)
			return say.Instant(at), err
		},
		"zone": func() string { return say.Zone().String() },
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
	// Of says in the window's title what the page is about, where its own title does not.
	Of string
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

// After a mistake the first control that is wrong has the focus, also without scripts. What people wrote is escaped, so
// it can say no such thing.
var (
	invalid      = []byte(` aria-invalid="true"`)
	invalidFirst = append([]byte(" autofocus"), invalid...)
)

// SignPage writes the page on which any form is signed before it is sent (package signing).
func (v *Visit) SignPage(p Page) error { return v.Render(v.problems, "sign", http.StatusOK, p) }

// Render writes a page. It sends nothing before the whole page has been rendered.
func (v *Visit) Render(pages *Pages, name string, status int, p Page) error {
	page, known := pages.byName[name]
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
	out, err := page.render(v.Say, p)
	if err != nil {
		return fmt.Errorf("portal: %w", err)
	}
	if out, err = v.muted(out); err != nil {
		return err
	}
	text := bytes.NewBuffer(bytes.Replace(out, invalid, invalidFirst, 1))
	v.W.Header().Set("Content-Type", "text/html; charset=utf-8")
	v.W.Header().Set("Content-Language", v.Say.Language)
	v.W.WriteHeader(status)
	if v.R.Method != http.MethodHead {
		_, _ = text.WriteTo(v.W) // the client has disconnected
	}
	return nil
}
