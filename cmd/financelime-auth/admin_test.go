package main

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/financelime/authorization/impl/mail"
)

// The mailbox answers to names that nobody can lead elsewhere; health and metrics answer to any.
func TestMailboxAnswersToItsOwnNames(t *testing.T) {
	t.Parallel()
	const loopback, network = "127.0.0.1:8081", "10.0.0.7:8081"
	for _, c := range []struct {
		configured, arrivedAt, host string
		answered                    bool
	}{
		{"127.0.0.1:8081", loopback, "localhost:8081", true},
		{"127.0.0.1:8081", loopback, "LOCALHOST", true},
		{"127.0.0.1:8081", loopback, "localhost.:8081", true},
		{"127.0.0.1:8081", loopback, "auth.localhost:8081", true},
		{"127.0.0.1:8081", loopback, "127.0.0.1:8081", true},
		{"127.0.0.1:8081", loopback, "127.0.0.2", true},
		{"127.0.0.1:8081", loopback, "[::1]:9000", true}, // a forwarded port
		{"127.0.0.1:8081", loopback, "[::1]", true},
		{"127.0.0.1:8081", loopback, "evil.example", false},
		{"127.0.0.1:8081", loopback, "evil.example:8081", false},
		{"127.0.0.1:8081", loopback, "localhost.evil.example", false},
		{"127.0.0.1:8081", loopback, "notlocalhost", false},
		{"127.0.0.1:8081", loopback, "127.0.0.1.evil.example", false},
		{"127.0.0.1:8081", loopback, "10.0.0.7", false},
		{"127.0.0.1:8081", loopback, "0.0.0.0:8081", false},
		{"127.0.0.1:8081", loopback, "", false},
		{"127.0.0.1:8081", loopback, ":8081", false},
		{"auth-admin:8081", network, "auth-admin:8081", true}, // it was named
		{"auth-admin:8081", network, "Auth-Admin", true},
		{"auth-admin:8081", network, "10.0.0.7:8081", true},
		{"auth-admin:8081", network, "evil.example", false},
		{"10.0.0.7:8081", network, "10.0.0.7:8081", true},
		{"10.0.0.7:8081", network, "10.0.0.8:8081", false},
		{"10.0.0.7:8081", network, "evil.example", false},
		{":8081", network, "10.0.0.7:8081", false}, // for probes
		{":8081", network, "localhost:8081", false},
		{"0.0.0.0:8081", network, "localhost", false},
		{"[::]:8081", network, "localhost", false},
		{"[::ffff:0.0.0.0]:8081", network, "10.0.0.7:8081", false},
		{"[::ffff:0.0.0.0]:8081", loopback, "localhost:8081", true},
		{":8081", loopback, "localhost:8081", true}, // kubectl port-forward
		{":8081", loopback, "evil.example:8081", false},
		{":8081", loopback, ":8081", false},
	} {
		served := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
		handler := adminHandler(&readiness{serving: new(atomic.Bool)}, served, &mail.Files{Dir: t.TempDir()}, c.configured)
		local, err := net.ResolveTCPAddr("tcp", c.arrivedAt)
		if err != nil {
			t.Fatal(err)
		}
		get := func(path string) int {
			r := httptest.NewRequestWithContext(context.WithValue(t.Context(), http.LocalAddrContextKey, local), http.MethodGet, path, nil)
			r.Host = c.host
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			return w.Code
		}
		for _, path := range []string{"/mail", "/mail.json"} {
			if want := map[bool]int{true: 200, false: 403}[c.answered]; get(path) != want {
				t.Errorf("%s at %s, Host %q, %s: %d, want %d", c.configured, c.arrivedAt, c.host, path, get(path), want)
			}
		}
		if c.answered == false && get("/mail/latest/text") != http.StatusForbidden {
			t.Errorf("Host %q reads the newest mail", c.host)
		}
		if get("/healthz") != 200 || get("/metrics") != 200 || get("/readyz") != 503 { // it is not serving
			t.Errorf("Host %q: probes are refused", c.host)
		}
	}
}

// The healthcheck asks the service and nobody else, and says what is missing.
func TestHealthcheck(t *testing.T) { //nolint:paralleltest // it sets the environment
	var asked atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer proxy.Close()
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"} {
		t.Setenv(name, proxy.URL)
	}
	t.Setenv("NO_PROXY", "")
	// Go asks no proxy about loopback addresses: this is another, to which nobody connects.
	if err := (healthcheck{}).Run(t.Context(), &Settings{AdminAddr: "255.255.255.255:1"}); err == nil || !strings.HasPrefix(err.Error(), "not running: ") {
		t.Error(err)
	}
	if n := asked.Load(); n > 0 {
		t.Errorf("the proxy was asked %d times", n)
	}

	for _, c := range []struct {
		status     int
		body, want string
	}{
		{200, "ready\n", ""},
		{503, "the database does not answer\n", "not ready: the database does not answer"},
		{503, "stopping", "not ready: stopping"},
		{503, "", "not ready: 503 Service Unavailable"},
		{500, "a\x1b[31m\nb", "not ready: a?[31m?b"},
		{302, "", "not ready: 302 Found"},
	} {
		service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", proxy.URL)
			w.WriteHeader(c.status)
			_, _ = w.Write([]byte(c.body))
		}))
		err := (healthcheck{}).Run(t.Context(), &Settings{AdminAddr: strings.TrimPrefix(service.URL, "http://")})
		if got := map[bool]func() string{true: func() string { return "" }, false: func() string { return err.Error() }}[err == nil](); got != c.want {
			t.Errorf("%d %q: %q, want %q", c.status, c.body, got, c.want)
		}
		service.Close()
	}
	if n := asked.Load(); n > 0 {
		t.Errorf("a redirection was followed")
	}
}
