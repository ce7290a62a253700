package cli

import (
	"net/mail"
	"slices"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
	"github.com/openlockbox/lockbox/services/notifier/mailbox"
	"github.com/spf13/cobra"
)

func (a *app) mailCommand() *cobra.Command {
	return group("mail", "Read the development mailbox", `Without a mail server in its configuration, lockbox up keeps every mail in a mailbox on this machine instead of sending it. Its
page is in the output of lockbox up.`, "", a.mailListCommand(), a.mailShowCommand())
}

// letter is a mail, for JSON and YAML output.
type letter struct {
	ID         string    `json:"id"`
	Received   time.Time `json:"received"`
	From       string    `json:"from"`
	To         []string  `json:"to"`
	Recipients []string  `json:"recipients"`
	Subject    string    `json:"subject"`
	MessageID  string    `json:"message_id"`
	Text       string    `json:"text"`
	HTML       string    `json:"html"`
	Path       string    `json:"path"`
}

// mails reads the mailbox of the Lockbox on this machine, newest first, optionally limited to one recipient.
func (a *app) mails(c *cobra.Command, dir, to string) ([]letter, error) {
	if dir == "" {
		info, err := a.running()
		if err != nil {
			return nil, err
		}
		if dir = info.MailboxDir; dir == "" {
			return nil, usage(c, "this Lockbox has no mailbox on this machine; --dir names one")
		}
	}
	messages, err := mailbox.Read(dir)
	if err != nil {
		return nil, err
	}
	letters := []letter{}
	for _, m := range messages {
		got := func(address string) bool { return strings.Contains(strings.ToLower(address), strings.ToLower(to)) }
		if slices.ContainsFunc(m.Recipients, got) || slices.ContainsFunc(m.To, got) {
			letters = append(letters, letter{
				ID: m.ID, Received: m.Received.UTC(), From: m.From, To: append([]string{}, m.To...),
				Recipients: append([]string{}, m.Recipients...), Subject: m.Subject,
				MessageID: m.MessageID, Text: m.Text, HTML: m.HTML, Path: m.Path,
			})
		}
	}
	slices.Reverse(letters)
	return letters, nil
}

func (a *app) mailListCommand() *cobra.Command {
	var dir, to string
	c := &cobra.Command{
		Use: "list", Short: "List mails, the newest first", Args: exactly(), ValidArgsFunction: nothing,
		Example: "  lockbox mail list --to otto --watch",
	}
	mailFlags(c, &dir, &to)
	watch := watchable(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		return a.list(c.Context(), *watch, func() (page, error) {
			letters, err := a.mails(c, dir, to)
			return page{
				func() (string, error) {
					return render.ValueJSON(struct {
						Mails []letter `json:"mails"`
					}{letters})
				},
				func(l render.Look) string { return mailTable(l, letters) },
			}, err
		})
	}
	return c
}

func mailFlags(c *cobra.Command, dir, to *string) {
	c.Flags().StringVar(dir, "dir", "", "`directory` of the mailbox; none: that of the Lockbox that runs here")
	c.Flags().StringVar(to, "to", "", "only to `addresses` that contain this")
}

func mailTable(l render.Look, letters []letter) string {
	if len(letters) == 0 {
		return "No mails.\n"
	}
	rows := make([]render.Mail, len(letters))
	for i, m := range letters {
		rows[i] = render.Mail{ID: m.ID, Received: m.Received, To: plainAddresses(m.To), Subject: m.Subject}
	}
	return render.Mails(l, rows)
}

// plainAddresses strips display names: a list only needs the addresses.
func plainAddresses(to []string) string {
	short := make([]string, len(to))
	for i, t := range to {
		short[i] = t
		if a, err := mail.ParseAddress(t); err == nil {
			short[i] = a.Address
		}
	}
	return strings.Join(short, ", ")
}

func (a *app) mailShowCommand() *cobra.Command {
	var dir, to string
	c := &cobra.Command{
		Use: "show [MAIL]", Short: "Show a mail's text; without an id, the newest", Args: atMost("MAIL"),
		Example: "  lockbox mail show --to otto",
		ValidArgsFunction: firstArgument(func(c *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
			letters, err := a.mails(c, dir, to)
			if err != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			var ids []string
			for _, m := range letters {
				ids = append(ids, cobra.CompletionWithDesc(m.ID, render.Clean(m.Subject)))
			}
			return ids, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
		}),
	}
	mailFlags(c, &dir, &to)
	c.RunE = func(c *cobra.Command, args []string) error {
		letters, err := a.mails(c, dir, to)
		if err != nil {
			return err
		}
		i := 0
		if len(args) > 0 {
			i = slices.IndexFunc(letters, func(m letter) bool { return m.ID == args[0] })
		}
		if i < 0 || i >= len(letters) {
			return refusal.NotFound("mail", "R24", "there is no such mail")
		}
		m := letters[i]
		return a.write(page{
			func() (string, error) { return render.ValueJSON(m) },
			func(l render.Look) string {
				return render.Fields(l, [][2]string{
					{"From", m.From}, {"To", strings.Join(m.To, ", ")}, {"Subject", m.Subject},
					{"Received", render.Stamp(l, m.Received)}, {"Message-ID", m.MessageID},
				}) + "\n" + render.Paragraphs(l, m.Text)
			},
		})
	}
	return c
}
