//go:build gateways

package gateways

import (
	"errors"
	"fmt"
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

	environment environment
	addr        string // host:port
	log         harness.Buffer
	cmd         *exec.Cmd
	ended       chan struct{}
}

// start starts the gateway in its own directory on a free port, and stops it when the test ends. Another process may take the port before
// the gateway listens on it, so start makes up to three attempts.
func (r *recipe) start(t testing.TB, env environment) *gateway {
	t.Helper()
	var err error
	for range 3 {
		env.dir, env.port = t.TempDir(), strings.TrimPrefix(harness.FreeAddr(t), "127.0.0.1:")
		r.copyTo(t, env)
		if r.prepare != nil {
			r.prepare(t, env)
		}
		if r.check != nil {
			runToEnd(t, r.check(env)...)
		}
		g := &gateway{recipe: r, environment: env, addr: "127.0.0.1:" + env.port}
		if err = g.run(env); err == nil {
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

// run starts the process and waits for a response of the service through it, because it may listen before it has loaded its routes.
func (g *gateway) run(env environment) error {
	command := g.command(env)
	g.cmd = exec.Command(command[0], command[1:]...)
	g.cmd.Dir, g.cmd.Stdout, g.cmd.Stderr = env.dir, &g.log, &g.log
	g.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + env.dir, "TMPDIR=" + env.dir}
	g.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that one signal ends it and its workers
	g.ended = make(chan struct{})
	if err := g.cmd.Start(); err != nil {
		close(g.ended)
		return fmt.Errorf("start %s: %w", g.name, err)
	}
	go func() {
		defer close(g.ended)
		_ = g.cmd.Wait()
	}()
	probe := &http.Client{Timeout: 5 * time.Second}
	for deadline := time.Now().Add(30 * time.Second); ; {
		response, err := probe.Get("http://" + g.addr + "/docs")
		if err == nil {
			_ = response.Body.Close()
			if response.Header.Get("request-id") != "" {
				return nil
			}
			err = fmt.Errorf("status %s", response.Status)
		}
		select {
		case <-g.ended:
			return errors.New("the gateway ended instead of listening")
		case <-time.After(20 * time.Millisecond): // between two checks
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("no response of the service through the gateway: %w", err)
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
	_ = syscall.Kill(-g.cmd.Process.Pid, syscall.SIGKILL) // any remaining process of the group
	<-g.ended
}

// clientAddr is the address that clients send from. The harness and the gateways use 127.0.0.1.
var clientAddr = netip.MustParseAddr("127.0.0.9")

// fixture is a gateway with a service and an upstream behind it.
type fixture struct {
	*gateway

	service  *harness.Service
	upstream *upstream
	contract *harness.Contract // records the responses through this gateway
}

func newFixture(t *testing.T, r *recipe) *fixture {
	t.Helper()
	contract, err := harness.NewContract()
	if err != nil {
		t.Fatal(err)
	}
	s := harness.Start(t, binary, contract, harness.SQLite, "AUTH_TRUSTED_PROXIES=127.0.0.1")
	up := newUpstream(t)
	g := r.start(t, environment{service: s.URL[len("http://"):], keys: s.URL, upstream: up.addr})
	return &fixture{gateway: g, service: s, upstream: up, contract: contract}
}

// serviceLogs reports whether the service's log contains the text. It waits up to 10 s, because the line is written after the response.
func (s *fixture) serviceLogs(text string) bool {
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(s.service.Log(), text); {
		if time.Now().After(deadline) {
			return false
		}
		time.Sleep(5 * time.Millisecond) // between two checks
	}
	return true
}
