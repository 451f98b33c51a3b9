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

// upstream is the service that a gateway protects. It records the requests.
type upstream struct {
	addr string

	mu       sync.Mutex
	received []received
}

// received is a request as the upstream received it.
type received struct {
	method, target, body string
	header               http.Header
}

// needsAuthentication is how a service behind the gateway asks for a recent authentication, as docs/gateway.md describes.
const needsAuthentication = `Bearer error="insufficient_user_authentication", max_age=600`

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
	u.received = append(u.received, received{method: r.Method, target: r.RequestURI, body: string(body), header: r.Header.Clone()})
	u.mu.Unlock()
	status := http.StatusOK
	_, _ = fmt.Sscanf(r.URL.Query().Get("status"), "%d", &status)
	w.Header().Set("Content-Type", "text/plain")
	if status == http.StatusForbidden {
		w.Header().Set("WWW-Authenticate", needsAuthentication)
	}
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "%d of the upstream", status)
}

// find returns the requests whose target or headers contain a marker.
func (u *upstream) find(marker string) []received {
	u.mu.Lock()
	defer u.mu.Unlock()
	var found []received
	for _, a := range u.received {
		if strings.Contains(a.target+fmt.Sprint(a.header), marker) {
			found = append(found, a)
		}
	}
	return found
}

// count returns the number of received requests.
func (u *upstream) count() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.received)
}
