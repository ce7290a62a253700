package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/bus/devca"
	"github.com/openlockbox/lockbox/pkg/keystore"
	"github.com/openlockbox/lockbox/pkg/sealed"
	"github.com/openlockbox/lockbox/pkg/writerkeys"
	"github.com/openlockbox/lockbox/services/audit-projector/logkeys"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
)

func (e *exam) configuration(context.Context) (found []render.Finding) {
	if len(e.Services) == 0 {
		return one(skipped("no file was named with --config"))
	}
	for _, s := range e.Services {
		if s.Err != nil {
			found = append(found, failed(fmt.Sprintf("correct it, then `lockbox config check %s`", s.File), "%s: %v", s.File,
				s.Err))
		}
	}
	return or(found, well("%s can be used", count(len(e.Services), "file")))
}

// webhookKeys names the files of the keys to which customers' webhooks are encrypted.
const webhookKeys = "webhooks"

// secretFiles are the files that nobody else may read: those in the directory of keys, and those that services name.
func (e *exam) secretFiles() (paths []string) {
	for _, pattern := range []string{bus.SeedFile("*"), devca.KeyFile, bus.CertificateKey, logkeys.SigningKeyFile,
		logkeys.SaltsFile, webhookKeys + sealed.KeyFile, writerkeys.DeploymentKeyFile, writerkeys.KeyFile("*"),
		keystore.SecretFile} {
		paths = append(paths, inKeys(e.Keys, pattern)...)
	}
	for _, s := range e.Services {
		paths = append(paths, s.Secrets...)
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

func (e *exam) secrets(context.Context) (found []render.Finding) {
	paths, elsewhere := e.secretFiles(), 0
	for _, path := range paths {
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist) && !exists(filepath.Dir(path)):
			elsewhere++
		case errors.Is(err, fs.ErrNotExist):
			found = append(found, failed("put it there; what `lockbox keys` or `lockbox bus init` makes, they make again with "+
				"--dir "+filepath.Dir(path), "%s is not there", path))
		case err != nil:
			found = append(found, unknown("run this as a user who may look at it", "%v", err))
		case !info.Mode().IsRegular():
			found = append(found, failed("name the file of the secret", "%s is no file", path))
		case !bus.IsOwn(info):
			found = append(found, failed("chmod 600 "+path+"; if others have a login there, replace the key too",
				"%s: others may read or write it (mode %04o)", path, info.Mode().Perm()))
		case info.Size() == 0:
			found = append(found, failed("put the secret there", "%s is empty", path))
		}
	}
	if info, err := os.Stat(e.Keys); e.Keys != "" && err == nil && info.Mode().Perm()&0o022 != 0 {
		found = append(found, failed("chmod 700 "+e.Keys, "others may put keys into %s (mode %04o)", e.Keys,
			info.Mode().Perm()))
	}
	if here := len(paths) - elsewhere; here > 0 && len(found) == 0 {
		found = append(found, well("%s that nobody else can read", count(here, "file")))
	}
	if elsewhere > 0 {
		found = append(found, skipped("%s named and not on this machine: look there too",
			count(elsewhere, "file")))
	}
	return or(found, skipped("no directory of keys and no file was named"))
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// completeness looks whether the keys in the directory are whole. One that holds the provisioner's is where they are
// made, and has all of them; any other has what was handed out.
func (e *exam) completeness(context.Context) (found []render.Finding) {
	keys := keysIn(e.Keys)
	if e.Keys == "" || len(keys) == 0 {
		if e.Before && e.Keys != "" {
			return one(failed("`lockbox bus init --dir "+e.Keys+"` makes keys, certificates and a configuration",
				"%s holds no keys", e.Keys))
		}
		return one(skipped("no directory of keys was named with --keys"))
	}
	again := "`lockbox keys --dir " + e.Keys + "` makes it"
	for _, k := range keys {
		if len(bus.Rights(k.Identity)) == 0 {
			found = append(found, mind("remove it if nothing needs it", "%s is nobody's: there is no identity of that name",
				k.File))
			continue
		}
		seed, err := bus.ReadSeed(k.Identity, k.File)
		if err != nil {
			found = append(found, failed("mend or replace the file", "%v", err))
			continue
		}
		public, err := bus.Keys{k.Identity: seed}.Public()
		if err != nil {
			found = append(found, failed("mend or replace the file", "%v", err))
			continue
		}
		path := filepath.Join(filepath.Dir(k.File), bus.PublicKeyFile(k.Identity))
		there, err := os.ReadFile(path) // #nosec G304 -- the operator names the directory
		if err == nil && strings.TrimSpace(string(there)) != public[k.Identity] {
			found = append(found, failed("remove it; "+again+" again, and then the servers need it",
				"%s is not the public half of %s", path, filepath.Base(k.File)))
		}
	}
	if e.complete() {
		wanted := []string{logkeys.SigningKeyFile, logkeys.SaltsFile, webhookKeys + sealed.KeyFile,
			webhookKeys + sealed.PublicFile, keystore.SecretFile}
		for _, id := range bus.Identities() {
			wanted = append(wanted, bus.SeedFile(id), bus.PublicKeyFile(id))
		}
		for _, name := range wanted {
			if !exists(filepath.Join(e.Keys, name)) {
				found = append(found, failed(again, "%s is not in %s", name, e.Keys))
			}
		}
	}
	return or(found, well("%s in %s", count(len(keys), "key"), e.Keys))
}

func (e *exam) complete() bool { return exists(filepath.Join(e.Keys, bus.SeedFile(bus.Provisioner))) }
