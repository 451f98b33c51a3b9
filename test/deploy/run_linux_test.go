package deploy

import (
	"bytes"
	"debug/elf"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// freeAddr is an address on which nothing listens at the moment.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// started runs a command line of the service until the test ends, once another of its commands says that it is ready.
func started(t *testing.T, command func(args ...string) *exec.Cmd, args ...string) {
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
			t.Fatalf("it ended: %v\n%s", err, log.String())
		case <-time.After(50 * time.Millisecond): // between two looks
		}
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("it ended with %v\n%s", err, log.String())
		}
	})
}

// version is what the service at an address says of itself.
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

// The container's binary needs nothing but itself and a directory that it may write to: no library, no shell, no name for its
// user. It runs here in a root that has nothing else, as the image's user.
func TestInAnEmptyRoot(t *testing.T) {
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
	const user = 65532 // as the Dockerfile says
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
	} else { // a namespace in which we are this user
		inside.Cloneflags = syscall.CLONE_NEWUSER
		inside.UidMappings = []syscall.SysProcIDMap{{ContainerID: user, HostID: os.Getuid(), Size: 1}}
		inside.GidMappings = []syscall.SysProcIDMap{{ContainerID: user, HostID: os.Getgid(), Size: 1}}
	}
	addr, admin := freeAddr(t), freeAddr(t)
	command := func(args ...string) *exec.Cmd {
		cmd := exec.Command("/financelime-auth", args...)
		cmd.Dir, cmd.SysProcAttr = "/", inside
		cmd.Env = []string{"AUTH_HTTP_ADDR=" + addr, "AUTH_ADMIN_ADDR=" + admin, "AUTH_SHUTDOWN_DELAY=0s"}
		return cmd
	}
	started(t, command)
	if v := version(t, addr); !strings.Contains(v, "1234567 [2026-11-28_00:00:00]") {
		t.Errorf("the version is %s", v)
	}
	if out, err := command("user", "list").CombinedOutput(); err != nil || !strings.HasPrefix(string(out), "ID  EMAIL") {
		t.Errorf("a command beside it: %v: %s", err, out)
	}
	for _, made := range []string{"auth.db", "secret"} {
		if _, err := os.Stat(filepath.Join(data, made)); err != nil {
			t.Error(err)
		}
	}
}

// The unit's command line, with the environment that comes beside it, in a state directory.
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
	addr := freeAddr(t)
	environment = append(environment, "AUTH_HTTP_ADDR="+addr, "AUTH_ADMIN_ADDR="+freeAddr(t)) // those of the file may be taken
	started(t, func(args ...string) *exec.Cmd {
		cmd := exec.Command(binary, args...)
		cmd.Dir, cmd.Env = state, environment
		return cmd
	}, line[1:]...)
	version(t, addr)
	if _, err := os.Stat(filepath.Join(state, "data", "auth.db")); err != nil {
		t.Error(err)
	}
}
