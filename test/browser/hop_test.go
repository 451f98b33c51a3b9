//go:build browser

package browser

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
)

// hop is a proxy that tests control through its own paths, which begin with /test/. It counts refreshes, can hold the response of one, and
// can remove request-id as some proxies do.
type hop struct {
	URL string

	mu        sync.Mutex
	strip     bool
	lose      bool                      // respond with 502 to changes of the password, after the service has responded
	answer    func(http.ResponseWriter) // not nil: responds to refreshes instead of the service, as gateways do
	refreshes int
	others    int      // other requests that change something
	held      chan any // not nil: hold the next response, and close this channel when it is held
	released  chan any // closed when that response may go on
}

func startHop(t testing.TB, target string) *hop {
	t.Helper()
	to, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	h := &hop{}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Host = r.In.Host
			r.Out.Header["X-Forwarded-For"] = r.In.Header["X-Forwarded-For"]
			h.count(r.Out)
		},
		ModifyResponse: h.hold,
		ErrorHandler:   func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /test/strip/{on}", func(_ http.ResponseWriter, r *http.Request) { h.setStrip(r.PathValue("on") == "true") })
	mux.HandleFunc("POST /test/lose/{on}", func(_ http.ResponseWriter, r *http.Request) { h.setLose(r.PathValue("on") == "true") })
	mux.HandleFunc("POST /test/hold", func(http.ResponseWriter, *http.Request) { h.holdNext() })
	mux.HandleFunc("POST /test/held", func(_ http.ResponseWriter, r *http.Request) { h.waitHeld(r) })
	mux.HandleFunc("POST /test/release", func(http.ResponseWriter, *http.Request) { h.release() })
	mux.HandleFunc("POST /test/counts", h.counts)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/test/") {
			mux.ServeHTTP(w, r)
			return
		}
		if answer := h.answerTo(r); answer != nil {
			answer(w)
			return
		}
		proxy.ServeHTTP(w, r) // without mux, which redirects odd paths
	}))
	t.Cleanup(server.Close)
	t.Cleanup(h.release)
	h.URL = server.URL
	return h
}

func (h *hop) count(out *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case strings.HasSuffix(out.URL.Path, "/refresh"):
		h.refreshes++
	case out.Method != http.MethodGet:
		h.others++
	}
	if h.strip {
		out.Header.Del("request-id")
	}
}

func (h *hop) counts(w http.ResponseWriter, _ *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	writeJSON(w, map[string]int{"refreshes": h.refreshes, "others": h.others})
}

func (h *hop) answerTo(r *http.Request) func(http.ResponseWriter) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if strings.HasSuffix(r.URL.Path, "/refresh") {
		return h.answer
	}
	return nil
}

func (h *hop) setAnswer(status int, contentType, body string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answer = func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func (h *hop) removeAnswer() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answer = nil
}

// seen returns how many requests that change something passed.
func (h *hop) seen() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.refreshes + h.others
}

func (h *hop) setStrip(on bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.strip = on
}

// holdNext holds the response of the next refresh, until release is called or the client is gone.
func (h *hop) holdNext() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.held, h.released = make(chan any), make(chan any)
}

// setLose makes the hop lose the responses to changes of the password.
func (h *hop) setLose(on bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lose = on
}

func (h *hop) loses(r *http.Request) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lose && r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/password")
}

func (h *hop) hold(r *http.Response) error {
	if h.loses(r.Request) {
		return errors.New("lost")
	}
	if !strings.HasSuffix(r.Request.URL.Path, "/refresh") {
		return nil
	}
	h.mu.Lock()
	held, released := h.held, h.released
	if held != nil {
		close(held)
	}
	h.held = nil // one response only
	h.mu.Unlock()
	if held == nil {
		return nil
	}
	select {
	case <-released:
	case <-r.Request.Context().Done():
	}
	return nil
}

func (h *hop) waitHeld(r *http.Request) {
	h.mu.Lock()
	held := h.held
	h.mu.Unlock()
	if held == nil {
		return
	}
	select {
	case <-held:
	case <-r.Context().Done():
	}
}

func (h *hop) release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.released != nil {
		close(h.released)
	}
	h.held, h.released = nil, nil
}

// dialTo returns a function that connects to one address, whatever the host.
func dialTo(dialer *net.Dialer, addr string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, network, addr)
	}
}

func writeJSON(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value)
}

func read(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	write(t, to, read(t, from))
}
