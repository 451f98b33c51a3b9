package known

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/text/unicode/norm"
)

// TestUnicode checks that a list finds both spellings of a character, in any letter case, in scripts that have it.
func TestUnicode(t *testing.T) {
	t.Parallel()
	list := mustOpen(t, mustBuild(t, Options{}, norm.NFD.String("Größenwahn für Fänger")+"\nПароль для всех\nסיסמה לכולם\n👩‍👩‍👧 family 👩‍👩‍👧\nİstanbul'da bir gün\n"))
	for password, want := range map[string]bool{
		"größenwahn für fänger": true, "GRÖßENWAHN FÜR FÄNGER": true,
		"пароль для всех": true, "ПАРОЛЬ ДЛЯ ВСЕХ": true,
		"סיסמה לכולם": true, "👩‍👩‍👧 FAMILY 👩‍👩‍👧": true, "İstanbul'da bir gün": true,
		"grossenwahn für fänger": false, "👩👩👧 family 👩👩👧": false, "": false,
	} {
		if found, err := list.Contains(norm.NFC.String(password)); err != nil || found != want {
			t.Errorf("%q: %t, %v", password, found, err)
		}
	}
}

// TestDamage checks that a list of which anything is missing or changed is not opened.
func TestDamage(t *testing.T) {
	t.Parallel()
	path := mustBuild(t, Options{}, "one password\nanother password\na third password\n")
	intact, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	check := func(name string, content []byte) {
		damaged := filepath.Join(t.TempDir(), "damaged")
		if err := os.WriteFile(damaged, content, 0o600); err != nil {
			t.Fatal(err)
		}
		list, err := Open(damaged)
		if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrNotList) || list != nil || !strings.Contains(err.Error(), damaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for size := range intact {
		check("truncated", intact[:size])
	}
	for i := range intact {
		changed := bytes.Clone(intact)
		changed[i] ^= 0x40
		check("changed", changed)
	}
	check("longer", append(bytes.Clone(intact), 0))
	check("text", []byte("password\n"))
	count := bytes.Clone(intact)
	copy(count[24:], bytes.Repeat([]byte{0xff}, 8))
	check("the largest number of hashes", count)

	if _, err := Open(filepath.Join(t.TempDir(), "missing")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing list: %v", err)
	}
	if _, err := Open(t.TempDir()); err == nil {
		t.Error("a directory was opened")
	}
}

// TestUnreadable checks that a list that cannot be read any more is an error, not a password that is unknown.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	list := mustOpen(t, mustBuild(t, Options{}, "one password\nanother password\n"))
	if err := list.Close(); err != nil {
		t.Fatal(err)
	}
	for _, password := range []string{"one password", "a third password"} {
		if found, err := list.Contains(password); found || !errors.Is(err, os.ErrClosed) {
			t.Errorf("%t, %v", found, err)
		}
	}
}

// FuzzOpen checks that no content of a file makes Open or Contains panic.
func FuzzOpen(f *testing.F) {
	intact, err := os.ReadFile(mustBuild(f, Options{}, "one password\nanother password\n"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(intact)
	f.Add([]byte(magic))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, content []byte) {
		list, err := newList(bytes.NewReader(content), int64(len(content)))
		if err != nil {
			return
		}
		if err := verify(bytes.NewReader(content), int64(len(content))); err != nil && !errors.Is(err, ErrDamaged) {
			t.Error(err)
		}
		if _, err := list.Contains("one password"); err != nil {
			t.Error(err)
		}
	})
}

// mustBuild builds a list and returns its path.
func mustBuild(t testing.TB, o Options, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "list")
	if _, err := Build(t.Context(), path, []io.Reader{strings.NewReader(content)}, o); err != nil {
		t.Fatal(err)
	}
	return path
}

func mustOpen(t testing.TB, path string) *List {
	t.Helper()
	list, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = list.Close() })
	return list
}
