package cli

import (
	"context"
	"fmt"
	"net/url"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/identity/jwks"
	"github.com/openlockbox/lockbox/pkg/identity/oidcclient"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/demo/devissuer"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/client"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/signin"
	"github.com/openlockbox/lockbox/services/lockbox/internal/up/runinfo"
	"github.com/spf13/cobra"
)

// login is the result of a sign-in, for JSON and YAML output.
type login struct {
	Profile   string     `json:"profile"`
	File      string     `json:"file"`
	Issuer    string     `json:"issuer"`
	Subject   string     `json:"subject"`
	Name      string     `json:"name"`
	Email     string     `json:"email"`
	ExpiresAt *time.Time `json:"expires_at"`
}

func (a *app) loginCommand() *cobra.Command {
	var issuer, id, authorities string
	var device, noBrowser bool
	var maxAge time.Duration
	var port uint16
	c := &cobra.Command{
		Use: "login", Short: "Sign in with your organisation, in a browser", Args: exactly(), ValidArgsFunction: nothing,
		Long: `Opens your organisation's sign-in in a browser and waits until you come back from it (OpenID Connect, authorization code with
PKCE). On a machine without a browser, --device shows a code to type in one elsewhere. The ID token is kept in a file that only
you can read, and every command without --as and --token-file uses it until it expires. Where your organisation gives one, a
refresh token is kept with it, and renews it in silence. That is no sign-in: for what wants a fresh one you are asked.

Many organisations know only exact addresses to come back to. Register http://127.0.0.1:PORT/callback there, and name the port
with --callback-port.

In the demo, the running Lockbox says where to sign in: its provider's people without --tenant, a customer's with it. Otherwise
name your organisation's issuer, and the client id that Lockbox has there; a profile remembers both, and --ca-file. With
--profile you can be several people.

Where your organisation still knows you, it may not ask you again. --max-age 0 has it ask, for a command that was refused
because you signed in too long ago.

lockbox help sign-in says more.`,
		Example: `  lockbox login
  lockbox login --tenant meadowbank --profile otto
  lockbox login --issuer https://login.example.com --client-id lockbox
  lockbox login --max-age 0
  lockbox login --device`,
		RunE: func(c *cobra.Command, _ []string) error {
			anew := c.Flags().Changed("max-age")
			if err := allOf([]error{
				only(device && noBrowser, usage(c, "--no-browser says nothing that --device does not say already")),
				only(device && anew, usage(c, "--max-age cannot be asked for with --device: RFC 8628 has no such demand")),
				only(maxAge < 0, usage(c, "--max-age is 0 or more")),
			}); err != nil {
				return err
			}
			store, profile, err := a.profileNamed()
			if err != nil {
				return err
			}
			kept, err := store.Load(profile)
			if err != nil {
				kept = signin.Saved{} // it is replaced
			}
			at, err := a.signInAt(c, first(issuer, a.Getenv("LOCKBOX_ISSUER")), first(id, a.Getenv("LOCKBOX_CLIENT_ID")), kept)
			if err != nil {
				return err
			}
			if authorities == "" && at.Issuer == kept.Issuer {
				authorities = kept.CAFile
			}
			if anew {
				at.MaxAge = &maxAge
			}
			if at.RootCAs, err = jwks.Roots(authorities); err != nil {
				return usage(c, "--ca-file: %w", err)
			}
			if authorities != "" {
				if authorities, err = filepath.Abs(authorities); err != nil {
					return usage(c, "--ca-file: %w", err)
				}
			}
			if at.Port, err = a.callbackPort(c, port); err != nil {
				return err
			}
			var who oidcclient.Person
			if device {
				who, err = at.Device(c.Context(), a.showCode)
			} else {
				who, err = at.Browser(c.Context(), func(address string) error {
					return a.showAddress(c.Context(), address,
						!noBrowser)
				})
			}
			if err != nil {
				return err
			}
			if err := store.Save(profile, signin.Saved{Issuer: at.Issuer, ClientID: at.ID, CAFile: authorities,
				Token: who.Token, Refresh: who.Refresh}); err != nil {
				return err
			}
			a.recordSignIn(c, profile)
			return a.signedIn(store, profile, who.Token)
		},
	}
	c.Flags().StringVar(&issuer, "issuer", "",
		"`URL` of your organisation's issuer (LOCKBOX_ISSUER); in the demo it is known")
	c.Flags().StringVar(&id, "client-id", "",
		"`id` of Lockbox at that issuer (LOCKBOX_CLIENT_ID; else "+devissuer.ClientID+")")
	c.Flags().StringVar(&authorities, "ca-file", "",
		"`file` of the authorities of its certificate (PEM); none: the system's")
	c.Flags().BoolVar(&device, "device", false, "show a code to type in a browser, here or elsewhere")
	c.Flags().BoolVar(&noBrowser, "no-browser", false, "only print where to sign in")
	c.Flags().Uint16Var(&port, "callback-port", 0,
		"`port` of this machine to which the browser comes back (LOCKBOX_CALLBACK_PORT); 0: any free one")
	c.Flags().DurationVar(&maxAge, "max-age", 0, "sign in again if you last did `longer` ago than this; 0: in any case")
	complete(c, "issuer", nothing)
	complete(c, "max-age", nothing)
	complete(c, "callback-port", nothing)
	complete(c, "client-id", nothing)
	return c
}

