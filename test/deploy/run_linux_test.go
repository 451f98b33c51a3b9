package deploy

import (
	"bytes"
	"debug/elf"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/financelime/authorization/test/harness"
)

// start starts the service with a command line, waits until the command healthcheck succeeds, and stops it when the test ends.
func start(t *testing.T, command func(args ...string) *exec.Cmd, args ...string) {
	t.Helper()
	var log bytes.Buffer
	cmd := command(args...)
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	stop := func() error {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			return err
		}
		return <-exited
	}
	for deadline := time.Now().Add(time.Minute); ; {
		if out, err := command("healthcheck").CombinedOutput(); err == nil {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("not ready after a minute: %s\n%v\n%s", out, stop(), log.String())
		}
		select {
		case err := <-exited:
			t.Fatalf("the service exited: %v\n%s", err, log.String())
		case <-time.After(50 * time.Millisecond): // between two checks
		}
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("the service exited with %v\n%s", err, log.String())
		}
	})
}

// version returns the response of /v1/version.
func version(t *testing.T, addr string) string {
	t.Helper()
	url := "http://" + addr + "/v1/version"
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("request-id", "test-deploy")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %v", url, response.Status, err)
	}
	return string(body)
}

// TestEmptyRoot checks that the container's binary needs only a writable directory: no library, no shell and no name for its user. It runs
// in an otherwise empty root directory, as the image's user.
func TestEmptyRoot(t *testing.T) {
	t.Parallel()
	file, err := elf.Open(binary)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if libraries, err := file.ImportedLibraries(); err != nil || len(libraries) > 0 || file.Section(".interp") != nil {
		t.Errorf("not static: %v, %v", libraries, err)
	}

	empty := t.TempDir()
	content, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	const user = 65532 // as in the Dockerfile
	data := filepath.Join(empty, "data")
	err = errors.Join(
		os.WriteFile(filepath.Join(empty, "financelime-auth"), content, 0o755),
		os.Mkdir(data, 0o700), os.Chmod(empty, 0o755),
	)
	if err != nil {
		t.Fatal(err)
	}
	inside := &syscall.SysProcAttr{Chroot: empty}
	if os.Geteuid() == 0 {
		inside.Credential = &syscall.Credential{Uid: user, Gid: user}
		if err := os.Chown(data, user, user); err != nil {
			t.Fatal(err)
		}
	} else { // use a user namespace in which this process has that ID
		inside.Cloneflags = syscall.CLONE_NEWUSER
		inside.UidMappings = []syscall.SysProcIDMap{{ContainerID: user, HostID: os.Getuid(), Size: 1}}
		inside.GidMappings = []syscall.SysProcIDMap{{ContainerID: user, HostID: os.Getgid(), Size: 1}}
	}
	addr, admin := harness.FreeAddr(t), harness.FreeAddr(t)
	command := func(args ...string) *exec.Cmd {
		cmd := exec.Command("/financelime-auth", args...)
		cmd.Dir, cmd.SysProcAttr = "/", inside
		cmd.Env = []string{"AUTH_HTTP_ADDR=" + addr, "AUTH_ADMIN_ADDR=" + admin, "AUTH_SHUTDOWN_DELAY=0s"}
		return cmd
	}
	start(t, command)
	if v := version(t, addr); !strings.Contains(v, "1234567 [2026-11-28_00:00:00]") {
		t.Errorf("the version is %s", v)
	}
	if out, err := command("user", "list").CombinedOutput(); err != nil || !strings.HasPrefix(string(out), "ID  EMAIL") {
		t.Errorf("a command while the service runs: %v: %s", err, out)
	}
	for _, made := range []string{"auth.db", "secret"} {
		if _, err := os.Stat(filepath.Join(data, made)); err != nil {
			t.Error(err)
		}
	}
}

// TestUnit runs the command line of the systemd unit, with its environment file, in a state directory.
func TestUnit(t *testing.T) {
	t.Parallel()
	unit := map[string]string{}
	for line := range strings.Lines(read(t, "deploy", "systemd", "financelime-auth.service")) {
		if key, value, found := strings.Cut(strings.TrimSpace(line), "="); found && !strings.HasPrefix(key, "#") {
			unit[key] = value
		}
	}
	line := strings.Fields(unit["ExecStart"])
	if line[0] != "/usr/local/bin/financelime-auth" || unit["WorkingDirectory"] != "/var/lib/"+unit["StateDirectory"] ||
		unit["EnvironmentFile"] != "-/etc/financelime-auth/environment" {
		t.Fatalf("%v", unit)
	}
	state := t.TempDir()
	environment := []string{}
	for line := range strings.Lines(read(t, "deploy", "systemd", "environment")) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			environment = append(environment, line)
		}
	}
	addr := harness.FreeAddr(t)
	environment = append(environment, "AUTH_HTTP_ADDR="+addr, "AUTH_ADMIN_ADDR="+harness.FreeAddr(t)) // the ports of the file may be in use
	start(t, func(args ...string) *exec.Cmd {
		cmd := exec.Command(binary, args...)
		cmd.Dir, cmd.Env = state, environment
		return cmd
	}, line[1:]...)
	version(t, addr)
	if _, err := os.Stat(filepath.Join(state, "data", "auth.db")); err != nil {
		t.Error(err)
	}
}
