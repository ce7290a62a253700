package durable

import (
	"errors"
	"fmt"
	"syscall"
)

// Space is the room on a file system, in bytes. Free is what a process without privileges may use.
type Space struct {
	Free, Total uint64
	// InMemory means that it keeps nothing on a disk (tmpfs).
	InMemory bool
}

// tmpfs is the magic number of a file system in memory (statfs(2)).
const tmpfs = 0x01021994

// SpaceIn returns the room on the file system that holds a directory.
func SpaceIn(dir string) (Space, error) {
	var at syscall.Statfs_t
	if err := syscall.Statfs(dir, &at); err != nil {
		return Space{}, fmt.Errorf("the room in %s: %w", dir, err)
	}
	block := uint64(at.Bsize) //nolint:gosec // G115: a size, and never negative
	return Space{Free: at.Bavail * block, Total: at.Blocks * block, InMemory: at.Type == tmpfs}, nil
}

// Full reports whether something could not be written because the disk, or the owner's part of it, is full.
func Full(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }
