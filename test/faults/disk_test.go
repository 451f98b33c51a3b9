package faults

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/financelime/authorization/api/client"
	"github.com/financelime/authorization/test/harness"
)

// diskSize is the size of the small file system in bytes.
const diskSize = 8 << 20

// TestDiskFull fills the disk. Writes are rejected with 503, reads continue and no data is damaged. When there is space again, the service
// recovers without an operator.
func TestDiskFull(t *testing.T) {
	parallel(t)
	if os.Getenv(mountAllowed) == "" {
		rerunInMountNamespace(t)
		return
	}
	sim := newSimulation(t, harness.SQLite, 4)
	data := filepath.Join(sim.s.Dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("mount", "-t", "tmpfs", "-o", "mode=0700,size="+strconv.Itoa(diskSize), "disk", data).CombinedOutput()
	if err != nil {
		t.Fatalf("mount: %v %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", data).CombinedOutput(); err != nil {
			t.Errorf("umount: %v %s", err, out)
		}
	})
	sim.s.Run(t)
	sim.populate(4)
	sim.waitForMail(time.Minute)

	ballast := filepath.Join(data, "ballast")
	if err := fillDisk(ballast); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("fill the disk: %v", err)
	}
	p := sim.people()[0]
	s := p.activeSessions()[0]
	eventually(t, "a refresh fails for lack of space", time.Minute, func() bool {
		status := p.refresh(t.Context(), s)
		if err := fillDisk(ballast); !errors.Is(err, syscall.ENOSPC) { // SQLite may have released some space
			t.Fatalf("fill the disk: %v", err)
		}
		return status == unknown
	})
	eventually(t, "the service is not ready on a full disk", 10*time.Second, func() bool { return !ready(t, sim.s) && !databaseUp(t, sim.s) })
	for range 20 {
		for _, p := range sim.people() {
			if status := p.refresh(t.Context(), p.activeSessions()[0]); status != unknown {
				t.Errorf("a refresh on a full disk: %d", status)
			}
			p.list(t.Context(), p.activeSessions()[0])
		}
	}
	r, err := sim.s.API.UserPasswordResetWithResponse(t.Context(), &client.UserPasswordResetParams{RequestID: newRequestID()},
		client.RequestUserPasswordResetRequest{Email: p.email})
	if err != nil || r.StatusCode() != http.StatusServiceUnavailable {
		t.Errorf("a reset on a full disk: %v, %v", r.Status(), err)
	}
	list, err := sim.s.API.GetListActiveSessionsWithResponse(t.Context(), &client.GetListActiveSessionsParams{RequestID: newRequestID()}, bearer(s.access))
	if err != nil || list.StatusCode() != http.StatusOK {
		t.Errorf("a list on a full disk: %v, %v", list.Status(), err)
	}
	if ctx := t.Context(); p.get(ctx, "/v1/version") != 200 || p.get(ctx, "/.well-known/jwks.json") != 200 {
		t.Error("a request that does not write fails")
	}

	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	took := eventually(t, "a refresh succeeds", 30*time.Second, func() bool { return p.refresh(t.Context(), s) == http.StatusOK })
	eventually(t, "the service is ready again", 10*time.Second, func() bool { return ready(t, sim.s) && databaseUp(t, sim.s) })
	sim.verifyThroughAPI()
	sim.waitForMail(time.Minute)
	sim.checkDatabase()
	t.Logf("writes succeed %s after space was available", took.Round(time.Millisecond))
}

// databaseUp reports whether the metric database_up is 1.
func databaseUp(t testing.TB, s *harness.Service) bool {
	t.Helper()
	return strings.Contains(metrics(t, s), "\nfinancelime_auth_database_up 1\n")
}

