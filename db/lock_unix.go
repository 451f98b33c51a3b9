//go:build unix

package db

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// hasMoreNames reports whether a file has hard links.
func hasMoreNames(info os.FileInfo) bool {
	status, is := info.Sys().(*syscall.Stat_t)
	return is && status.Nlink > 1
}

// lockFile locks a file until it is closed, or fails with errLocked.
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
