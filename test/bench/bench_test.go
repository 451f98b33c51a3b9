// Package bench measures the built service, without the race detector. It asserts nothing:
//
//	test/with-postgres go test -bench=. ./test/bench/
package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/api/client"
	"github.com/financelime/authorization/test/harness"
)

// build builds the service like a release.
func build(b *testing.B) string {
	b.Helper()
	binary := filepath.Join(b.TempDir(), "financelime-auth")
	cmd := exec.CommandContext(b.Context(), "go", "build", "-trimpath", "-o", binary, "./cmd/financelime-auth")
	cmd.Dir = filepath.Join("..", "..")
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	return binary
}

func contract(b *testing.B) *harness.Contract {
	b.Helper()
	c, err := harness.NewContract()
	if err != nil {
		b.Fatal(err)
	}
	return c
}

// BenchmarkStart measures the time from an empty directory to the first response: secret, database, schema, signing key, first invite.
// It also reports the resident memory of the idle service.
func BenchmarkStart(b *testing.B) {
	binary, openapi := build(b), contract(b)
	var memory float64
	for b.Loop() {
		b.StopTimer()
		s := harness.New(b, binary, openapi, harness.SQLite)
		b.StartTimer()
		s.Run(b)
		get(b, s, "/v1/version")
		b.StopTimer()
		memory = max(memory, residentMiB(b, s))
		s.Stop(b)
		b.StartTimer()
	}
	b.ReportMetric(memory, "MiB-idle")
	b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/start")
}

// residentMiB returns the process's resident memory; 0 on systems without /proc.
func residentMiB(b *testing.B, s *harness.Service) float64 {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.PID()))
	if err != nil {
		return 0
	}
	match := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(status)
	kib, err := strconv.ParseFloat(string(match[1]), 64)
	if err != nil {
		b.Fatal(err)
	}
	return kib / 1024
}

func get(b *testing.B, s *harness.Service, path string) {
	b.Helper()
	request, err := http.NewRequestWithContext(b.Context(), http.MethodGet, s.URL+path, nil)
	if err != nil {
		b.Fatal(err)
	}
	request.Header.Set("request-id", uuid.NewString())
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		b.Fatal(err)
	}
	if err := response.Body.Close(); err != nil || response.StatusCode != http.StatusOK {
		b.Fatalf("%s: %d %v", path, response.StatusCode, err)
	}
}

// BenchmarkRefresh measures refreshes of 64 sessions over HTTP, on each engine, with client and service on one machine.
func BenchmarkRefresh(b *testing.B) {
	binary, openapi := build(b), contract(b)
	for _, engine := range []string{harness.SQLite, harness.Postgres} {
		b.Run(engine, func(b *testing.B) {
			s := harness.Start(b, binary, openapi, engine, "AUTH_INVITE_CODE_REQUIRED=false")
			tokens := logins(b, s, benchEmail, 64)
			inParallel(b, "refreshes/s", func(c *http.Client, i, _ int) error {
				i %= len(tokens)
				tokens[i] = refresh(b, c, s.URL, tokens[i])
				return nil
			})
		})
	}
}

// BenchmarkReplicas measures the refreshes of BenchmarkRefresh, spread over three services on one PostgreSQL. Because everything runs on one
// machine, it shows the overhead of more replicas.
func BenchmarkReplicas(b *testing.B) {
	binary, openapi := build(b), contract(b)
	s := harness.Start(b, binary, openapi, harness.Replicas, "AUTH_INVITE_CODE_REQUIRED=false")
	tokens := logins(b, s, benchEmail, 64)
	var urls []string
	for _, m := range s.Members() {
		urls = append(urls, m.URL)
	}
	inParallel(b, "refreshes/s", func(c *http.Client, i, iteration int) error {
		i %= len(tokens)
		tokens[i] = refresh(b, c, urls[iteration%len(urls)], tokens[i])
		return nil
	})
}

