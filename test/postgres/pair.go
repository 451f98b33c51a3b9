package postgres

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Pair is a primary and a synchronous standby, which receives every commit before it is acknowledged. Both stop when the test ends.
type Pair struct {
	t                testing.TB
	dir, bin         string
	run              *syscall.SysProcAttr
	primary, standby *member
}

// member is one server of a pair.
type member struct {
	port int
	cmd  *exec.Cmd
	log  bytes.Buffer
	once sync.Once
}

// NewPair starts the two servers, from the binaries of this machine.
func NewPair(t testing.TB) *Pair {
	t.Helper()
	p := &Pair{t: t, bin: binaries(t)}
	var err error
	// A short path, unlike t.TempDir: the path of a socket is limited to about 100 bytes.
	if p.dir, err = os.MkdirTemp("", "pg."); err != nil { //nolint:usetesting // as above
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(p.dir) })
	p.run = p.unprivileged()
	p.do("initdb", "-D", "primary", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C")
	p.primary = p.start("primary")
	p.do("pg_basebackup", "-D", "standby", "-R", "-c", "fast", "-d",
		fmt.Sprintf("host=127.0.0.1 port=%d user=postgres application_name=standby", p.primary.port))
	p.standby = p.start("standby")
	// After the base backup, so that the promoted standby does not have this setting and does not wait for a standby.
	do(t, p.primary.url(), "ALTER SYSTEM SET synchronous_standby_names = 'standby'")
	do(t, p.primary.url(), "SELECT pg_reload_conf()")
	p.until("the standby is synchronous", p.primary, "SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = 'sync'")
	return p
}

// URL returns a URL that names both servers and selects the writable one.
func (p *Pair) URL() string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d,127.0.0.1:%d/postgres?sslmode=disable&target_session_attrs=read-write",
		p.primary.port, p.standby.port)
}

// KillPrimary kills the primary, like a loss of power.
func (p *Pair) KillPrimary() {
	p.t.Helper()
	p.primary.end(syscall.SIGKILL) // its child processes notice this and exit
}

// Promote promotes the standby, and returns when it accepts writes.
func (p *Pair) Promote() {
	p.t.Helper()
	do(p.t, p.standby.url(), "SELECT pg_promote()")
	p.until("the standby accepts writes", p.standby, "SELECT NOT pg_is_in_recovery()")
}

func (m *member) url() string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", m.port)
}

func (m *member) end(signal os.Signal) {
	m.once.Do(func() {
		_ = m.cmd.Process.Signal(signal)
		_ = m.cmd.Wait()
	})
}

// unprivileged returns the user that runs the servers, because PostgreSQL does not run as root; nil if the process is not root.
func (p *Pair) unprivileged() *syscall.SysProcAttr {
	p.t.Helper()
	if os.Getuid() != 0 {
		return nil
	}
	account, err := user.Lookup("postgres")
	if err != nil {
		account, err = user.Lookup("nobody")
	}
	if err != nil {
		p.t.Fatal(err)
	}
	uid, err := strconv.ParseUint(account.Uid, 10, 32)
	if err != nil {
		p.t.Fatal(err)
	}
	gid, err := strconv.ParseUint(account.Gid, 10, 32)
	if err != nil {
		p.t.Fatal(err)
	}
	if err := os.Chown(p.dir, int(uid), int(gid)); err != nil {
		p.t.Fatal(err)
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
}

func (p *Pair) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(p.bin, name), args...)
	cmd.Dir, cmd.SysProcAttr, cmd.Env = p.dir, p.run, []string{"PATH=" + os.Getenv("PATH"), "HOME=" + p.dir, "TZ=UTC"}
	return cmd
}

func (p *Pair) do(name string, args ...string) {
	p.t.Helper()
	if out, err := p.command(name, args...).CombinedOutput(); err != nil {
		p.t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

func (p *Pair) start(data string) *member {
	p.t.Helper()
	for range 5 { // another process may take the free port
		m := &member{port: freePort(p.t)}
		m.cmd = p.command("postgres", "-D", data, "-p", strconv.Itoa(m.port), "-c", "listen_addresses=127.0.0.1",
			"-c", "unix_socket_directories=", "-c", "max_connections=200")
		m.cmd.Stdout, m.cmd.Stderr = &m.log, &m.log
		if err := m.cmd.Start(); err != nil {
			p.t.Fatal(err)
		}
		p.t.Cleanup(func() { m.end(syscall.SIGQUIT) })
		if p.becomesTrue(m, "SELECT true", 30*time.Second) {
			return m
		}
		m.end(syscall.SIGQUIT)
		p.t.Logf("%s did not start:\n%s", data, m.log.String())
	}
	p.t.Fatal("PostgreSQL does not start")
	return nil
}

// until waits until a query of one boolean returns true.
func (p *Pair) until(what string, m *member, query string) {
	p.t.Helper()
	if !p.becomesTrue(m, query, time.Minute) {
		p.t.Fatalf("after a minute still not: %s", what)
	}
}

func (p *Pair) becomesTrue(m *member, query string, limit time.Duration) (result bool) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	for ctx.Err() == nil {
		if conn, err := pgx.Connect(ctx, m.url()); err == nil {
			err = conn.QueryRow(ctx, query).Scan(&result)
			_ = conn.Close(ctx)
			if err == nil && result {
				return true
			}
		}
		time.Sleep(20 * time.Millisecond) // between two checks
	}
	return false
}

func freePort(t testing.TB) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

// binaries returns the directory of the newest installed PostgreSQL; test/with-postgres installs one.
func binaries(t testing.TB) string {
	t.Helper()
	var found []string
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin", "/usr/local/opt/postgresql*/bin"} {
		matches, _ := filepath.Glob(filepath.Join(pattern, "pg_basebackup"))
		slices.Sort(matches)
		found = append(found, matches...)
	}
	if len(found) > 0 {
		return filepath.Dir(found[len(found)-1])
	}
	if path, err := exec.LookPath("pg_basebackup"); err == nil {
		return filepath.Dir(path)
	}
	t.Fatal("PostgreSQL is not installed: run `make test`, which installs it, or install it yourself")
	return ""
}
