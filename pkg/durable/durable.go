// Package durable puts files on disk whole: after a crash or a power cut there is all of a file or nothing of it.
//
// Both writers do the same up to the last step: a temporary file is created beside the target (open O_CREAT|O_EXCL,
// mode 0600, its name begins with a dot), written, given its mode (fchmod), flushed (fsync) and closed. Then Replace
// calls rename, Create calls link and unlinks the temporary name; both then flush the directory (fsync), without which
// the new name may not survive a power cut.
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

// Replace makes data the content of the file. Readers see what was there before or all of data, never a mixture.
func Replace(path string, data []byte, mode fs.FileMode) error {
	return write(path, data, mode, os.Rename)
}

// Create makes a file that must not exist: if anything has that name, it stays and the error is fs.ErrExist. Of several
// that try at once, one succeeds. The others know that the name is taken, not that the winner's file is already
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
	defer func() { _ = os.Remove(temp.Name()) }() // gone already after a rename
	_, err = temp.Write(data)
	if err = errors.Join(err, temp.Chmod(mode), temp.Sync(), temp.Close()); err != nil {
		return err
	}
	if err := publish(temp.Name(), path); err != nil {
		return err
	}
	return Sync(dir)
}

// Sync flushes an existing file, or a directory's names, to disk. It is for whoever writes many files and flushes them
// together; a directory's subdirectories are not its names.
func Sync(path string) error {
	file, err := os.Open(path) // #nosec G304 -- whoever writes the file names it
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}
