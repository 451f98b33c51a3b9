//go:build clients

// Package clients tests that generated clients compile, have the types of openapi.yaml, and work with the service. It needs Node and npm:
// `make test-clients`.
package clients

import (
	"fmt"
	"io/fs"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/financelime/authorization"
	"github.com/financelime/authorization/test/harness"
)

// binary and contract are created once for all tests of the package.
var (
	binary   string
	contract *harness.Contract
)

func TestMain(m *testing.M) {
	if _, err := os.Stat("node_modules"); err != nil {
		fmt.Fprintln(os.Stderr, "test/clients/node_modules is missing: run `make test-clients`:", err)
		os.Exit(1)
	}
	os.Exit(harness.Main(func(b string, c *harness.Contract) int {
		binary, contract = b, c
		return m.Run()
	}))
}

// project copies this directory, generates the clients from an openapi.yaml, and returns the path of the copy.
func project(t *testing.T, spec string) string {
	t.Helper()
	dir := t.TempDir()
	copySources(t, ".", dir, "node_modules", "src/generated", "openapi.yaml", "generators")
	modules, err := filepath.Abs("node_modules")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "openapi.yaml"), []byte(spec), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := command(t, dir, "./generate"); err != nil {
		t.Fatalf("generate: %v\n%s", err, out)
	}
	return dir
}

// copySources copies a directory, except the paths that are left out.
func copySources(t *testing.T, from, to string, leftOut ...string) {
	t.Helper()
	err := fs.WalkDir(os.DirFS(from), ".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case slices.Contains(leftOut, path) && entry.IsDir():
			return fs.SkipDir
		case slices.Contains(leftOut, path):
			return nil
		case entry.IsDir():
			return os.MkdirAll(filepath.Join(to, path), 0o755)
		}
		return copyFile(filepath.Join(from, path), filepath.Join(to, path))
	})
	if err != nil {
		t.Fatal(err)
	}
}

func copyFile(from, to string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, content, info.Mode().Perm())
}

// command runs a program in a directory; environment is NAME=value, in addition to this process's.
func command(t *testing.T, dir string, program ...string) (string, error) {
	t.Helper()
	return commandWith(t, dir, nil, program...)
}

func commandWith(t *testing.T, dir string, environment []string, program ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program[0], program[1:]...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), environment...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func compile(t *testing.T, dir string) (string, error) {
	t.Helper()
	return command(t, dir, "node_modules/.bin/tsc")
}

// TestTypeScript compiles the clients of the generators, and the code that uses them, in strict mode, and runs that code against the service.
func TestTypeScript(t *testing.T) {
	t.Parallel()
	dir := project(t, string(authorization.Spec()))
	if out, err := compile(t, dir); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	runNodeTest(t, dir, harness.Start(t, binary, contract, harness.SQLite),
		"node", "--import=tsx", "--test", "--test-timeout=120000", "--test-reporter=spec", "src/samples.test.ts")
}

// validatingProxy starts a proxy in front of the service that validates every response against the contract, and returns its URL.
func validatingProxy(t *testing.T, s *harness.Service) string {
	t.Helper()
	target, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport: s.HTTP.Transport,
	})
	t.Cleanup(proxy.Close)
	return proxy.URL
}

// TestVaguerContractDoesNotCompile checks that the type tests in src/types can fail: with a less precise contract the code of no generator
// compiles.
func TestVaguerContractDoesNotCompile(t *testing.T) {
	t.Parallel()
	all := []string{"src/types/openapi-typescript.ts", "src/types/orval.ts", "src/types/hey-api.ts"}
	for name, change := range map[string]struct {
		old, new string
		fails    []string // files in which the compiler must find an error
	}{
		"a code is any string": {
			"      enum: [USER_ALREADY_EXIST, INVITE_HAS_ENDED]\n", "",
			append([]string{"src/orval.ts", "src/hey-api.ts"}, all...),
		},
		"an additional code": {
			"enum: [USER_ALREADY_EXIST, INVITE_HAS_ENDED]", "enum: [USER_ALREADY_EXIST, INVITE_HAS_ENDED, TOO_LATE]",
			append([]string{"src/orval.ts", "src/hey-api.ts"}, all...),
		},
		"a field of any type": {
			"          description: Whether the access token of the request belongs to this session\n          type: boolean\n",
			"          description: Whether the access token of the request belongs to this session\n", all,
		},
		"a missing status": {
			"        '409':\n          description: Conflict\n", "        '499':\n          description: Conflict\n",
			all,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := string(authorization.Spec())
			after := strings.Replace(before, change.old, change.new, 1)
			if after == before {
				t.Fatal("openapi.yaml does not contain the text to change")
			}
			out, err := compile(t, project(t, after))
			if err == nil {
				t.Fatal("it compiles")
			}
			var failed []string
			for line := range strings.Lines(out) {
				if file, _, found := strings.Cut(line, "("); found && !strings.HasPrefix(line, " ") && !slices.Contains(failed, file) {
					failed = append(failed, file)
				}
			}
			for _, want := range change.fails {
				if !slices.Contains(failed, want) {
					t.Errorf("%s compiles. The compiler's errors:\n%s", want, out)
				}
			}
		})
	}
}
