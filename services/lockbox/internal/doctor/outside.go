package doctor

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/openlockbox/lockbox/pkg/build"
	"github.com/openlockbox/lockbox/pkg/identity"
	"github.com/openlockbox/lockbox/pkg/identity/jwks"
	"github.com/openlockbox/lockbox/pkg/service"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
	"github.com/openlockbox/lockbox/services/notifier"
)

// provided returns the issuers that services are configured with, each once.
func (e *exam) provided() (list []service.Issuer) {
	for _, s := range e.Services {
		for _, iss := range s.Issuers {
			if !slices.ContainsFunc(list, func(o service.Issuer) bool {
				return o.URL == iss.URL && o.JWKSFile == iss.JWKSFile && o.JWKSURL == iss.JWKSURL
			}) {
				list = append(list, iss)
			}
		}
	}
	return list
}

func (e *exam) issuers(ctx context.Context) (found []render.Finding) {
	for _, iss := range e.provided() {
		found = append(found, issuer(ctx, iss)...)
	}
	return or(found, skipped("no issuer is configured in a file of --config"))
}

func issuer(ctx context.Context, iss service.Issuer) []render.Finding {
	if iss.JWKSFile != "" && !exists(filepath.Dir(iss.JWKSFile)) {
		return one(skipped("the keys of %s are in a file that is not on this machine: %s", iss.URL, iss.JWKSFile))
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	set, err := iss.Fetch(ctx)
	const cure = "see that the issuer runs and is reached from here: nobody who signs in there is recognised without its keys"
	switch {
	case err != nil && iss.JWKSFile != "":
		return one(failed("put the issuer's key set there", "the keys of %s: %v", iss.URL, err))
	case err != nil:
		return one(failed(cure, "%v", jwks.Certificate(err)))
	case set == nil || set.Usable() != nil:
		return one(failed("have the issuer publish a key that can be used", "none of the keys of %s can be used", iss.URL))
	}
	return passedOver(iss.URL, set)
}

func passedOver(url string, set *identity.KeySet) (found []render.Finding) {
	for _, k := range set.PassedOver() {
		found = append(found, mind("the issuer's operator can correct it; it harms no other key",
			"a key of %s cannot be used and is passed over: %s", url, k))
	}
	return or(found, well("%s has %s that can be used", url, count(set.Len(), "key")))
}

// keptKeys looks how long services could go on without an issuer.
func (e *exam) keptKeys(context.Context) (found []render.Finding) {
	for _, iss := range e.provided() {
		info, err := os.Stat(iss.JWKSCache)
		if iss.JWKSCache == "" || err != nil {
			continue
		}
		most := iss.JWKSMaxAge
		if most == 0 {
			most = jwks.DefaultMaxAge
		}
		age := e.Now().Sub(info.ModTime())
		switch left := most - age; {
		case left <= 0:
			found = append(found, failed("see why they cannot be fetched, in the services' logs",
				"%s: the keys of %s are %s old and count no longer", iss.JWKSCache, iss.URL, span(age)))
		case left < most/4:
			found = append(found, mind("see why they cannot be fetched, in the services' logs",
				"%s: the keys of %s are %s old and count for %s yet", iss.JWKSCache, iss.URL, span(age), span(left)))
		default:
			found = append(found, well("the keys of %s count for %s without it", iss.URL, span(left)))
		}
	}
	return or(found, skipped("no keys of issuers are kept on this machine"))
}

// mail connects as for a mail, and sends none.
func (e *exam) mail(ctx context.Context) (found []render.Finding) {
	for _, s := range e.Services {
		if s.Mail == nil {
			continue
		}
		server := s.Mail.SMTP.Host
		switch err := notifier.Reach(ctx, s.Mail.SMTP); {
		case err != nil && ctx.Err() == nil:
			found = append(found, failed("correct smtp in "+s.File+", or see to the mail server: until then no mail goes out",
				"%s takes no mail: %v", server, err))
		case err != nil:
			found = append(found, unknown("", "%s: %v", server, err))
		case s.Mail.SMTP.Development:
			found = append(found, mind("for real mails, remove smtp.development from "+s.File,
				"%s takes mails, and they cross the network unencrypted", server))
		case s.Mail.SMTP.Username != "":
			found = append(found, well("%s takes mails of %s", server, s.Mail.SMTP.Username))
		default:
			found = append(found, well("%s takes mails", server))
		}
	}
	if e.Running != nil && e.Running.MailboxDir != "" {
		found = append(found, skipped("mails go to the development mailbox, to nobody else"))
	}
	return or(found, skipped("no file of the notifier was named with --config"))
}

// services asks those whose addresses are named whether they are ready.
func (e *exam) services(ctx context.Context) (found []render.Finding) {
	for _, at := range e.Health {
		status, text, err := fetch(ctx, at, "/readyz")
		if err != nil {
			found = append(found, failed("see whether the service runs, and observe.listen in its file", "%s: %v", at, err))
			continue
		}
		before := len(found)
		for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
			switch kind, said, _ := strings.Cut(line, " "); kind {
			case "failing":
				found = append(found, failed("see to it; the service's log says more", "%s: %s", at, strings.TrimSpace(said)))
			case "warning":
				found = append(found, mind("see to it; the service's log says more", "%s: %s", at, strings.TrimSpace(said)))
			}
		}
		if status != http.StatusOK && len(found) == before {
			found = append(found, failed("see the service's log", "%s is not ready: %s", at, http.StatusText(status)))
		}
	}
	return or(found, e.asked("%s ready"))
}

// asked is what is found where all services that were asked are well.
func (e *exam) asked(says string) render.Finding {
	if len(e.Health) == 0 {
		return skipped("no service's address was named with --health")
	}
	return well(says, count(len(e.Health), "service"))
}

const mostAnswer = 4 << 20 // bytes

func fetch(ctx context.Context, at, path string) (status int, text string, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if !strings.Contains(at, "://") {
		at = "http://" + at
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(at, "/")+path, nil)
	if err != nil {
		return 0, "", err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer shut(answer.Body)
	data, err := io.ReadAll(io.LimitReader(answer.Body, mostAnswer))
	return answer.StatusCode, string(data), err
}

var (
	built = regexp.MustCompile(`^lockbox_build_info\{(.*)\} 1$`)
	// whose is the label that is no part of the version.
	whose = regexp.MustCompile(`,?service="[^"]*"`)
)

// versions compares what services were built from with one another and with this program.
func (e *exam) versions(ctx context.Context) (found []render.Finding) {
	at := map[string][]string{}
	for _, address := range e.Health {
		_, text, err := fetch(ctx, address, "/metrics")
		if err != nil {
			found = append(found, unknown("see whether the service runs", "%s: %v", address, err))
			continue
		}
		says := ""
		for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan() && says == ""; {
			if m := built.FindStringSubmatch(lines.Text()); m != nil {
				says = whose.ReplaceAllString(m[1], "")
			}
		}
		if says == "" {
			found = append(found, unknown("upgrade it: services of this version say theirs",
				"%s does not say which version it is", address))
			continue
		}
		at[says] = append(at[says], address)
	}
	own := build.Version().Labels()
	if len(at) > 0 {
		at[own] = append(at[own], "this program")
	}
	if len(at) > 1 {
		for _, version := range slices.Sorted(maps.Keys(at)) {
			found = append(found, mind("bring all of them to one version",
				"%s: %s", strings.Join(at[version], ", "), fmt.Sprintf("version {%s}", version)))
		}
	}
	return or(found, e.asked("%s of this program's version"))
}
