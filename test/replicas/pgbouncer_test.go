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

// TestPgBouncer runs replicas through PgBouncer in transaction mode, with fewer server connections than the replicas open. They run
// migrations at the same time and serve requests.
func TestPgBouncer(t *testing.T) {
	s := harness.New(t, binary, contract, harness.Replicas, "AUTH_INVITE_CODE_REQUIRED=false")
	through := pgBouncer(t, s.DatabaseURL)
	for _, m := range s.Members() {
		m.Env = append(m.Env, "AUTH_DATABASE_URL="+through)
	}
	harness.RunTogether(t, s.Members()...)
	var running sync.WaitGroup
	for range 3 {
		running.Go(func() { newUser(t, s.Members()...).journey() })
	}
	running.Wait()
	if n := s.Count(t, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"); n != 0 {
		t.Errorf("the migrations have left %d locks", n)
	}
}

// pgBouncer starts PgBouncer in front of a server and returns the database URL through it, as documented in docs/database.md.
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
	if os.Getuid() == 0 { // PgBouncer does not run as root
		for dir := dir; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
			if err := os.Chmod(dir, 0o755); err != nil { // so that the other user can read it
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
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil { // readable for PgBouncer's user
		t.Fatal(err)
	}
}
