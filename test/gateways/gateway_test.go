//go:build gateways

package gateways

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/financelime/authorization/test/harness"
)

// gateway is a running gateway.
type gateway struct {
	*recipe

	place place
	addr  string // host:port
	log   harness.Buffer
	cmd   *exec.Cmd
	ended chan struct{}
}

// start starts the gateway in a directory of its own and on a free port, and ends it with the test. Between the moment that a
// port was found free and the one that the gateway listens on it somebody else may take it; then there is another try.
func (r *recipe) start(t testing.TB, p place) *gateway {
	t.Helper()
	var err error
	for range 3 {
		p.dir, p.port = t.TempDir(), freePort(t)
		r.copyTo(t, p)
		if r.before != nil {
			r.before(t, p)
		}
		if r.check != nil {
			runToEnd(t, r.check(p)...)
		}
		g := &gateway{recipe: r, place: p, addr: "127.0.0.1:" + p.port}
		if err = g.run(p); err == nil {
			t.Cleanup(func() {
				g.stop(t)
				if t.Failed() {
					log := g.log.String()
					t.Logf("log of %s:\n%s", r.name, log[max(0, len(log)-4000):])
				}
			})
			return g
		}
		g.stop(t)
		t.Logf("%s did not start: %v\n%s", r.name, err, g.log.String())
	}
	t.Fatal(err)
	return nil
}

func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return fmt.Sprint(netip.MustParseAddrPort(l.Addr().String()).Port())
}

// run starts the process and waits until the service answers through it: it may listen before it knows its routes.
func (g *gateway) run(p place) error {
	command := g.command(p)
	g.cmd = exec.Command(command[0], command[1:]...)
	g.cmd.Dir, g.cmd.Stdout, g.cmd.Stderr = p.dir, &g.log, &g.log
	g.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + p.dir, "TMPDIR=" + p.dir}
	g.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // with its workers it is ended as one
	g.ended = make(chan struct{})
	if err := g.cmd.Start(); err != nil {
		close(g.ended)
		return fmt.Errorf("start %s: %w", g.name, err)
	}
	go func() {
		defer close(g.ended)
		_ = g.cmd.Wait()
	}()
	hurried := &http.Client{Timeout: 5 * time.Second}
	for deadline := time.Now().Add(30 * time.Second); ; {
		response, err := hurried.Get("http://" + g.addr + "/docs")
		if err == nil {
			_ = response.Body.Close()
			if response.Header.Get("request-id") != "" {
				return nil
			}
			err = fmt.Errorf("it answers %s", response.Status)
		}
		select {
		case <-g.ended:
			return errors.New("the gateway ended instead of listening")
		case <-time.After(20 * time.Millisecond): // between two looks
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the service does not answer through the gateway: %w", err)
		}
	}
}

func (g *gateway) stop(t testing.TB) {
	t.Helper()
	if g.cmd.Process == nil {
		return
	}
	_ = syscall.Kill(-g.cmd.Process.Pid, syscall.SIGTERM)
	select {
	case <-g.ended:
	case <-time.After(10 * time.Second):
	}
	_ = syscall.Kill(-g.cmd.Process.Pid, syscall.SIGKILL) // whoever is left of the group
	<-g.ended
}

// The addresses that requests come from: a client's, and the one that the harness and the gateways themselves have.
var clientAddr = netip.MustParseAddr("127.0.0.9")

// scene is a gateway with a service and an upstream behind it.
type scene struct {
	*gateway

	service  *harness.Service
	upstream *upstream
	contract *harness.Contract // what this gateway's answers have shown
}

func newScene(t *testing.T, r *recipe) *scene {
	t.Helper()
	contract, err := harness.NewContract()
	if err != nil {
		t.Fatal(err)
	}
	s := harness.Start(t, binary, contract, harness.SQLite, "AUTH_TRUSTED_PROXIES=127.0.0.1")
	up := newUpstream(t)
	g := r.start(t, place{service: s.URL[len("http://"):], keys: s.URL, upstream: up.addr})
	return &scene{gateway: g, service: s, upstream: up, contract: contract}
}

// serviceLogs tells whether the service's log has the text, for which it waits a while: the line is written after the answer.
func (s *scene) serviceLogs(text string) bool {
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(s.service.Log(), text); {
		if time.Now().After(deadline) {
			return false
		}
		time.Sleep(5 * time.Millisecond) // between two looks
	}
	return true
}
