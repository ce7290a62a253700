package doctor

import "syscall"

// kinds are file systems by the number that Linux has for them (statfs(2)).
var kinds = map[int64]kind{
	0xEF53: {"ext4", fits}, 0x58465342: {"XFS", fits}, 0x9123683E: {"Btrfs", fits}, 0x2FC12FC1: {"ZFS", fits},
	0xF2F52010: {"F2FS", fits},
	0x6969:     {"NFS", unfit},
	0x517B:     {"SMB", unfit},
	0xFF534D42: {"SMB", unfit},
	0xFE534D42: {"SMB", unfit},
	0x01021997: {"9P, another machine's disk", unfit},
	0x00C36400: {"Ceph, another machine's disk", doubtful},
	0x65735546: {"FUSE", doubtful},
	0x794C7630: {"a container's own layers", doubtful},
	tmpfs:      {"memory (tmpfs)", unfit},
	0x858458F6: {"memory (ramfs)", unfit},
	0x5346544E: {"NTFS", unfit},
	0x7366746E: {"NTFS", unfit},
	0x61756673: {"a container's own layers", doubtful},
	0x47504653: {"GPFS, another machine's disk", doubtful},
}

const tmpfs = 0x01021994

func spaceOf(path string) (space, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(path, &s); err != nil {
		return space{}, err
	}
	size := uint64(s.Bsize) // #nosec G115 -- the size of a block is positive
	k, known := kinds[s.Type&0xFFFFFFFF]
	if !known {
		k = kind{"a file system that this program does not know", doubtful}
	}
	return space{s.Bavail * size, s.Blocks * size, k}, nil
}

const (
	unsynchronised = 0x40 // STA_UNSYNC
	clockError     = 5    // TIME_ERROR
)

// clockIsKept asks the kernel whether somebody keeps the clock. It changes nothing.
func clockIsKept() (bool, error) {
	var t syscall.Timex
	state, err := syscall.Adjtimex(&t)
	return state != clockError && t.Status&unsynchronised == 0, err
}
