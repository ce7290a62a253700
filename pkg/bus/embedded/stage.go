package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/durable"
	"go.uber.org/zap"
)

// A server that has one copy of a stream stages each atomic batch in a file store of its own, syncs that, and only then
// stores the batch in the stream and syncs it again. NATS does so to finish a batch of which only a part is in the
// stream when it starts. It has no setting for where, so with ServerOptions.StageIn the directory is a link to one in
// memory. After the end of the process, everything is as it is without; after a loss of power, the part stays a part.

const (
	// stageName begins the name of a server's directory in StageIn.
	stageName = "lockbox-batches-"
	// stageSize is how large the file system of StageIn has to be. A connection stages one batch of 1 MiB at a time, and
	// its headers; eight services have one, or two while a copy of each runs.
	stageSize = 32 << 20
	// stageRoom is how much of it has to be free; otherwise batches are staged on disk.
	stageRoom = stageSize / 2
)

// checkStage refuses a directory in which batches cannot be staged.
func checkStage(dir string) error {
	space, err := durable.SpaceIn(dir)
	switch {
	case err != nil:
	case !filepath.IsAbs(dir):
		err = errors.New("it is no absolute path")
	case !space.InMemory:
		err = errors.New("it is not in memory (tmpfs), where alone that is faster")
	case space.Total < stageSize || space.Free < stageRoom:
		err = fmt.Errorf("it is too small: of %d MB, %d are free; it has to have %d, and %d of them free", space.Total>>20,
			space.Free>>20, stageSize>>20, stageRoom>>20)
	default:
		var made string
		if made, err = os.MkdirTemp(dir, stageName); err == nil {
			err = os.Remove(made)
		}
	}
	if err != nil {
		return &bus.StageError{Dir: dir, Err: err}
	}
	return nil
}

// carriedOver returns the directories in memory in which a server of before has staged, for the one that starts to
// finish from. A link to what is not ours alone is removed: the server would store what somebody else put there.
func carriedOver(storeDir string) (dirs []string, err error) {
	for _, link := range bus.BatchDirs(storeDir) {
		target, err := os.Readlink(link)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.EINVAL) {
			continue // it is none
		}
		if err == nil && ours(filepath.Dir(target)) && ours(target) {
			dirs = append(dirs, filepath.Dir(target))
		} else if err = errors.Join(err, os.Remove(link)); err != nil {
			return nil, fmt.Errorf("embedded: %w", err)
		}
	}
	return dirs, nil
}

// ours reports whether a directory is there that nobody else can have made or can write to.
func ours(dir string) bool {
	info, err := os.Lstat(dir)
	if err != nil || !info.IsDir() || info.Mode().Perm() != 0o700 {
		return false
	}
	owner, is := info.Sys().(*syscall.Stat_t)
	return is && int(owner.Uid) == os.Geteuid()
}

// discard removes directories of carriedOver.
func discard(dirs []string) (err error) {
	for _, dir := range dirs {
		if strings.HasPrefix(filepath.Base(dir), stageName) {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}
	return err
}

// restage has the server stage in memory while there is room, and on disk otherwise. A stream that is new, or whose
// batch is on its way, follows when restage is called again. The lock is held.
func (s *Server) restage() {
	if s.options.StageIn == "" {
		return
	}
	err := s.stageInMemory()
	if err != nil {
		err = errors.Join(err, s.stageOnDisk())
	}
	problem := ""
	if err != nil {
		problem = err.Error()
	}
	if problem == s.unstaged {
		return
	}
	if s.unstaged = problem; err != nil {
		s.log.Errorw("ALARM: batches are not staged in memory, so that they take longer", zap.Error(err))
		return
	}
	s.log.Warn("batches are staged in memory again")
}

func (s *Server) stageInMemory() error {
	if err := checkStage(s.options.StageIn); err != nil {
		return err
	}
	if !ours(s.stage) { // or somebody has removed it
		var err error
		if s.stage, err = os.MkdirTemp(s.options.StageIn, stageName); err != nil {
			return err
		}
	}
	for _, link := range bus.BatchDirs(s.options.StoreDir) {
		target := filepath.Join(s.stage, filepath.Base(filepath.Dir(link)))
		now, err := os.Readlink(link)
		if err == nil && now == target && ours(target) {
			continue
		}
		if _, err := os.Stat(filepath.Dir(link)); err != nil {
			continue // there is no such stream yet
		}
		if err := os.Remove(link); err != nil && !errors.Is(err, fs.ErrNotExist) {
			continue // a batch lies there
		}
		if err := os.Mkdir(target, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if err := os.Symlink(target, link); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

// stageOnDisk removes the links, and with them the way to what is not finished: that is refused, and comes again.
func (s *Server) stageOnDisk() (err error) {
	for _, link := range bus.BatchDirs(s.options.StoreDir) {
		if _, none := os.Readlink(link); none == nil {
			err = errors.Join(err, os.Remove(link))
		}
	}
	return err
}

// unstage removes this server's directory from memory when it has stopped, unless a batch is left there to finish.
func (s *Server) unstage() {
	if s.stage == "" {
		return
	}
	for _, link := range bus.BatchDirs(s.options.StoreDir) {
		_ = os.Remove(filepath.Join(s.stage, filepath.Base(filepath.Dir(link)))) // unless it holds something
	}
	_ = os.Remove(s.stage)
}
