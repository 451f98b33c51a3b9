//go:build replicas

package replicas

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/test/harness"
)

// Three replicas behind nginx, with the configuration of deploy/compose: people go their ways, each request to whichever replica, and
// what one of them has ended no other one goes on with.
func TestBehindNginx(t *testing.T) {
	s := harness.New(t, binary, contract, harness.Replicas, "AUTH_INVITE_CODE_REQUIRED=false", "AUTH_TRUSTED_PROXIES=127.0.0.1")
	harness.RunTogether(t, s.Members()...)
	front := nginx(t, s.Members())
	var walking sync.WaitGroup
	for range 6 {
		walking.Go(func() {
			v := newTraveller(t, s)
			v.front = front
			v.walk()
		})
	}
	walking.Wait()
	for i, m := range s.Members() {
		if n := strings.Count(m.Log(), `"msg":"request"`); n < 10 {
			t.Errorf("replica %d had only %d requests", i, n)
		}
	}
}

// nginx starts one before some services and returns its URL.
func nginx(t *testing.T, services []*harness.Service) string {
	t.Helper()
	site, err := os.ReadFile(filepath.Join("..", "..", "deploy", "compose", "nginx.conf"))
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	own := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	var servers strings.Builder
	for _, s := range services {
		fmt.Fprintf(&servers, "    server %s max_fails=1 fail_timeout=2s;\n", strings.TrimPrefix(s.URL, "http://"))
	}
	theirs := regexp.MustCompile(`(?m)(^ +server \S+ max_fails.*\n)+`)
	if found := theirs.FindAllString(string(site), -1); len(found) != 1 || strings.Count(found[0], "\n") != 2 {
		t.Fatalf("deploy/compose/nginx.conf has other servers than two: %q", found)
	}
	changed := strings.Replace(theirs.ReplaceAllString(string(site), servers.String()), "listen 8000;", "listen "+own+";", 1)
	if !strings.Contains(changed, own) {
		t.Fatal("deploy/compose/nginx.conf does not listen on port 8000")
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "nginx.conf")
	write(t, config, fmt.Sprintf("daemon off;\npid %s/pid;\nerror_log stderr warn;\nevents {}\nhttp {\naccess_log off;\n"+
		"client_body_temp_path %[1]s/body;\nproxy_temp_path %[1]s/proxy;\nfastcgi_temp_path %[1]s/fastcgi;\nuwsgi_temp_path %[1]s/uwsgi;\n"+
		"scgi_temp_path %[1]s/scgi;\n%s}\n", dir, changed))
	if os.Getuid() == 0 {
		write(t, config, "user root;\n"+read(t, config))
	}
	program, err := exec.LookPath("nginx")
	if err != nil {
		program = "/usr/sbin/nginx"
	}
	cmd := exec.Command(program, "-c", config, "-p", dir)
	log := new(strings.Builder)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatalf("start nginx (`make test-replicas` installs it): %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("log of nginx:\n%s", log)
		}
	})
	front := "http://" + own
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, front+"/v1/version", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("request-id", uuid.NewString())
		response, err := http.DefaultClient.Do(request)
		if err == nil {
			_ = response.Body.Close()
			return front
		}
		if time.Now().After(deadline) {
			t.Fatalf("nginx does not answer: %v", err)
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
