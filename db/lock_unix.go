//go:build unix

package db

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// hasHardLinks reports whether a file has more than one name.
func hasHardLinks(info os.FileInfo) bool {
	status, ok := info.Sys().(*syscall.Stat_t)
	return ok && status.Nlink > 1
}

// lockFile locks a file until it is closed. If another process holds the lock, it returns errLocked.
func lockFile(file *os.File) error {
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EWOULDBLOCK):
			return errLocked
		default:
			return err
		}
	}
}
