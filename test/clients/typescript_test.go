//go:build clients

package clients

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/financelime/authorization"
	"github.com/financelime/authorization/test/harness"
)

// packageProject copies clients/typescript beside an openapi.yaml, and returns the path of the copy.
func packageProject(t *testing.T, spec string) string {
	t.Helper()
	root := t.TempDir()
	dir := filepath.Join(root, "clients", "typescript")
	original, err := filepath.Abs(filepath.Join("..", "..", "clients", "typescript"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(original, "node_modules")); err != nil {
		t.Fatalf("clients/typescript/node_modules is missing: run `make test-clients`: %v", err)
	}
	copySources(t, original, dir, "node_modules", "dist", "build", "src/generated")
	if err := os.Symlink(filepath.Join(original, "node_modules"), filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "openapi.yaml"), []byte(spec), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := copyFile(filepath.Join("..", "..", "LICENSE"), filepath.Join(root, "LICENSE")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestPackage builds the npm package, type-checks its tests, runs them against the service, and measures its size.
func TestPackage(t *testing.T) {
	t.Parallel()
	dir := packageProject(t, string(authorization.Spec()))
	if out, err := command(t, dir, "npm", "run", "check"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Run("size", func(t *testing.T) {
		t.Parallel()
		out, err := command(t, dir, "npm", "run", "--silent", "size")
		if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		t.Log(out)
	})
	files, err := filepath.Glob(filepath.Join(dir, "build", "test", "*.test.js"))
	if err != nil || len(files) < 5 {
		t.Fatalf("only %d files of tests (%v)", len(files), err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var settings []string
			if name == "session.test.js" {
				settings = []string{"AUTH_ACCESS_TOKEN_TTL=2s"}
			}
			runNodeTest(t, dir, harness.Start(t, binary, contract, harness.SQLite, settings...),
				"node", "--test", "--test-timeout=120000", "--test-reporter=spec", file)
		})
	}
}

// runNodeTest runs a file of tests against a service. Every response of the service is validated against the contract.
func runNodeTest(t *testing.T, dir string, s *harness.Service, program ...string) {
	t.Helper()
	// Tests have no access to the database, and cannot wait until an authentication is not recent any more.
	aging := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		s.AgeAuthentications(t, 11*time.Minute)
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(aging.Close)
	environment := []string{
		"AUTH_URL=" + validatingProxy(t, s), "AUTH_MAILBOX=" + s.Admin, "AUTH_AGING=" + aging.URL, "AUTH_INVITE=" + s.Invite(t, 100),
	}
	out, err := commandWith(t, dir, environment, program...)
	if err != nil || !strings.Contains(out, "pass ") || strings.Contains(out, "pass 0") || !strings.Contains(out, "skipped 0") {
		t.Errorf("%v\n%s", err, out)
	}
	t.Log(out)
}

// TestVaguerContractBreaksPackage checks that the types of the package can be wrong: with another contract it does not compile.
func TestVaguerContractBreaksPackage(t *testing.T) {
	t.Parallel()
	before := string(authorization.Spec())
	for name, change := range map[string]struct{ old, new, fails string }{
		"an additional code": {
			"enum: [USER_ALREADY_EXIST, INVITE_HAS_ENDED]", "enum: [USER_ALREADY_EXIST, INVITE_HAS_ENDED, TOO_LATE]", "src/result.ts",
		},
		"a missing code":   {"enum: [USER_ALREADY_EXIST, INVITE_HAS_ENDED]", "enum: [USER_ALREADY_EXIST]", "src/result.ts"},
		"a missing status": {"        '409':\n          description: Conflict\n", "        '499':\n          description: Conflict\n", "src/result.ts"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			after := strings.Replace(before, change.old, change.new, 1)
			if after == before {
				t.Fatal("openapi.yaml does not contain the text to change")
			}
			out, err := command(t, packageProject(t, after), "npm", "run", "build")
			if err == nil || !strings.Contains(out, change.fails+"(") {
				t.Errorf("%v: no error in %s\n%s", err, change.fails, out)
			}
		})
	}
}

// TestPackageReadmeQuotesCode checks that the code in the package's README is compiled and run. `go test -tags=clients ./test/clients
// -update` copies it.
func TestPackageReadmeQuotesCode(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	path := filepath.Join(root, "clients", "typescript", "README.md")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	quotes := 0
	current := quoted.ReplaceAllStringFunc(string(content), func(block string) string {
		match := quoted.FindStringSubmatch(block)
		if match[1] == "" {
			return block // a command
		}
		quotes++
		return "<!-- " + match[1] + "#" + match[2] + " -->\n```" + match[3] + "\n" + readRegion(t, filepath.Join(root, match[1]), match[2]) + "```"
	})
	if quotes < 3 {
		t.Errorf("only %d quotes", quotes)
	}
	if current == string(content) {
		return
	}
	if !*update {
		t.Fatal("quoted code has changed; -update copies it")
	}
	if err := os.WriteFile(path, []byte(current), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestPackageVersion checks that the package has the version of the service.
func TestPackageVersion(t *testing.T) {
	t.Parallel()
	manifest, err := os.ReadFile(filepath.Join("..", "..", "clients", "typescript", "package.json"))
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(filepath.Join("..", "..", "cmd", "financelime-auth", "version.go"))
	if err != nil {
		t.Fatal(err)
	}
	_, number, _ := strings.Cut(string(source), `number = "v`)
	number, _, _ = strings.Cut(number, `"`)
	if !strings.Contains(string(manifest), fmt.Sprintf(`"version": %q`, number)) {
		t.Errorf("the version of the service is %s; clients/typescript/package.json has another", number)
	}
}
