package known

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha1"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// TestBuild checks what a list has of lines as they are in real files.
func TestBuild(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "list")
	sources := []io.Reader{
		strings.NewReader("\ufeffFirst line\r\nsecond line\n\n\nsecond LINE\n  spaces around  \nshort\n\xff\xfe not UTF-8\nwith a \x00 in it\nlast line without an end"),
		strings.NewReader(strings.Repeat("x", 257) + "\n" + strings.Repeat("y", 5000) + "\n" + strings.Repeat("z", 3<<20) + "\n" + strings.Repeat("ж", 256) + "\n"),
		strings.NewReader(""),
	}
	result, err := Build(t.Context(), path, sources, Options{MinLength: 8})
	if err != nil {
		t.Fatal(err)
	}
	if want := (Result{Lines: 12, LeftOut: 1, Unusable: 5, Passwords: 5, FalseRate: result.FalseRate}); result != want || result.FalseRate >= maxFalseRate {
		t.Errorf("%+v, want %+v", result, want)
	}
	list := mustOpen(t, path)
	for password, want := range map[string]bool{
		"first line": true, "Second line": true, "  spaces around  ": true, "last line without an end": true, strings.Repeat("Ж", 256): true,
		"spaces around": false, "short": false, "\ufeffFirst line": false, "First line\r": false,
	} {
		if found, err := list.Contains(password); err != nil || found != want {
			t.Errorf("%q: %t, %v", password, found, err)
		}
	}
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode() != 0o644 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// TestBuildHashes checks a list of hashes with occurrences, which are of passwords as they were typed.
func TestBuildHashes(t *testing.T) {
	t.Parallel()
	var lines strings.Builder
	for password, count := range map[string]int{"hunter2hunter2": 20, "Correct Horse": 3, "RARE password": 1} {
		fmt.Fprintf(&lines, "%X:%d\r\n", sha1.Sum([]byte(password)), count)
	}
	list := mustOpen(t, mustBuild(t, Options{SHA1: true, MinCount: 2}, lines.String()))
	for password, want := range map[string]bool{
		"hunter2hunter2": true, "HUNTER2hunter2": true, "Correct Horse": true,
		"correct horse": false, // only its hash is known, which depends on the letter case
		"RARE password": false,
	} {
		if found, err := list.Contains(password); err != nil || found != want {
			t.Errorf("%q: %t, %v", password, found, err)
		}
	}
}

// TestBuildManyRuns checks a list whose hashes do not fit in memory at a time: each is found, and no other one.
func TestBuildManyRuns(t *testing.T) {
	t.Parallel()
	const lines, run = 50_000, 777
	random := rand.New(rand.NewPCG(1, 2))
	var content bytes.Buffer
	passwords := make(map[string]bool)
	for range lines {
		password := fmt.Sprintf("password %d", random.IntN(lines)) // many are the same
		passwords[password] = true
		content.WriteString(password + "\n")
	}
	path := filepath.Join(t.TempDir(), "list")
	result, err := build(t.Context(), path, []io.Reader{&content}, Options{}, run)
	if err != nil || result.Passwords != len(passwords) || result.Lines != lines {
		t.Fatalf("%+v for %d passwords, %v", result, len(passwords), err)
	}
	list := mustOpen(t, path)
	for i := range 2 * lines {
		password := fmt.Sprintf("password %d", i)
		if found, err := list.Contains(password); err != nil || found != passwords[password] {
			t.Fatalf("%q: %t, %v", password, found, err)
		}
	}
	checkEmpty(t, path)
}

// TestBuildRefuses checks that input that is not what the options say is refused, and that an existing file stays as it was.
func TestBuildRefuses(t *testing.T) {
	t.Parallel()
	const sha1Line, ntlmLine = "21BD12DC183F740EE76F27B78EB39C8AD972A757:1\n", "32ED87BDB5FDC5E9CBA88547376818D4:2\n"
	for name, c := range map[string]struct {
		options Options
		content string
		want    string
	}{
		"nothing":                      {Options{}, "", "no password"},
		"only short passwords":         {Options{MinLength: 8}, "short\n", "no password"},
		"SHA-1 hashes as passwords":    {Options{}, strings.Repeat(sha1Line, 20), "use --sha1"},
		"one SHA-1 hash":               {Options{}, sha1Line, "use --sha1"},
		"NTLM hashes as passwords":     {Options{}, strings.Repeat(ntlmLine, 20), "NTLM"},
		"NTLM hashes":                  {Options{SHA1: true}, ntlmLine, "NTLM"},
		"a file of a range":            {Options{SHA1: true}, "0018A45C4D1DEF81644B54AB7F969B88D65:10\n", "single file"},
		"passwords as hashes":          {Options{SHA1: true}, sha1Line + "password\n", "line 2"},
		"a hash that is too long":      {Options{SHA1: true}, strings.Replace(sha1Line, ":", "0:", 1), "40 hexadecimal digits"},
		"a number that is none":        {Options{SHA1: true}, strings.Replace(sha1Line, ":1", ":x", 1), "occurrences"},
		"no numbers, but a minimum":    {Options{SHA1: true, MinCount: 1}, strings.Replace(sha1Line, ":1", "", 1), "occurrences"},
		"a line without an end":        {Options{SHA1: true}, strings.Repeat("A", 3<<20), "40 hexadecimal digits"},
		"only hashes that are rare":    {Options{SHA1: true, MinCount: 2}, sha1Line, "no password"},
		"a source that cannot be read": {Options{}, "", "broken"},
	} {
		path := mustBuild(t, Options{}, "the list before\n")
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		source := io.Reader(strings.NewReader(c.content))
		if c.want == "broken" {
			source = io.MultiReader(strings.NewReader("one password\nanother"), brokenReader{})
		}
		if _, err := Build(t.Context(), path, []io.Reader{source}, c.options); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
			t.Errorf("%s: the list has changed, %v", name, err)
		}
		checkEmpty(t, path)
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errors.New("broken") }

