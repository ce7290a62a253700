package portal

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"github.com/openlockbox/lockbox/services/portal/internal/live"
	"github.com/openlockbox/lockbox/services/portal/internal/signin"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
	"github.com/openlockbox/lockbox/services/portal/internal/words"
)

// Part is a file of which the portal's pages are made.
type Part struct {
	// Name is the file's; Path is where browsers get it as it is, empty for what pages are rendered from.
	Name, Path string
	SHA256     [sha256.Size]byte
}

// Build returns what the portal's pages are made of: scripts, styles, templates and messages, by name; and one SHA-256
// over all of them, that of the lines "<hash in hexadecimal digits>  <name>". It is the same for everybody who builds
// the same version.
func Build() (parts []Part, sum [sha256.Size]byte, err error) {
	say, err := words.Load()
	if err != nil {
		return nil, sum, err
	}
	s := &site.Site{Words: say}
	if err := s.Prepare(); err != nil {
		return nil, sum, err
	}
	if _, err := routes(s, live.NewHub()); err != nil {
		return nil, sum, err
	}
	for _, files := range slices.Concat(site.Own(), []fs.FS{words.Files(), signin.Files()}, s.Files) {
		err := fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			data, err := fs.ReadFile(files, name)
			part := Part{Name: name, SHA256: sha256.Sum256(data)}
			if path.Dir(name) == "assets" {
				part.Path = site.AssetPath(path.Base(name))
			}
			parts = append(parts, part)
			return err
		})
		if err != nil {
			return nil, sum, err
		}
	}
	slices.SortFunc(parts, func(a, b Part) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), slices.Compare(a.SHA256[:], b.SHA256[:]))
	})
	parts = slices.Compact(parts)
	all := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(all, "%x  %s\n", p.SHA256, p.Name)
	}
	return parts, [sha256.Size]byte(all.Sum(nil)), nil
}