// BenchmarkLogin measures logins of one user over HTTP. Each computes a password hash and creates a session, which ends the oldest one.
func BenchmarkLogin(b *testing.B) {
	binary, openapi := build(b), contract(b)
	for _, engine := range []string{harness.SQLite, harness.Postgres} {
		b.Run(engine, func(b *testing.B) {
			s := harness.Start(b, binary, openapi, engine, "AUTH_INVITE_CODE_REQUIRED=false")
			logins(b, s, benchEmail, 1)
			login := client.CreateAccessTokenRequest{
				Email: benchEmail, Password: s.WaitMails(b, benchEmail, 2)[0].Password(b), ClientID: "bench",
			}
			inParallel(b, "logins/s", func(c *http.Client, _, _ int) error {
				return send(c, http.MethodPost, s.URL+"/v1/oauth/create", login, nil)
			})
		})
	}
}

// BenchmarkSignUp measures sign-ups over HTTP, while the worker mails their links.
func BenchmarkSignUp(b *testing.B) {
	binary, openapi := build(b), contract(b)
	for _, engine := range []string{harness.SQLite, harness.Postgres} {
		b.Run(engine, func(b *testing.B) {
			s := harness.Start(b, binary, openapi, engine, "AUTH_INVITE_CODE_REQUIRED=false")
			inParallel(b, "sign-ups/s", func(c *http.Client, _, _ int) error {
				body := client.SignUpRequest{Email: uuid.NewString() + "@example.com", Language: "en"}
				return send(c, http.MethodPost, s.URL+"/v1/user/signup", body, nil)
			})
		})
	}
}

// inParallel runs do repeatedly in 16 goroutines for each core, with the number of the goroutine and of its iteration.
func inParallel(b *testing.B, unit string, do func(c *http.Client, caller, iteration int) error) {
	b.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	defer transport.CloseIdleConnections()
	c := &http.Client{Transport: transport, Timeout: time.Minute}
	var next atomic.Int64
	b.SetParallelism(16)
	b.ResetTimer() // do not measure the start and the logins
	b.RunParallel(func(pb *testing.PB) {
		caller := int(next.Add(1) - 1)
		for iteration := 0; pb.Next(); iteration++ {
			if err := do(c, caller, iteration); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), unit)
}

// benchEmail is the address of the user whose sessions are refreshed.
const benchEmail = "bench@example.com"

// logins creates an account with an address and n sessions, and returns the refresh tokens.
func logins(b *testing.B, s *harness.Service, email string, n int) []string {
	b.Helper()

	call := func(method, path string, body, target any) {
		b.Helper()
		if err := send(http.DefaultClient, method, s.URL+path, body, target); err != nil {
			b.Fatal(err)
		}
	}
	call(http.MethodPost, "/v1/user/signup", client.SignUpRequest{Email: email, Language: "en"}, nil)
	call(http.MethodGet, s.WaitMails(b, email, 1)[0].Link(b).RequestURI(), nil, nil)
	password := s.WaitMails(b, email, 2)[0].Password(b)
	tokens := make([]string, n)
	for i := range tokens {
		var session client.AccessTokenResponse
		call(http.MethodPost, "/v1/oauth/create", client.CreateAccessTokenRequest{Email: email, Password: password, ClientID: "bench"}, &session)
		tokens[i] = session.RefreshToken
	}
	return tokens
}

func refresh(b *testing.B, c *http.Client, url, token string) string {
	b.Helper()
	var session client.AccessTokenResponse
	err := send(c, http.MethodPut, url+"/v1/oauth/refresh", client.RefreshAccessTokenRequest{RefreshToken: token}, &session)
	if err != nil {
		b.Error(err)
	}
	return session.RefreshToken
}

func send(c *http.Client, method, url string, body, target any) error {
	var content bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&content).Encode(body); err != nil {
			return fmt.Errorf("encode the body: %w", err)
		}
	}
	request, err := http.NewRequest(method, url, &content)
	if err != nil {
		return fmt.Errorf("create the request: %w", err)
	}
	request.Header.Set("Request-Id", uuid.NewString())
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json")
	response, err := c.Do(request)
	if err != nil {
		return fmt.Errorf("send the request: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode >= http.StatusMultipleChoices {
		return fmt.Errorf("%s %s: %s", method, strings.SplitN(url, "?", 2)[0], response.Status)
	}
	if target == nil {
		_, err := io.Copy(io.Discard, response.Body) // otherwise the connection is not reused
		return err                                   //nolint:wrapcheck // the error is clear without context
	}
	if err := json.NewDecoder(response.Body).Decode(target); err != nil {
		return fmt.Errorf("decode the response: %w", err)
	}
	return nil
}