// recordSignIn tells a running Lockbox that one of a customer's people signed in, as the portal does: it ends what the
// provider may do for customers that nobody can sign in to, and shows that a role is held by somebody who is there
// (R65, R66). If it cannot be told, the next command of theirs tells it.
func (a *app) recordSignIn(c *cobra.Command, profile string) {
	ctx, cancel := context.WithTimeout(c.Context(), recordTime)
	defer cancel()
	as := *a
	as.profile, as.as, as.tokenFile = profile, "", ""
	s, err := as.open(c)
	if err != nil {
		return
	}
	defer s.Close()
	if own := s.ownTenant(ctx); own != "" {
		_, _ = s.do(ctx, own, "", &lockboxv1.Command{Action: &lockboxv1.Command_SignIn{SignIn: &lockboxv1.SignIn{}}})
	}
}

// recordTime limits how long a sign-in waits until it is recorded.
const recordTime = 2 * time.Second

// callbackPort returns the port of the flag, or else of the environment.
func (a *app) callbackPort(c *cobra.Command, flag uint16) (uint16, error) {
	set := a.Getenv("LOCKBOX_CALLBACK_PORT")
	if flag != 0 || set == "" {
		return flag, nil
	}
	port, err := strconv.ParseUint(set, 10, 16)
	if err != nil {
		return 0, usage(c, "LOCKBOX_CALLBACK_PORT is %q, and no port", set)
	}
	return uint16(port), nil
}

func (a *app) logoutCommand() *cobra.Command {
	return &cobra.Command{
		Use: "logout", Short: "Forget your sign-in", Args: exactly(), ValidArgsFunction: nothing,
		Long: `Removes the token that lockbox login has kept. Your organisation is not told: a copy of the token would be good until it expires.`,
		Example: `  lockbox logout
  lockbox logout --profile otto`,
		RunE: func(*cobra.Command, []string) error {
			store, profile, err := a.profileNamed()
			if err != nil {
				return err
			}
			was, err := store.Remove(profile)
			if err != nil {
				return err
			}
			return a.write(page{
				json: func() (string, error) {
					return render.ValueJSON(struct {
						Profile string `json:"profile"`
						Removed bool   `json:"removed"`
					}{profile, was})
				},
				human: func(l render.Look) string {
					if !was {
						return render.Sentence(l, "Nothing to do: nobody is signed in under the profile "+profile+".")
					}
					return render.Sentence(l, "Signed out of the profile "+profile+".")
				},
			})
		},
	}
}

// signInAt returns a client for the named issuer, for that of the running demo, or for the one at which the profile
// signed in before. The tenant is taken from the flag only: LOCKBOX_TENANT is the customer that an engineer works for.
func (a *app) signInAt(c *cobra.Command, issuer, id string, kept signin.Saved) (signin.Client, error) {
	at := signin.Client{Issuer: issuer, ID: first(id, devissuer.ClientID), Now: a.Now}
	if issuer != "" {
		return at, nil
	}
	info, err := a.running()
	if inDemo := err == nil && info.Demo != nil; !inDemo && kept.Issuer != "" {
		at.Issuer, at.ID = kept.Issuer, first(id, kept.ClientID, at.ID)
		return at, nil
	}
	switch {
	case err != nil:
		return at, err
	case info.Demo == nil:
		return at, usage(c, "name your organisation's issuer with --issuer (or LOCKBOX_ISSUER)")
	case info.Demo.Dir != "":
		return at, refusal.Unavailable("issuer", "demo", "this demo's sign-in is not served; say who you are with --as")
	}
	at.Issuer, err = demoIssuer(info.Demo, a.tenant)
	return at, err
}

