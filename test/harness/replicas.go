package harness

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Replicas is the "engine" of three services on one PostgreSQL database; any of them gets any request.
const Replicas = "replicas"

const replicas = 3

// EachWay runs a test on both engines, and on replicas.
func EachWay(t *testing.T, test func(t *testing.T, engine string)) {
	t.Helper()
	for _, engine := range []string{SQLite, Postgres, Replicas} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			test(t, engine)
		})
	}
}

// spread sends each request to one of the replicas.
type spread struct {
	next http.RoundTripper

	mu    sync.Mutex
	hosts []string
}

// RoundTrip sends the request to a replica, or to another one if that does not listen.
func (s *spread) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := s.next.RoundTrip(s.to(r, ""))
	var network *net.OpError
	if err == nil || !errors.As(err, &network) || network.Op != "dial" {
		return response, err
	}
	if r.GetBody != nil {
		body, err := r.GetBody()
		if err != nil {
			return nil, fmt.Errorf("read the body again: %w", err)
		}
		r = r.Clone(r.Context())
		r.Body = body
	}
	return s.next.RoundTrip(s.to(r, network.Addr.String()))
}

// to returns the request for one of the replicas, except the one that did not respond.
func (s *spread) to(r *http.Request, not string) *http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	var hosts []string
	for _, host := range s.hosts {
		if host != "" && host != not {
			hosts = append(hosts, host)
		}
	}
	there := r.Clone(r.Context())
	there.URL.Host = hosts[rand.IntN(len(hosts))]
	return there
}

func (s *spread) set(i int, url string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hosts[i] = strings.TrimPrefix(url, "http://")
}

// replicate adds two replicas to a service that has not started yet. Its client sends each request to any of the three.
func (s *Service) replicate(t testing.TB, settings []string) {
	t.Helper()
	s.Env = append(s.Env, "AUTH_MAIL_URL=file:"+filepath.Join(s.Dir, "mail")) // one mailbox for all
	s.replicas = []*Service{s}
	for len(s.replicas) < replicas {
		r := &Service{Binary: s.Binary, Contract: s.Contract, Dir: t.TempDir(), DatabaseURL: s.DatabaseURL, HTTP: s.Contract.Client(t)}
		s.replicas = append(s.replicas, r)
	}
	env := s.Env
	for _, r := range s.replicas {
		r.Env = slices.Concat(env, settings)
	}
	transport := s.HTTP.Transport.(*validator)
	if os.Getenv(Balancer) == "nginx" {
		transport.next = putNginxBefore(t, s.replicas, transport.next)
		return
	}
	any3 := &spread{next: transport.next, hosts: make([]string, replicas)}
	transport.next = any3
	for i, r := range s.replicas {
		r.atStart = func() { any3.set(i, r.URL) }
		r.withdraw = func() { any3.set(i, "") }
	}
}

// Withdraw sends no more requests to a replica until it runs again.
func (s *Service) Withdraw() { s.withdraw() }

// Members returns the replicas of a service, beginning with itself; without replicas, only itself.
func (s *Service) Members() []*Service {
	if s.replicas == nil {
		return []*Service{s}
	}
	return s.replicas
}
