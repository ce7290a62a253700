// Package durable writes files atomically: after a crash or a power failure, either the whole file is on disk or
// nothing.
//
// Both writers do the same up to the last step: a temporary file is created beside the target (open O_CREAT|O_EXCL,
// mode 0600, its name begins with a dot), written, given its mode (fchmod), flushed (fsync) and closed. Then Replace
// calls rename; Create calls link and unlinks the temporary name. Both then flush the directory (fsync), without which
// the new name may not survive a power failure.
//
// What is not promised:
//   - An error does not say that nothing happened: when flushing the directory fails, the new file is already visible.
//   - Two files are two files. What must appear together belongs in one.
//   - A process that is killed leaves its temporary file behind. Nobody reads it, and nobody removes it.
//   - A symbolic link at the target is replaced, not followed.
//   - The directory has to exist, and to be durable itself: nothing here makes one.
//   - The file system keeps what it has flushed, and for Create it supports hard links.
package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Replace replaces the content of the file by data. Readers see either the previous content or all of data, never a
// mixture.
func Replace(path string, data []byte, mode fs.FileMode) error {
	return write(path, data, mode, os.Rename)
}

// Create creates a file that must not exist: if the name is taken, nothing changes and the error is fs.ErrExist. Of
// several concurrent callers, one succeeds. For the others, fs.ErrExist does not mean that the winner's file is already
// flushed.
func Create(path string, data []byte, mode fs.FileMode) error {
	return write(path, data, mode, os.Link)
}

func write(path string, data []byte, mode fs.FileMode, publish func(from, to string) error) error {
	dir := filepath.Dir(path)
	temp, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temp.Name()) }() // already gone after a rename
	_, err = temp.Write(data)
	if err = errors.Join(err, temp.Chmod(mode), temp.Sync(), temp.Close()); err != nil {
		return err
	}
	if err := publish(temp.Name(), path); err != nil {
		return err
	}
	return Sync(dir)
}

// Sync flushes an existing file, or the entries of a directory, to disk. It is for callers that write many files and
// flush them together. It does not flush the contents of subdirectories.
func Sync(path string) error {
	file, err := os.Open(path) // #nosec G304 -- whoever writes the file names it
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}
