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

// diskSize is the size of the small disk.
const diskSize = 8 << 20

// The disk is full: what must be written is refused with 503, the rest goes on, nothing is damaged, and when there is space
// again, nobody has to do anything.
func TestDiskFull(t *testing.T) {
	beside(t)
	if os.Getenv(smallDisks) == "" {
		againWhereWeMayMount(t)
		return
	}
	w := newWorld(t, harness.SQLite, 4)
	data := filepath.Join(w.s.Dir, "data")
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
	w.s.Run(t)
	w.populate(4)
	w.settle(time.Minute)

	ballast := filepath.Join(data, "ballast")
	if err := fill(ballast); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("fill the disk: %v", err)
	}
	p := w.people()[0]
	s := p.live()[0]
	eventually(t, "a refresh finds no space", time.Minute, func() bool {
		status := p.refresh(t.Context(), s)
		if err := fill(ballast); !errors.Is(err, syscall.ENOSPC) { // SQLite may have given some back
			t.Fatalf("fill the disk: %v", err)
		}
		return status == lost
	})
	eventually(t, "it is not ready on a full disk", 10*time.Second, func() bool { return !ready(t, w.s) && !databaseUp(t, w.s) })
	for range 20 {
		for _, p := range w.people() {
			if status := p.refresh(t.Context(), p.live()[0]); status != lost {
				t.Errorf("a refresh on a full disk: %d", status)
			}
			p.list(t.Context(), p.live()[0])
		}
	}
	r, err := w.s.API.UserPasswordResetWithResponse(t.Context(), &client.UserPasswordResetParams{RequestID: rid()},
		client.RequestUserPasswordResetRequest{Email: client.Email(p.email)})
	if err != nil || r.StatusCode() != http.StatusServiceUnavailable {
		t.Errorf("a reset on a full disk: %v, %v", r.Status(), err)
	}
	list, err := w.s.API.GetListActiveSessionsWithResponse(t.Context(), &client.GetListActiveSessionsParams{RequestID: rid()}, bearer(s.access))
	if err != nil || list.StatusCode() != http.StatusOK {
		t.Errorf("a list on a full disk: %v, %v", list.Status(), err)
	}
	if ctx := t.Context(); p.get(ctx, "/v1/version") != 200 || p.get(ctx, "/.well-known/jwks.json") != 200 {
		t.Error("what needs no disk fails")
	}

	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	took := eventually(t, "a refresh finds space", 30*time.Second, func() bool { return p.refresh(t.Context(), s) == http.StatusOK })
	eventually(t, "it is ready again", 10*time.Second, func() bool { return ready(t, w.s) && databaseUp(t, w.s) })
	w.verify()
	w.settle(time.Minute)
	w.check()
	t.Logf("writing again %s after there was space again", took.Round(time.Millisecond))
}

// databaseUp reports what the metric of this name says.
func databaseUp(t testing.TB, s *harness.Service) bool {
	t.Helper()
	return strings.Contains(metrics(t, s), "\nfinancelime_auth_database_up 1\n")
}

func metrics(t testing.TB, s *harness.Service) string {
	t.Helper()
	answer, err := http.Get(s.Admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// The files of the database became read-only for a service that is not root: it does not claim to be ready.
func TestReadOnlyFiles(t *testing.T) {
	beside(t)
	w := newWorld(t, harness.SQLite, 1)
	w.s.Run(t)
	w.populate(1)
	w.s.Stop(t)
	data := filepath.Join(w.s.Dir, "data")
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
	plain := w.s.Binary
	if os.Getuid() == 0 { // who may write whatever the mode says, unless that is given up
		w.s.Binary = filepath.Join(t.TempDir(), "unprivileged")
		script := "#!/bin/sh\nexec setpriv --bounding-set=-all --inh-caps=-all '" + plain + "' \"$@\"\n"
		if err := os.WriteFile(w.s.Binary, []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	w.s.Run(t) // says that it listens
	if ready(t, w.s) || databaseUp(t, w.s) {
		t.Error("ready, and cannot write")
	}
	w.s.Kill(t)
	mode(0o600)
	w.s.Binary = plain
	w.s.Run(t)
	if !ready(t, w.s) {
		t.Error("not ready")
	}
}

// fill appends to a file until the disk is full, and returns the error that said so.
func fill(path string) error {
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

// smallDisks is set in the environment of a test process that may mount.
const smallDisks = "FAULTS_SMALL_DISKS"

// againWhereWeMayMount runs the test once more, as a process in a mount namespace of its own: there a small disk can be mounted,
// and whatever becomes of the process, nothing stays mounted. On Linux root can have that, everybody whom the system lets be
// the root of a user namespace, and whoever may use sudo.
func againWhereWeMayMount(t *testing.T) {
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
		out, err := run("env", smallDisks+"=yes", harness.BinaryEnv+"="+binary, os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=5m")
		if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
			t.Errorf("in a mount namespace: %v", err)
		}
		t.Logf("%s", out[:min(len(out), 8000)])
		return
	}
	t.Fatalf("this test needs a small disk, and nothing here may mount one: neither as root, nor in a user namespace, nor with sudo:\n%s",
		strings.Join(tried, "\n"))
}

// PostgreSQL says when its disk is full (SQLSTATE 53100), and that is an outage of its writes, not a verdict on anybody. A
// trigger says it here: the disk of the server belongs to all tests.
func TestPostgresDiskFull(t *testing.T) {
	beside(t)
	w := newWorld(t, harness.Postgres, 4)
	w.s.Run(t)
	w.populate(4)
	w.settle(time.Minute)
	w.s.Exec(t, `CREATE FUNCTION disk_full() RETURNS trigger LANGUAGE plpgsql AS
		$$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$`)
	for _, table := range harness.Tables() {
		w.s.Exec(t, "CREATE TRIGGER disk_full BEFORE INSERT OR UPDATE ON "+table+" EXECUTE FUNCTION disk_full()")
	}
	for _, p := range w.people() {
		s := p.live()[0]
		if status := p.refresh(t.Context(), s); status != lost {
			t.Errorf("a refresh on a full disk: %d", status)
		}
		if status := p.postReset(t.Context()); status != lost {
			t.Errorf("a reset on a full disk: %d", status)
		}
		p.list(t.Context(), s)
		p.get(t.Context(), "/v1/version")
	}
	for _, table := range harness.Tables() {
		w.s.Exec(t, "DROP TRIGGER disk_full ON "+table)
	}
	w.verify()
	w.check()
}
