package cli

import (
	"fmt"
	"io"
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

// mailDir returns the directory of the mailbox: the one named, or that of the Lockbox on this machine.
func (a *app) mailDir(c *cobra.Command, named string) (string, error) {
	if named != "" {
		return named, nil
	}
	info, err := a.running()
	if err == nil && info.MailboxDir == "" {
		err = usage(c, "this Lockbox has no mailbox on this machine; --dir names one")
	}
	return info.MailboxDir, err
}

// listed is a mailbox's newest mails, newest first.
type listed struct {
	mails []mailbox.Message
	// more counts the mails that were not looked at.
	more int
}

// reader reads one mail of a mailbox.
type reader func(dir, id string) (mailbox.Message, error)

// newestMails reads mails until there are as many as wanted, newest first, optionally only those to one recipient.
func newestMails(dir, to string, wanted int, read reader) (found listed, err error) {
	found.more, err = eachMail(dir, to, wanted, mailbox.Head, read, func(m mailbox.Message) error {
		found.mails = append(found.mails, m)
		return nil
	})
	return found, err
}

// eachMail gives mails to a function one by one, newest first, until there were as many as wanted, optionally only
// those to one recipient, and returns how many it did not look at. Of the others only the head is read.
func eachMail(dir, to string, wanted int, head, read reader, give func(mailbox.Message) error) (more int, err error) {
	ids, err := mailbox.IDs(dir)
	if err != nil {
		return 0, err
	}
	got := func(address string) bool { return strings.Contains(strings.ToLower(address), strings.ToLower(to)) }
	given := 0
	for i, id := range slices.Backward(ids) {
		if given == wanted {
			return i + 1, nil
		}
		if to != "" {
			m, err := head(dir, id)
			if err != nil {
				return 0, err
			}
			if !slices.ContainsFunc(m.Recipients, got) && !slices.ContainsFunc(m.To, got) {
				continue
			}
		}
		m, err := read(dir, id)
		if err == nil {
			err = give(m)
		}
		if err != nil {
			return 0, err
		}
		given++
	}
	return 0, nil
}

// streamMails writes mails as JSON, each as soon as it is read: a mailbox of thousands of mails, with their texts, is
// hundreds of megabytes.
func streamMails(to io.Writer, each func(give func(mailbox.Message) error) error) error {
	list := render.NewList(to, "mails")
	if err := each(func(m mailbox.Message) error { return list.Add(letterOf(m)) }); err != nil {
		return err
	}
	return list.Close()
}

func letterOf(m mailbox.Message) letter {
	return letter{
		ID: m.ID, Received: m.Received.UTC(), From: m.From, To: append([]string{}, m.To...),
		Recipients: append([]string{}, m.Recipients...), Subject: m.Subject,
		MessageID: m.MessageID, Text: m.Text, HTML: m.HTML, Path: m.Path,
	}
}

// mailPage is the number of mails that a person is shown if they do not say how many.
const mailPage = 50

func (a *app) mailListCommand() *cobra.Command {
	var dir, to string
	var limit uint32
	var all bool
	c := &cobra.Command{
		Use: "list", Short: "List mails, the newest first", Args: exactly(), ValidArgsFunction: nothing,
		Example: "  lockbox mail list --to otto --watch\n  lockbox mail list --all",
	}
	mailFlags(c, &dir, &to)
	c.Flags().Uint32Var(&limit, "limit", 0, "at most this `many` (50 in a table, else all)")
	c.Flags().BoolVar(&all, "all", false, "all of them")
	c.MarkFlagsMutuallyExclusive("limit", "all")
	watch := watchable(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		dir, err := a.mailDir(c, dir)
		if err != nil {
			return err
		}
		wanted, read := everything, mailbox.Get
		switch {
		case limit > 0:
			wanted = int(limit)
		case a.output == formatTable && !all:
			wanted = mailPage
		}
		if a.output == formatTable && !*watch { // a watch compares whole mails
			read = mailbox.Head
		}
		if a.output == formatJSON && !*watch {
			return streamMails(a.Out, func(give func(mailbox.Message) error) error {
				_, err := eachMail(dir, to, wanted, mailbox.Head, mailbox.Get, give)
				return err
			})
		}
		return a.list(c.Context(), *watch, func() (page, error) {
			found, err := newestMails(dir, to, wanted, read)
			return page{
				func() (string, error) {
					letters := []letter{}
					for _, m := range found.mails {
						letters = append(letters, letterOf(m))
					}
					return render.ValueJSON(struct {
						Mails []letter `json:"mails"`
					}{letters})
				},
				func(l render.Look) string { return mailTable(l, found, to) },
			}, err
		})
	}
	return c
}

func mailFlags(c *cobra.Command, dir, to *string) {
	c.Flags().StringVar(dir, "dir", "", "`directory` of the mailbox; none: that of the Lockbox that runs here")
	c.Flags().StringVar(to, "to", "", "only to `addresses` that contain this")
}

func mailTable(l render.Look, found listed, to string) string {
	if len(found.mails) == 0 {
		return "No mails.\n"
	}
	rows := make([]render.Mail, len(found.mails))
	for i, m := range found.mails {
		rows[i] = render.Mail{ID: m.ID, Received: m.Received, To: plainAddresses(m.To), Subject: m.Subject}
	}
	text := render.Mails(l, rows)
	switch {
	case found.more == 0:
		return text
	case to != "":
		return text + "\nThere may be older ones: --all, or --limit\n"
	}
	return text + fmt.Sprintf("\nThere are %d older ones: --all, or --limit\n", found.more)
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
			var ids []string
			if dir, err := a.mailDir(c, dir); err == nil {
				found, _ := newestMails(dir, to, mailPage, mailbox.Head) // without mails there are no suggestions
				for _, m := range found.mails {
					ids = append(ids, cobra.CompletionWithDesc(m.ID, render.Clean(m.Subject)))
				}
			}
			return ids, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
		}),
	}
	mailFlags(c, &dir, &to)
	c.RunE = func(c *cobra.Command, args []string) error {
		dir, err := a.mailDir(c, dir)
		if err != nil {
			return err
		}
		found, err := oneMail(dir, to, args)
		if err != nil {
			return err
		}
		m := letterOf(found)
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

// oneMail reads the mail that an argument names, by its id or a part of it as lists show it; without one, the newest.
func oneMail(dir, to string, args []string) (mailbox.Message, error) {
	none := refusal.NotFound("mail", "R24", "there is no such mail")
	if len(args) == 0 {
		found, err := newestMails(dir, to, 1, mailbox.Get)
		if err == nil && len(found.mails) == 0 {
			err = none
		}
		if err != nil {
			return mailbox.Message{}, err
		}
		return found.mails[0], nil
	}
	ids, err := mailbox.IDs(dir)
	if err != nil {
		return mailbox.Message{}, err
	}
	fits := func(id string) bool {
		return id == args[0] || len(args[0]) >= shortest && strings.HasSuffix(id, args[0])
	}
	if i := slices.IndexFunc(ids, fits); i >= 0 && !slices.ContainsFunc(ids[i+1:], fits) {
		return mailbox.Get(dir, ids[i])
	}
	return mailbox.Message{}, none
}
