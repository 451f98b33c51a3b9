package dev

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestAllowsHost expects the names and addresses by which a developer reaches the service, and no name that a page of the internet can have.
func TestAllowsHost(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]bool{
		"": true, "localhost": true, "localhost:8080": true, "LOCALHOST.:8080": true, "auth.localhost": true, "127.0.0.1:8080": true, "[::1]:8080": true,
		"[::1]": true, "10.0.2.2:8080": true, "192.168.0.7": true, "[fe80::1]:8080": true, "auth:8080": true, "host.docker.internal:8080": true,
		"laptop.local:8080": true, "auth.default.svc.cluster.local": true, "auth.example.test": true,

		"evil.com": false, "evil.com:8080": false, "localhost.evil.com:8080": false, "127.0.0.1.evil.com": false, "127.0.0.1.nip.io:8080": false,
		"EVIL.COM.": false, "[evil.com]:8080": false, "auth.example.com": false, "abc.ngrok-free.app": false,
		"localhost@evil.com": false, "evil.com:localhost": false, "localtest.me": false, "notlocal": true, "evil.notlocal": false, "127.1.evil": false,
	} {
		if got := AllowsHost(host); got != want {
			t.Errorf("%q: %v, want %v", host, got, want)
		}
	}
}

// TestOtherHosts expects a page that points its own name to this machine to reach nothing.
func TestOtherHosts(t *testing.T) {
	t.Parallel()
	arrived := 0
	h := &Handler{next: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { arrived++ }), seed: new(seed)}
	for host, want := range map[string]int{"evil.com:8080": http.StatusForbidden, "localhost:8080": http.StatusOK} {
		r := httptest.NewRequest(http.MethodGet, "/v1/version", nil)
		r.Host = host
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != want || w.Header().Get(Header) != "true" {
			t.Errorf("%s: %d, %v", host, w.Code, w.Header())
		}
	}
	if arrived != 1 {
		t.Errorf("%d requests arrived", arrived)
	}
}
