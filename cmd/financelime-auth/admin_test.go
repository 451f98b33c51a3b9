package main

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/financelime/authorization/impl/mail"
)

// TestMailboxRequiresOwnHost checks that the mailbox accepts only hosts that cannot be made to point to another machine, and that health
// checks and metrics accept any host.
func TestMailboxRequiresOwnHost(t *testing.T) {
	t.Parallel()
	const loopback, network = "127.0.0.1:8081", "10.0.0.7:8081"
	for _, c := range []struct {
		configured, arrivedAt, host string
		accepted                    bool
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
		{"auth-admin:8081", network, "auth-admin:8081", true}, // configured
		{"auth-admin:8081", network, "Auth-Admin", true},
		{"auth-admin:8081", network, "10.0.0.7:8081", true},
		{"auth-admin:8081", network, "evil.example", false},
		{"10.0.0.7:8081", network, "10.0.0.7:8081", true},
		{"10.0.0.7:8081", network, "10.0.0.8:8081", false},
		{"10.0.0.7:8081", network, "evil.example", false},
		{":8081", network, "10.0.0.7:8081", false}, // only for probes
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
			if want := map[bool]int{true: 200, false: 403}[c.accepted]; get(path) != want {
				t.Errorf("%s at %s, Host %q, %s: %d, want %d", c.configured, c.arrivedAt, c.host, path, get(path), want)
			}
		}
		if !c.accepted && get("/mail/latest/text") != http.StatusForbidden {
			t.Errorf("Host %q can read the newest mail", c.host)
		}
		if get("/healthz") != 200 || get("/metrics") != 200 || get("/readyz") != 503 { // the service is not ready
			t.Errorf("Host %q: probes are refused", c.host)
		}
	}
}