func metrics(t testing.TB, s *harness.Service) string {
	t.Helper()
	response, err := http.Get(s.Admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// TestReadOnlyDatabaseFiles makes the database files read-only for a service that does not run as root. It must not report that it is
// ready.
func TestReadOnlyDatabaseFiles(t *testing.T) {
	parallel(t)
	sim := newSimulation(t, harness.SQLite, 1)
	sim.s.Run(t)
	sim.populate(1)
	sim.s.Stop(t)
	data := filepath.Join(sim.s.Dir, "data")
	mode := func(mode os.FileMode) {
		t.Helper()
		files, err := filepath.Glob(filepath.Join(data, "auth.db*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if err := os.Chmod(file, mode); err != nil {
				t.Fatal(err)
			}
		}
	}
	mode(0o400)
	plain := sim.s.Binary
	if os.Getuid() == 0 { // root ignores file modes, so drop its capabilities
		sim.s.Binary = filepath.Join(t.TempDir(), "unprivileged")
		script := "#!/bin/sh\nexec setpriv --bounding-set=-all --inh-caps=-all '" + plain + "' \"$@\"\n"
		if err := os.WriteFile(sim.s.Binary, []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	sim.s.Run(t) // waits only until it listens
	if ready(t, sim.s) || databaseUp(t, sim.s) {
		t.Error("ready, but it cannot write")
	}
	sim.s.Kill(t)
	mode(0o600)
	sim.s.Binary = plain
	sim.s.Run(t)
	if !ready(t, sim.s) {
		t.Error("not ready")
	}
}

// fillDisk appends to a file until the disk is full, and returns the error.
func fillDisk(path string) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	for _, size := range []int{1 << 16, 1 << 12, 1} {
		block := make([]byte, size)
		for err = nil; err == nil; {
			_, err = file.Write(block)
		}
		if !errors.Is(err, syscall.ENOSPC) {
			return err
		}
	}
	return err
}

// mountAllowed is set in the environment of a test process that may mount file systems.
const mountAllowed = "FAULTS_SMALL_DISKS"

// rerunInMountNamespace runs the test again in a process with its own mount namespace, where it can mount a small file system. When the
// process ends, the mounts are gone. On Linux this needs root, or a user namespace, or sudo.
func rerunInMountNamespace(t *testing.T) {
	t.Helper()
	probe := "mount -t tmpfs disk '" + t.TempDir() + "'"
	var tried []string
	for _, namespace := range [][]string{
		{"unshare", "--mount"}, {"unshare", "--mount", "--map-root-user"}, {"sudo", "-n", "unshare", "--mount"},
	} {
		run := func(command ...string) ([]byte, error) {
			command = append(slices.Clone(namespace), command...)
			return exec.CommandContext(t.Context(), command[0], command[1:]...).CombinedOutput()
		}
		if out, err := run("sh", "-c", probe); err != nil {
			tried = append(tried, fmt.Sprintf("%s: %v %s", strings.Join(namespace, " "), err, out))
			continue
		}
		out, err := run("env", mountAllowed+"=yes", harness.BinaryEnv+"="+binary, os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=5m")
		if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
			t.Errorf("in a mount namespace: %v", err)
		}
		t.Logf("%s", out[:min(len(out), 8000)])
		return
	}
	t.Fatalf("this test cannot mount a small disk, neither as root, nor in a user namespace, nor with sudo:\n%s",
		strings.Join(tried, "\n"))
}

// TestPostgresDiskFull checks that a full disk of PostgreSQL (SQLSTATE 53100) is an outage of writes, not a decision about the request. A
// trigger raises the error, because all tests share the disk of the server.
func TestPostgresDiskFull(t *testing.T) {
	parallel(t)
	sim := newSimulation(t, harness.Postgres, 4)
	sim.s.Run(t)
	sim.populate(4)
	sim.waitForMail(time.Minute)
	sim.s.Exec(t, `CREATE FUNCTION disk_full() RETURNS trigger LANGUAGE plpgsql AS
		$$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$`)
	for _, table := range harness.Tables() {
		sim.s.Exec(t, "CREATE TRIGGER disk_full BEFORE INSERT OR UPDATE ON "+table+" EXECUTE FUNCTION disk_full()")
	}
	for _, p := range sim.people() {
		s := p.activeSessions()[0]
		if status := p.refresh(t.Context(), s); status != unknown {
			t.Errorf("a refresh on a full disk: %d", status)
		}
		if status := p.postReset(t.Context()); status != unknown {
			t.Errorf("a reset on a full disk: %d", status)
		}
		p.list(t.Context(), s)
		p.get(t.Context(), "/v1/version")
	}
	for _, table := range harness.Tables() {
		sim.s.Exec(t, "DROP TRIGGER disk_full ON "+table)
	}
	sim.verifyThroughAPI()
	sim.checkDatabase()
}