// TestBuildReplacesOnlyLists checks that an operator who mixes up input and output keeps the input.
func TestBuildReplacesOnlyLists(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "passwords.txt")
	if err := os.WriteFile(path, []byte("all my passwords\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Build(t.Context(), path, []io.Reader{strings.NewReader("one password\n")}, Options{}); err == nil || !strings.Contains(err.Error(), "is not a password list") {
		t.Error(err)
	}
	if content, err := os.ReadFile(path); err != nil || string(content) != "all my passwords\n" {
		t.Errorf("%q, %v", content, err)
	}

	list := mustOpen(t, mustBuild(t, Options{}, "the list before\n"))
	if runtime.GOOS == "windows" {
		return // an open file cannot be replaced there
	}
	if _, err := Build(t.Context(), list.file.(*os.File).Name(), []io.Reader{strings.NewReader("the list after\n")}, Options{}); err != nil {
		t.Fatal(err)
	}
	if found, err := list.Contains("the list before"); err != nil || !found {
		t.Errorf("a service that has the list open: %t, %v", found, err)
	}
	if found, err := mustOpen(t, list.file.(*os.File).Name()).Contains("the list after"); err != nil || !found {
		t.Errorf("the new list: %t, %v", found, err)
	}
}

// TestBuildIsCancelled checks that a build that is interrupted ends soon and leaves nothing.
func TestBuildIsCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	path := filepath.Join(t.TempDir(), "list")
	_, err := build(ctx, path, []io.Reader{&endless{after: 5000, do: cancel}}, Options{}, 100_000)
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("there is a list: %v", err)
	}
	checkEmpty(t, path)
}

// endless is a source without an end. After some reads it calls a function.
type endless struct {
	reads, after int
	do           func()
}

func (e *endless) Read(b []byte) (int, error) {
	e.reads++
	if e.reads == e.after {
		e.do()
	}
	return copy(b, fmt.Sprintf("password %d\n", e.reads)), nil
}

const buildHere = "TEST_BUILD_LIST_IN"

// TestBuildIsKilled kills a process that builds a list, while it replaces one: the list stays, and the service can open it.
func TestBuildIsKilled(t *testing.T) {
	if directory := os.Getenv(buildHere); directory != "" { // the process that is killed
		_, err := build(t.Context(), filepath.Join(directory, "list"), []io.Reader{&endless{after: 5000, do: func() { fmt.Println("building") }}}, Options{}, 1000)
		t.Fatal("the build has ended: ", err)
	}
	t.Parallel()
	path := mustBuild(t, Options{}, "the list before\n")
	command := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestBuildIsKilled$")
	command.Env = append(os.Environ(), buildHere+"="+filepath.Dir(path))
	output, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(output).ReadString('\n'); line != "building\n" {
		t.Fatalf("%q, %v", line, err)
	}
	if err := command.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := command.Wait(); err == nil || command.ProcessState.Exited() {
		t.Errorf("the process was not killed: %v", err)
	}
	if found, err := mustOpen(t, path).Contains("the list before"); err != nil || !found {
		t.Errorf("%t, %v", found, err)
	}
	checkEmpty(t, path) // nothing is left of what it had read
}

// TestWidth checks that hashes are as long as the number of passwords requires.
func TestWidth(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		count int
		exact bool
		want  int
	}{{1, false, 3}, {4000, false, 4}, {802_507, false, 5}, {802_507, true, 6}, {2_000_000_000, true, 7}} {
		if width := widthFor(c.count, c.exact); width != c.want {
			t.Errorf("%d passwords, exact %t: %d bytes, want %d", c.count, c.exact, width, c.want)
		}
	}
}

// usable reports whether a text is one line that can be a password.
func usable(text string) bool {
	return text != "" && len(text) < maxCodePoints/3 && utf8.ValidString(text) && !strings.ContainsFunc(text, unicode.IsControl)
}

// checkEmpty checks that there is nothing but the list in its directory.
func checkEmpty(t *testing.T, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if entry.Name() != filepath.Base(path) {
			t.Errorf("%s is left", entry.Name())
		}
	}
}

// FuzzBuild checks that every password that a text has is found, if it can be one.
func FuzzBuild(f *testing.F) {
	f.Add([]byte("one password\nanother\r\n\xff\n"), "another")
	f.Add([]byte(""), "Ünïcödé")
	f.Fuzz(func(t *testing.T, content []byte, password string) {
		path := filepath.Join(t.TempDir(), "list")
		source := io.MultiReader(bytes.NewReader(content), strings.NewReader("\n"+password+"\n"))
		result, err := Build(t.Context(), path, []io.Reader{source}, Options{})
		if err != nil {
			return // hashes, or nothing usable
		}
		list := mustOpen(t, path)
		if found, err := list.Contains(norm.NFC.String(password)); err != nil || !found && usable(password) {
			t.Errorf("%q in %q: %t, %v, %+v", password, content, found, err, result)
		}
	})
}
