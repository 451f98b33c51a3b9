//go:build replicas

package replicas

import (
	"strings"
	"sync"
	"testing"

	"github.com/financelime/authorization/test/harness"
)

// Three replicas behind nginx, with the configuration of deploy/compose: people go their ways, each request to whichever replica, and
// what one of them has ended no other one goes on with.
func TestBehindNginx(t *testing.T) {
	s := harness.New(t, binary, contract, harness.Replicas, "AUTH_INVITE_CODE_REQUIRED=false", "AUTH_TRUSTED_PROXIES=127.0.0.1")
	harness.RunTogether(t, s.Members()...)
	var addrs []string
	for _, m := range s.Members() {
		addrs = append(addrs, strings.TrimPrefix(m.URL, "http://"))
	}
	front := harness.Nginx(t, addrs)
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
