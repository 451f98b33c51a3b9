//go:build clients

package clients

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/financelime/authorization"
	"github.com/financelime/authorization/test/harness"
)

// consumers are the projects of teams that install the package: compiler, and options besides the strict ones. The types of
// openapi-fetch itself need TypeScript 5.4, so older compilers skip the check of libraries.
var consumers = map[string]struct{ compiler, options string }{
	"TypeScript 5.0, bundler":  {"typescript-5.0", bundler + `, "skipLibCheck": true`},
	"TypeScript 5.0, node16":   {"typescript-5.0", node16 + `, "skipLibCheck": true`},
	"TypeScript 5.4, bundler":  {"typescript-5.4", bundler},
	"TypeScript 5.4, node16":   {"typescript-5.4", node16},
	"TypeScript 5.9, nodenext": {"typescript", nodenext},
	"TypeScript 7, nodenext":   {"typescript-7", nodenext},
}

const (
	bundler  = `"module": "ESNext", "moduleResolution": "Bundler", "lib": ["ES2022", "DOM"], "types": []`
	node16   = `"module": "Node16", "moduleResolution": "Node16", "lib": ["ES2022"], "types": ["node"]`
	nodenext = `"module": "NodeNext", "moduleResolution": "NodeNext", "lib": ["ES2022"], "types": ["node"]`
)

// TestPackageInstalls packs the package as a release does, installs the tarball in a project, compiles the README's code there with old
// and new compilers, and runs it against the service.
func TestPackageInstalls(t *testing.T) {
	t.Parallel()
	dir := packageProject(t, string(authorization.Spec()))
	tarball := packTwice(t, dir)
	project := t.TempDir()
	write := func(name, content string) {
		if err := os.WriteFile(filepath.Join(project, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("package.json", `{"type": "module", "private": true}`)
	if out, err := command(t, project, "npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", tarball); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, module := range []string{"@types", "undici-types"} { // of the package's own development
		if err := os.Symlink(filepath.Join(dir, "node_modules", module), filepath.Join(project, "node_modules", module)); err != nil {
			t.Fatal(err)
		}
	}
	for _, example := range []string{"ten-lines.ts", "failures.ts", "account.ts", "second-factor.ts"} {
		if err := copyFile(filepath.Join(dir, "examples", example), filepath.Join(project, example)); err != nil {
			t.Fatal(err)
		}
	}
	write("store.ts", `import { FileStore } from "@financelime/authorization/node";
import { Session, type TokenStore } from "@financelime/authorization";
const store: TokenStore = new FileStore("tokens.json");
export const session: Session = new Session("https://auth.example.com", { store });
`)
	for name, consumer := range consumers {
		t.Run(name, func(t *testing.T) {
			config := strings.NewReplacer(" ", "-", ",", "").Replace(name) + ".json"
			write(config, `{"compilerOptions": {"strict": true, "exactOptionalPropertyTypes": true, "noUncheckedIndexedAccess": true,
				"verbatimModuleSyntax": true, "target": "ES2022", "rootDir": ".", "outDir": "out", `+consumer.options+`}, "include": ["*.ts"]}`)
			if out, err := command(t, project, "node", filepath.Join(dir, "node_modules", consumer.compiler, "bin", "tsc"), "--project", config); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
	t.Run("the README's ten lines", func(t *testing.T) {
		s := harness.Start(t, binary, contract, harness.SQLite)
		const email = "installs@example.com"
		password := s.JoinUser(t, email)
		program := fmt.Sprintf(`import { main } from "./out/ten-lines.js"; console.log(await main(%q, %q, %q));`, validatingProxy(t, s), email, password)
		out, err := command(t, project, "node", "--input-type=module", "--eval", program)
		if err != nil || out != "Sessions: 1\n" {
			t.Errorf("%v\n%s", err, out)
		}
	})
}

// packTwice returns the path of the tarball, after it has checked that a second build gives the same bytes.
func packTwice(t *testing.T, dir string) string {
	t.Helper()
	var tarballs [2]string
	var contents [2][]byte
	for i := range tarballs {
		to := t.TempDir()
		if out, err := command(t, dir, "./pack", to, "v9.8.7-test"); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		tarballs[i] = filepath.Join(to, "financelime-authorization-9.8.7-test.tgz")
		content, err := os.ReadFile(tarballs[i])
		if err != nil {
			t.Fatal(err)
		}
		contents[i] = content
	}
	if !bytes.Equal(contents[0], contents[1]) {
		t.Error("two builds differ")
	}
	return tarballs[0]
}
