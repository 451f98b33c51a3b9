package harness

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Balancer is the environment variable that selects the load balancer for replicas: "nginx", or if empty one of this
// package.
const Balancer = "TEST_BALANCER"

// Nginx starts nginx with the configuration of deploy/compose in front of some addresses, any of which gets any request. It returns its
// URL.
func Nginx(t testing.TB, addrs []string) string {
	t.Helper()
	own := FreeAddr(t)
	RunNginx(t, own, "", nginxConfig(t, own, addrs))
	return "http://" + own
}

// RunNginx starts nginx with directives of the main context and a site for the context http, waits until it listens at an address, and stops it when the test
// ends.
func RunNginx(t testing.TB, addr, directives, site string) {
	t.Helper()
	dir := t.TempDir()
	config := filepath.Join(dir, "nginx.conf")
	text := fmt.Sprintf("daemon off;\npid %s/pid;\nerror_log stderr warn;\n%s\nevents {}\nhttp {\naccess_log off;\n"+
		"client_body_temp_path %[1]s/body;\nproxy_temp_path %[1]s/proxy;\nfastcgi_temp_path %[1]s/fastcgi;\nuwsgi_temp_path %[1]s/uwsgi;\n"+
		"scgi_temp_path %[1]s/scgi;\n%[3]s}\n", dir, directives, site)
	if os.Getuid() == 0 {
		text = "user root;\n" + text
	}
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	program, err := exec.LookPath("nginx")
	if err != nil {
		program = "/usr/sbin/nginx"
	}
	cmd := exec.Command(program, "-c", config, "-p", dir)
	log := new(Buffer)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatalf("start nginx (the make targets that need it install it): %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("log of nginx:\n%s", log)
		}
	})
	waitListening(t, addr, log)
}

// waitListening waits until a process listens at an address.
func waitListening(t testing.TB, addr string, log *Buffer) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		connection, err := net.Dial("tcp", addr)
		if err == nil {
			_ = connection.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("nothing listens at %s: %v\n%s", addr, err, log)
		}
	}
}

// nginxConfig returns deploy/compose/nginx.conf with other addresses, selected at random for each request.
func nginxConfig(t testing.TB, own string, addrs []string) string {
	t.Helper()
	site, err := os.ReadFile(filepath.Join("..", "..", "deploy", "compose", "nginx.conf"))
	if err != nil {
		t.Fatal(err)
	}
	var servers strings.Builder
	servers.WriteString("    random;\n")
	for _, addr := range addrs {
		fmt.Fprintf(&servers, "    server %s max_fails=1 fail_timeout=2s;\n", addr)
	}
	theirs := regexp.MustCompile(`(?m)(^ +server \S+ max_fails.*\n)+`)
	if found := theirs.FindAllString(string(site), -1); len(found) != 1 || strings.Count(found[0], "\n") != 2 {
		t.Fatalf("deploy/compose/nginx.conf has other servers than two: %q", found)
	}
	changed := strings.Replace(theirs.ReplaceAllString(string(site), servers.String()), "listen 8000;", "listen "+own+";", 1)
	if !strings.Contains(changed, own) {
		t.Fatal("deploy/compose/nginx.conf does not listen on port 8000")
	}
	return changed
}

// FreeAddr returns an unused address, below the ephemeral ports of outgoing connections: a service can stop listening there
// and start again.
func FreeAddr(t testing.TB) string {
	t.Helper()
	for range 100 {
		addr := fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(10_000))
		if listener, err := net.Listen("tcp", addr); err == nil {
			if err := listener.Close(); err != nil {
				t.Fatal(err)
			}
			return addr
		}
	}
	t.Fatal("no port is free")
	return ""
}

// front sends every request to nginx.
type front struct {
	next http.RoundTripper
	host string
}

// RoundTrip sends the request. The response of nginx when a replica died during the request is returned as an error: it is not the service's.
func (f *front) RoundTrip(r *http.Request) (*http.Response, error) {
	there := r.Clone(r.Context())
	there.URL.Host = f.host
	response, err := f.next.RoundTrip(there)
	if err != nil || response.StatusCode != http.StatusBadGateway && response.StatusCode != http.StatusGatewayTimeout {
		return response, err
	}
	if err := response.Body.Close(); err != nil {
		return nil, fmt.Errorf("close the response of nginx: %w", err)
	}
	return nil, fmt.Errorf("nginx received no response: %s", response.Status)
}

// putNginxBefore gives replicas that have not started yet fixed addresses, and starts nginx in front of them.
func putNginxBefore(t testing.TB, members []*Service, next http.RoundTripper) http.RoundTripper {
	t.Helper()
	var addrs []string
	for _, m := range members {
		addr := FreeAddr(t)
		m.Env = append(m.Env, "AUTH_HTTP_ADDR="+addr)
		m.withdraw = func() {} // nginx notices by itself
		addrs = append(addrs, addr)
	}
	return &front{next: next, host: strings.TrimPrefix(Nginx(t, addrs), "http://")}
}
