// Package deploy tests the files of deploy/ and the settings in the documentation with the built service, as far as this is possible
// without a container engine, a cluster and a booted systemd.
package deploy

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// root is the directory of the repository.
const root = "../.."

// binary is the binary of a release and of the container, built once by their script.
var binary string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "financelime-auth-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "financelime-auth")
	if out, err := build(root, binary); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// build builds the service without git, like the Dockerfile.
func build(source, output string) ([]byte, error) {
	cmd := exec.Command(filepath.Join(source, "tools", "build-binary"), output)
	cmd.Env = append(os.Environ(), "COMMIT=1234567", "BUILT=2026-11-28T00:00:00Z")
	return cmd.CombinedOutput()
}

func read(t *testing.T, path ...string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(append([]string{root}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