func demoIssuer(d *runinfo.Demo, tenant string) (string, error) {
	switch {
	case tenant == "":
		return d.IssuerURL + "/provider", nil
	case slices.Contains(devissuer.Tenants(), tenant):
		return d.IssuerURL + "/t/" + tenant, nil
	}
	return "", refusal.NotFound("tenant", "demo", "the demo's customers are %s",
		strings.Join(devissuer.Tenants(), " and "))
}

// profileNamed returns the store and the named profile, or the default one.
func (a *app) profileNamed() (signin.Store, string, error) {
	store, err := signin.DefaultStore(a.Getenv)
	if err != nil {
		return store, "", err
	}
	profile := first(a.profile, a.Getenv("LOCKBOX_PROFILE"), signin.DefaultProfile)
	return store, profile, signin.CheckProfile(profile)
}

// showAddress prints the sign-in URL on stderr; stdout is reserved for the answer.
func (a *app) showAddress(ctx context.Context, address string, open bool) error {
	text := "Sign in on this page:\n\n  " + render.Clean(address) + "\n\n"
	if open && a.Browse != nil && a.Browse(ctx, address) == nil {
		text = "Your browser opens this page; sign in there:\n\n  " + render.Clean(address) + "\n\n"
	}
	_, err := fmt.Fprint(a.Err, text+"Waiting; Ctrl-C ends.\n")
	return err
}

// showCode prints the user code and where to enter it.
func (a *app) showCode(code signin.Code) error {
	text := fmt.Sprintf("In a browser, open\n\n  %s\n\nand type the code\n\n  %s\n\n", render.Clean(code.Page),
		render.Clean(code.Text))
	if code.Complete != "" {
		text += fmt.Sprintf("or open this, and compare the code:\n\n  %s\n\n", render.Clean(code.Complete))
	}
	_, err := fmt.Fprint(a.Err, text+"Waiting; Ctrl-C ends.\n")
	return err
}

// signedIn reports who is signed in now.
func (a *app) signedIn(store signin.Store, profile, token string) error {
	c, err := client.ReadClaims(token)
	if err != nil {
		return err
	}
	v := login{Profile: profile, File: store.Path(profile), Issuer: c.Issuer, Subject: c.Subject,
		Name: first(c.Name, c.Subject), Email: c.Email}
	if !c.ExpiresAt.IsZero() {
		at := c.ExpiresAt.UTC()
		v.ExpiresAt = &at
	}
	return a.write(page{
		json: func() (string, error) { return render.ValueJSON(v) },
		human: func(l render.Look) string {
			text := "You are " + render.Clean(v.Name)
			if v.ExpiresAt != nil {
				text += "; your sign-in expires " + l.In(*v.ExpiresAt)
			}
			text += ". It is kept in " + render.Clean(v.File) + "."
			if as := first(a.Getenv("LOCKBOX_AS"), a.Getenv("LOCKBOX_TOKEN_FILE")); as != "" {
				text += " LOCKBOX_AS or LOCKBOX_TOKEN_FILE is set, though, and goes before it."
			}
			return render.Sentence(l, text)
		},
	})
}

// profiles completes the names of existing profiles.
func (a *app) profiles(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	store, err := signin.DefaultStore(a.Getenv)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return store.Profiles(), cobra.ShellCompDirectiveNoFileComp
}

// browse returns a function that opens a URL in the user's browser, the one in BROWSER or the desktop's, without
// waiting for it.
func browse(getenv func(string) string) func(context.Context, string) error {
	return func(ctx context.Context, address string) error {
		if u, err := url.Parse(address); err != nil || u.Scheme != "https" && u.Scheme != "http" {
			return fmt.Errorf("%q is not the address of a page", address)
		}
		name, args := opener(runtime.GOOS, getenv)
		path, err := exec.LookPath(name)
		if err != nil {
			return err
		}
		c := exec.CommandContext(context.WithoutCancel(ctx), path, append(args, address)...) // #nosec G204 -- what the user calls their browser
		if err := c.Start(); err != nil {
			return err
		}
		go func() { _ = c.Wait() }() // a browser's exit code means nothing
		return nil
	}
}

// opener returns the program that opens a URL; none without a desktop, where a text browser would take over this
// terminal.
func opener(system string, getenv func(string) string) (name string, args []string) {
	if chosen, _, _ := strings.Cut(getenv("BROWSER"), ":"); chosen != "" && !strings.Contains(chosen, "%") {
		return chosen, nil
	}
	switch {
	case system == "darwin":
		return "open", nil
	case system == "windows":
		return "rundll32", []string{"url.dll,FileProtocolHandler"}
	case getenv("DISPLAY") != "" || getenv("WAYLAND_DISPLAY") != "":
		return "xdg-open", nil
	}
	return "", nil
}
