package mail

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Files is the transport of "file:DIR". It writes each mail to a file, for Mailbox and for tests.
type Files struct {
	Dir string
}

func openFiles(dir string) (*Files, error) {
	// file:///srv/mail means file:/srv/mail.
	if path, ok := strings.CutPrefix(dir, "//"); ok {
		if !strings.HasPrefix(path, "/") {
			return nil, mailURLError("names a host: write file:DIR or file:/absolute/DIR")
		}
		dir = path
	}
	switch {
	case dir == "":
		return nil, mailURLError("names no directory: write file:DIR")
	case strings.ContainsAny(dir, "?#\x00"):
		return nil, mailURLError("takes no parameters with file:")
	}
	return &Files{Dir: filepath.Clean(dir)}, nil
}

// Send writes the mail. When it returns nil, the file is complete and survives a power failure. Before that, no file of that name appears.
// Another attempt at the same mail replaces the file.
func (f *Files) Send(ctx context.Context, env Envelope) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := f.write(env); err != nil {
		return &RelayError{Err: err} // a full disk or a missing permission concerns every mail
	}
	return nil
}

func (f *Files) write(env Envelope) (err error) {
	// The mails contain links and passwords: only the service's user may read them.
	if err := os.MkdirAll(f.Dir, 0o700); err != nil {
		return fmt.Errorf("create the mail directory: %w", err)
	}
	temp, err := os.CreateTemp(f.Dir, ".*.tmp") // with mode 0600
	if err != nil {
		return fmt.Errorf("create the mail file: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(temp.Name()))
		}
	}()
	_, err = temp.Write(env.Data)
	if err == nil {
		err = temp.Sync()
	}
	if err = errors.Join(err, temp.Close()); err != nil {
		return fmt.Errorf("write the mail file: %w", err)
	}
	if err := env.commit(); err != nil {
		return err
	}
	if err := os.Rename(temp.Name(), filepath.Join(f.Dir, fileName(env)+fileExtension)); err != nil {
		return fmt.Errorf("rename the mail file: %w", err)
	}
	return syncDirectory(f.Dir)
}

const (
	fileExtension = ".eml"
	fileTime      = "20060102T150405.000000Z" // sorts by time
)

// fileName returns the name of a mail's file without its extension, which is the mail's ID in Mailbox. Names sort by the time at which the
// mails were enqueued.
func fileName(env Envelope) string {
	return env.CreatedAt.UTC().Format(fileTime) + "-" + env.ID.String()
}

// syncDirectory makes a rename durable.
func syncDirectory(path string) error {
	dir, err := os.Open(path) //nolint:gosec // a setting
	if err != nil {
		return fmt.Errorf("open the mail directory: %w", err)
	}
	if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
		return fmt.Errorf("sync the mail directory: %w", err)
	}
	return nil
}
