package mail

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestFiles(t *testing.T) {
	t.Parallel()
	files := &Files{Dir: filepath.Join(t.TempDir(), "data", "mail")}
	for _, text := range []string{"first attempt", "second attempt"} {
		env := sampleEnvelope()
		env.Data = []byte(text)
		if err := files.Send(t.Context(), env); err != nil {
			t.Fatal(err)
		}
		entries, err := os.ReadDir(files.Dir)
		if err != nil {
			t.Fatal(err)
		}
		const name = "20260517T080910.123456Z-01932f6e-7c1a-7b3c-8d4e-5f6a7b8c9d0e.eml"
		if len(entries) != 1 || entries[0].Name() != name {
			t.Fatalf("files %v, want %s alone", entries, name)
		}
		path := filepath.Join(files.Dir, name)
		if got, err := os.ReadFile(path); string(got) != text || err != nil {
			t.Errorf("%q, %v", got, err)
		}
		for path, want := range map[string]os.FileMode{path: 0o600, files.Dir: 0o700} {
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
				t.Errorf("%s has mode %v, want %v (%v)", path, info.Mode().Perm(), want, err)
			}
		}
	}
}

func TestFilesFailure(t *testing.T) {
	t.Parallel()
	inTheWay := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(inTheWay, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := (&Files{Dir: inTheWay}).Send(t.Context(), sampleEnvelope()); err == nil || isPermanent(err) {
		t.Errorf("a file in place of the directory: %v", err)
	}

	// A failure leaves no file behind.
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, fileName(sampleEnvelope())+fileExtension), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := (&Files{Dir: dir}).Send(t.Context(), sampleEnvelope()); err == nil || isPermanent(err) {
		t.Errorf("a directory in place of the file: %v", err)
	}
	if entries, err := os.ReadDir(dir); len(entries) != 1 || err != nil {
		t.Errorf("left behind: %v, %v", entries, err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := (&Files{Dir: t.TempDir()}).Send(ctx, sampleEnvelope()); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
}
