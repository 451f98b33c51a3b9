package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// TestHealthcheck checks that the healthcheck connects only to the service, without a proxy or a redirect, and prints the reason.
func TestHealthcheck(t *testing.T) { //nolint:paralleltest // it sets the environment
	var requests atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests.Add(1) }))
	defer proxy.Close()
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"} {
		t.Setenv(name, proxy.URL)
	}
	t.Setenv("NO_PROXY", "")
	// Go never uses a proxy for loopback addresses. This is another address, to which no connection is possible.
	if err := (healthcheck{}).Run(t.Context(), &Settings{AdminAddr: "255.255.255.255:1"}); err == nil || !strings.HasPrefix(err.Error(), "not running: ") {
		t.Error(err)
	}
	if n := requests.Load(); n > 0 {
		t.Errorf("the proxy got %d requests", n)
	}

	for _, c := range []struct {
		status     int
		body, want string
	}{
		{200, "ready\n", ""},
		{503, "the database does not respond\n", "not ready: the database does not respond"},
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
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%d %q: %q, want %q", c.status, c.body, got, c.want)
		}
		service.Close()
	}
	if n := requests.Load(); n > 0 {
		t.Errorf("a redirect was followed")
	}
}
