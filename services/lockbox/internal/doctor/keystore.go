package doctor

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/config"
	"github.com/openlockbox/lockbox/pkg/erasure"
	"github.com/openlockbox/lockbox/pkg/keystore"
	orchestrator "github.com/openlockbox/lockbox/services/lockbox-orchestrator"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
	"go.uber.org/zap"
)

// mostErasing is how long an erasure that was decided may wait to be carried out.
const mostErasing = time.Minute

// keyStore looks whether all have the secret of the key store, whether it is the store's, and whether what was erased
// is gone.
func (e *exam) keyStore(ctx context.Context) (found []render.Finding) {
	secret, found := e.oneSecret()
	if secret == nil {
		return or(found, skipped("no secret of it was found: without one nothing is encrypted, and nothing can be erased"))
	}
	nc, err := e.conns.reader()
	if err != nil {
		return append(found, blind(err)...)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	store, err := keystore.New(ctx, nc, *secret, zap.NewNop())
	if err == nil {
		err = store.Check(ctx)
	}
	if errors.Is(err, keystore.ErrOtherSecret) {
		return append(found, failed("find the secret that the services have used so far, in a copy or on another machine, "+
			"and give it to all: without it all names, addresses and texts are lost", "%v", err))
	}
	if err != nil {
		return append(found, unknown("see what the bus and its log say; if there is no stream KEYS, `lockbox provision` "+
			"makes it, and `lockbox keystore restore` fills it", "%v", err))
	}
	gone, err := e.erased(ctx, store)
	if err != nil {
		return append(found, blind(err)...)
	}
	return or(append(found, gone...), well("its secret opens it, and nothing that was erased is left in it"))
}

// oneSecret reads the secret that all named files hold; nil if there is none that can be read.
func (e *exam) oneSecret() (secret *keystore.Secret, found []render.Finding) {
	const cure = "give all services the same erasable.key, the one that the key store was begun with"
	paths := inKeys(e.Keys, keystore.SecretFile)
	for _, s := range e.Services {
		if s.KeySecret != "" {
			paths = append(paths, s.KeySecret)
		}
	}
	first := ""
	for _, path := range paths {
		if !exists(filepath.Dir(path)) {
			continue // on another machine, as secrets says
		}
		this, err := keystore.ReadSecret(config.SecretFile(path))
		switch {
		case err != nil:
			found = append(found, failed(cure, "%v", err))
		case secret == nil:
			secret, first = &this, path
		case this != *secret:
			found = append(found, failed(cure, "%s and %s hold different secrets", first, path))
		}
	}
	var without []string
	for _, s := range e.Services {
		if s.Err == nil && s.KeySecret == "" && s.ReadsEvents {
			without = append(without, s.Name)
		}
	}
	if len(paths) > 0 && len(without) > 0 {
		found = append(found, failed("set erasure.secret_file there too: what is encrypted they do not read",
			"%s: no secret of the key store is configured, and others have one", strings.Join(without, ", ")))
	}
	return secret, found
}

// erased looks whether erasures were carried out, and are still.
func (e *exam) erased(ctx context.Context, store *keystore.Store) (found []render.Finding, err error) {
	j, err := e.journal(ctx)
	if err != nil {
		return nil, err
	}
	defer j.Close()
	const cure = "see the log of lockbox-orchestrator, which destroys them, and again what is there again when it starts"
	gone, err := orchestrator.Erased(ctx, j, func(s erasure.State) bool {
		if s.Status == erasure.Decided && e.Now().Sub(s.DecidedAt) > mostErasing {
			found = append(found, failed(cure, "the erasure %s of %s was decided %s ago, and its keys are not destroyed yet",
				s.ID, s.Tenant, span(e.Now().Sub(s.DecidedAt))))
		}
		return s.Status == erasure.Destroyed
	})
	if err != nil {
		return nil, err
	}
	left, err := store.Left(ctx, gone)
	if err == nil && len(left) > 0 {
		found = append(found, failed("restart lockbox-orchestrator: "+cure,
			"there again, as after a restored backup: %s of what was erased", count(len(left), "key")))
	}
	return found, err
}
