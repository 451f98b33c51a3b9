//go:build replicas

package replicas

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/financelime/authorization/test/harness"
)

// PgBouncer in transaction mode, with fewer connections than the replicas have: they migrate at once through it, and serve.
func TestPgBouncer(t *testing.T) {
	s := harness.New(t, binary, contract, harness.Replicas, "AUTH_INVITE_CODE_REQUIRED=false")
	through := pgBouncer(t, s.DatabaseURL)
	for _, m := range s.Members() {
		m.Env = append(m.Env, "AUTH_DATABASE_URL="+through)
	}
	harness.RunTogether(t, s.Members()...)
	var walking sync.WaitGroup
	for range 3 {
		walking.Go(func() { newTraveller(t, s.Members()...).walk() })
	}
	walking.Wait()
	if n := s.Count(t, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"); n != 0 {
		t.Errorf("%d locks are left of the migrations", n)
	}
}

// pgBouncer starts one before a server and returns the URL that leads through it, as docs/database.md has it.
func pgBouncer(t *testing.T, database string) string {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	host, port, err := net.SplitHostPort(u.Host)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	own := listener.Addr().(*net.TCPAddr).Port
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "pgbouncer")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	config, users := filepath.Join(dir, "pgbouncer.ini"), filepath.Join(dir, "users.txt")
	write(t, users, `"postgres" ""`+"\n")
	write(t, config, fmt.Sprintf(`[databases]
* = host=%s port=%s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = trust
auth_file = %s
pool_mode = transaction
default_pool_size = 4
max_client_conn = 200
`, host, port, own, users))
	args := []string{config}
	if os.Getuid() == 0 { // it does not run as root
		for dir := dir; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
			if err := os.Chmod(dir, 0o755); err != nil { // another user has to read it
				t.Fatal(err)
			}
		}
		args = []string{"-u", "nobody", config}
	}
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		program = "/usr/sbin/pgbouncer"
	}
	cmd := exec.Command(program, args...)
	log := new(strings.Builder)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatalf("start PgBouncer (`make test-replicas` installs it): %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("log of PgBouncer:\n%s", log)
		}
	})
	u.Host = fmt.Sprintf("127.0.0.1:%d", own)
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("tcp", u.Host)
		if err == nil {
			_ = conn.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("PgBouncer does not listen: %v", err)
		}
	}
	return u.String() + "&default_query_exec_mode=exec"
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil { // PgBouncer is another user
		t.Fatal(err)
	}
}
