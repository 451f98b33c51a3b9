//go:build replicas

package replicas

import (
	"strings"
	"sync"
	"testing"

	"github.com/financelime/authorization/test/harness"
)

// TestBehindNginx runs three replicas behind nginx, with the configuration of deploy/compose. Users complete their journeys, with each
// request to any replica. A session that one replica has ended is ended on all of them.
func TestBehindNginx(t *testing.T) {
	s := harness.New(t, binary, contract, harness.Replicas, "AUTH_INVITE_CODE_REQUIRED=false", "AUTH_TRUSTED_PROXIES=127.0.0.1")
	harness.RunTogether(t, s.Members()...)
	var addrs []string
	for _, m := range s.Members() {
		addrs = append(addrs, strings.TrimPrefix(m.URL, "http://"))
	}
	front := harness.Nginx(t, addrs)
	var running sync.WaitGroup
	for range 6 {
		running.Go(func() {
			u := newUser(t, s)
			u.front = front
			u.journey()
		})
	}
	running.Wait()
	for i, m := range s.Members() {
		if n := strings.Count(m.Log(), `"msg":"request"`); n < 10 {
			t.Errorf("replica %d received only %d requests", i, n)
		}
	}
}
