//go:build gateways

package gateways

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// upstream is what a gateway protects. It remembers what it was asked.
type upstream struct {
	addr string

	mu    sync.Mutex
	asked []asked
}

// asked is one request as it arrived.
type asked struct {
	method, target, body string
	header               http.Header
}

func newUpstream(t testing.TB) *upstream {
	u := &upstream{}
	server := httptest.NewServer(u)
	t.Cleanup(server.Close)
	u.addr = server.Listener.Addr().String()
	return u
}

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	u.mu.Lock()
	u.asked = append(u.asked, asked{method: r.Method, target: r.RequestURI, body: string(body), header: r.Header.Clone()})
	u.mu.Unlock()
	status := http.StatusOK
	_, _ = fmt.Sscanf(r.URL.Query().Get("answer"), "%d", &status)
	w.Header().Set("Content-Type", "text/plain")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "%d of the upstream", status)
}

// find returns the requests whose target or headers have the mark.
func (u *upstream) find(mark string) []asked {
	u.mu.Lock()
	defer u.mu.Unlock()
	var found []asked
	for _, a := range u.asked {
		if strings.Contains(a.target+fmt.Sprint(a.header), mark) {
			found = append(found, a)
		}
	}
	return found
}

// count is how many requests have arrived.
func (u *upstream) count() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.asked)
}
