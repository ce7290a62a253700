package keystore

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/erasable"
)

// BackupAge is how long a backup of a key store is kept: what was erased since it was made can be read with it for as
// long.
const BackupAge = 30 * 24 * time.Hour

const (
	backupFormat = "lockbox-keystore-backup/v1"
	backupEnd    = "end "
)

// Backup is a copy of a key store's pages, encrypted as they are stored.
type Backup struct {
	At    time.Time
	pages []storedPage
}

type storedPage struct {
	subject string
	data    []byte
}

// Pages is how many there are.
func (b *Backup) Pages() int { return len(b.pages) }

// TakeBackup reads all pages behind a connection, which needs no more than the right to read them.
func TakeBackup(ctx context.Context, nc *nats.Conn, now time.Time) (*Backup, error) {
	js, err := bus.JetStream(nc)
	if err != nil {
		return nil, fmt.Errorf("keystore: %w", err)
	}
	b, reader, seen := &Backup{At: now.UTC().Truncate(time.Second)}, &Store{js: js}, map[erasable.PageID]bool{}
	for from := uint64(1); ; {
		m, err := reader.next(ctx, from, ">")
		if m == nil || err != nil {
			return b, err
		}
		from = m.Sequence + 1
		if p, err := pageAt(m.Subject); err == nil && !seen[p.id] { // of a page, the first counts
			seen[p.id] = true
			b.pages = append(b.pages, storedPage{m.Subject, m.Data})
		}
	}
}

// Bytes returns the backup as its file has it.
func (b *Backup) Bytes() []byte {
	var file bytes.Buffer
	fmt.Fprintf(&file, "%s\n%s\n", backupFormat, b.At.Format(time.RFC3339))
	for _, p := range b.pages {
		fmt.Fprintf(&file, "%s %s\n", p.subject, base64.StdEncoding.EncodeToString(p.data))
	}
	sum := sha256.Sum256(file.Bytes())
	fmt.Fprintf(&file, "%s%s\n", backupEnd, hex.EncodeToString(sum[:]))
	return file.Bytes()
}

// ParseBackup is the inverse of Bytes. A file that is not whole is an error.
func ParseBackup(file []byte) (*Backup, error) {
	damaged := func(why string) (*Backup, error) {
		return nil, fmt.Errorf("it is no whole backup of a key store: %s", why)
	}
	body, end := file, ""
	if at := bytes.LastIndex(file, []byte("\n"+backupEnd)); at >= 0 {
		body, end = file[:at+1], string(file[at+1:])
	}
	sum := sha256.Sum256(body)
	if end != backupEnd+hex.EncodeToString(sum[:])+"\n" {
		return damaged("the sum at its end is not that of what is before")
	}
	lines := bufio.NewReader(bytes.NewReader(body))
	line := func() (string, error) {
		text, err := lines.ReadString('\n')
		return strings.TrimSuffix(text, "\n"), err
	}
	if first, err := line(); err != nil || first != backupFormat {
		return damaged("it does not begin with " + backupFormat)
	}
	made, err := line()
	b := new(Backup)
	if err == nil {
		b.At, err = time.Parse(time.RFC3339, made)
	}
	if err != nil {
		return damaged("it does not say when it was made")
	}
	for {
		text, err := line()
		if errors.Is(err, io.EOF) && text == "" {
			return b, nil
		}
		subject, coded, _ := strings.Cut(text, " ")
		data, bad := base64.StdEncoding.DecodeString(coded)
		if _, wrong := pageAt(subject); err != nil || bad != nil || wrong != nil {
			return damaged("a line is no page")
		}
		b.pages = append(b.pages, storedPage{subject, data})
	}
}

// Restore stores the pages of a backup that the store does not have, without the keys that are gone for good. It
// replaces none, and stores none unless the secret opens all. It returns how many it stored.
func (s *Store) Restore(ctx context.Context, b *Backup, gone []erasable.KeyID) (restored int, err error) {
	if err := s.prove(ctx, false); err != nil {
		return 0, err
	}
	destroyed := map[erasable.PageID][]uint8{}
	for _, id := range gone {
		destroyed[id.Page] = append(destroyed[id.Page], id.Place)
	}
	pages := make([]*page, 0, len(b.pages))
	for _, stored := range b.pages {
		p, err := pageAt(stored.subject)
		if err == nil {
			err = s.secret.decrypt(p, stored.data)
		}
		if err != nil {
			return 0, fmt.Errorf("page %s of the backup of %s: %w", stored.subject, b.At.Format(time.RFC3339), err)
		}
		for _, place := range destroyed[p.id] {
			if p.has(place) {
				p.places[place] = nil
			}
		}
		pages = append(pages, p)
	}
	for _, p := range pages {
		switch err := s.store(ctx, p, 0); {
		case errors.Is(err, errTaken): // the store has it, as it is now
		case err != nil:
			return restored, err
		default:
			restored++
		}
	}
	s.Forget()
	return restored, nil
}
