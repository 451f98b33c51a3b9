// Package harness runs the built service as users do, and validates every response against openapi.yaml.
package harness

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/financelime/authorization/api/client"
	"github.com/financelime/authorization/test/postgres"
)

// The engines that every test of the service runs on.
const (
	SQLite   = "sqlite"
	Postgres = "postgres"
)

// EachEngine runs a test on both engines.
func EachEngine(t *testing.T, test func(t *testing.T, engine string)) {
	t.Helper()
	for _, engine := range []string{SQLite, Postgres} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			test(t, engine)
		})
	}
}

// RaceOptions makes a process with the race detector exit soon after its work. By default it sleeps for a second first.
const RaceOptions = "GORACE=atexit_sleep_ms=100"

// Build builds the service into a directory and returns the path of the binary. The service has the race detector if the test has it.
func Build(dir string) (string, error) {
	binary := filepath.Join(dir, "financelime-auth")
	_, file, _, _ := runtime.Caller(0)
	root := filepath.Join(filepath.Dir(file), "..", "..")
	args := []string{"build", "-o", binary}
	if raceDetector {
		flags, err := exec.Command(filepath.Join(root, "test", "race-flags")).Output()
		if err != nil {
			return "", fmt.Errorf("flags of the race detector: %w", err)
		}
		args = append(args, strings.Fields(string(flags))...)
	}
	cmd := exec.Command("go", append(args, "./cmd/financelime-auth")...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the service: %w\n%s", err, out)
	}
	return binary, nil
}

// Service is a running service, or one that was stopped.
type Service struct {
	Binary   string
	Contract *Contract

	Dir         string // its working directory
	DatabaseURL string
	Env         []string // everything that it runs with
	URL, Admin  string   // http://127.0.0.1:PORT

	HTTP *http.Client                // validates every response
	API  *client.ClientWithResponses // the generated client over HTTP

	StartTook time.Duration // from the start of the process until it was ready

	stdout, stderr Buffer
	cmd            *exec.Cmd
	exited         chan struct{}
	exitErr        error
	exitChecked    bool // the test knows how the process ended
	endsWithTest   bool

	replicas []*Service // all of them, if there are several
	atStart  func()     // if not nil: called when it has started
	withdraw func()
}

// Start starts a service with a new directory and database on an engine, waits until it is ready, and stops it when the test
// ends. Settings are NAME=value; the service does not inherit the environment.
func Start(t testing.TB, binary string, contract *Contract, engine string, settings ...string) *Service {
	t.Helper()
	s := New(t, binary, contract, engine, settings...)
	RunTogether(t, s.Members()...)
	return s
}

// New prepares a service without starting it.
func New(t testing.TB, binary string, contract *Contract, engine string, settings ...string) *Service {
	t.Helper()
	dir := t.TempDir()
	s := &Service{Binary: binary, Contract: contract, Dir: dir, DatabaseURL: "sqlite:" + filepath.Join(dir, "data", "auth.db")}
	s.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + dir,
		"AUTH_HTTP_ADDR=127.0.0.1:0", "AUTH_ADMIN_ADDR=127.0.0.1:0", "AUTH_PUBLIC_URL=https://auth.example.test",
		RaceOptions, "AUTH_SHUTDOWN_DELAY=0s", "AUTH_LOG_LEVEL=debug", "AUTH_LIMITS=off", "AUTH_HASH_WAIT=10m",
	}
	if engine == Postgres || engine == Replicas {
		s.DatabaseURL = postgres.URL(t)
		s.Env = append(s.Env, "AUTH_SECRET=q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=")
	}
	s.Env = append(s.Env, "AUTH_DATABASE_URL="+s.DatabaseURL)
	s.HTTP = contract.Client(t)
	if engine == Replicas {
		s.replicate(t, settings)
		return s
	}
	s.Env = append(s.Env, settings...)
	return s
}

// RunTogether starts several services at the same time.
func RunTogether(t testing.TB, services ...*Service) {
	t.Helper()
	failures := make([]error, len(services))
	var starting sync.WaitGroup
	for i, s := range services {
		starting.Go(func() { failures[i] = s.start() })
	}
	starting.Wait()
	for i, s := range services {
		s.started(t, failures[i])
	}
}

// Run starts the process and waits until it is ready. After Kill or Stop it may be called again: the process then has the
// same directory, database and log, but new ports, because the old ones may be in use meanwhile.
func (s *Service) Run(t testing.TB) {
	t.Helper()
	s.started(t, s.start())
}

func (s *Service) started(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%v\n%s", err, s.Log())
	}
	if !s.endsWithTest {
		s.endsWithTest = true
		t.Cleanup(func() {
			s.Stop(t)
			if t.Failed() {
				t.Logf("log of the service:\n%s", tail(s.Log(), 8000))
			}
		})
	}
	if s.atStart != nil {
		s.atStart()
	}
	s.API, err = client.NewClientWithResponses(s.URL, client.WithHTTPClient(s.HTTP))
	if err != nil {
		t.Fatal(err)
	}
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

func (s *Service) start() error {
	began := time.Now()
	ready, err := s.launch()
	if err != nil {
		return err
	}
	select {
	case <-ready:
		s.StartTook = time.Since(began)
		return nil
	case <-s.exited:
		return fmt.Errorf("the service ended instead of starting: %w", s.exitErr)
	case <-time.After(time.Minute):
		return errors.Join(errors.New("the service was not ready after a minute"), s.cmd.Process.Kill())
	}
}

// launch starts the process and returns a channel that is closed when it is ready.
func (s *Service) launch() (<-chan struct{}, error) {
	s.cmd = exec.Command(s.Binary)
	s.exitChecked = false
	s.cmd.Dir, s.cmd.Env, s.cmd.Stdout = s.Dir, s.Env, &s.stdout
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		return nil, fmt.Errorf("pipe: %w", err)
	}
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the service: %w", err)
	}
	ready := make(chan struct{})
	s.exited = make(chan struct{})
	go func() {
		defer close(s.exited)
		s.readLog(stderr, ready)
		s.exitErr = s.cmd.Wait()
	}()
	return ready, nil
}

// readLog stores the log and reads the addresses from it.
func (s *Service) readLog(stderr io.Reader, ready chan<- struct{}) {
	lines := bufio.NewReader(stderr)
	for isReady := false; ; {
		line, err := lines.ReadBytes('\n')
		_, _ = s.stderr.Write(line)
		var event struct {
			Msg       string `json:"msg"`
			HTTPAddr  string `json:"http_addr"`
			AdminAddr string `json:"admin_addr"`
		}
		if !isReady && json.Unmarshal(line, &event) == nil {
			switch event.Msg {
			case "service.listening":
				s.URL, s.Admin = "http://"+event.HTTPAddr, "http://"+event.AdminAddr
			case "service.ready":
				isReady = true
				close(ready)
			}
		}
		if err != nil {
			return
		}
	}
}

// Log returns what the service has logged so far.
func (s *Service) Log() string { return s.stderr.String() }

// Stdout returns what the service has printed so far.
func (s *Service) Stdout() string { return s.stdout.String() }

// Stop sends SIGTERM, waits for the end of the process, and fails the test unless it ended well: status 0, no data race.
func (s *Service) Stop(t testing.TB) {
	t.Helper()
	select {
	case <-s.exited:
	default:
		s.Signal(t, syscall.SIGTERM)
		if err := s.WaitExit(t, time.Minute); err != nil {
			t.Errorf("the service ended with %v", err)
		}
	}
	if !s.exitChecked {
		t.Errorf("the service ended by itself: %v", s.exitErr)
	}
	if _, race, found := strings.Cut(s.Log(), "DATA RACE"); found {
		t.Errorf("the race detector found:%s", race[:min(len(race), 8000)])
	}
}

// Kill ends the process like kill -9, and waits for its end.
func (s *Service) Kill(t testing.TB) {
	t.Helper()
	s.exitChecked = true
	s.Signal(t, syscall.SIGKILL)
	<-s.exited
	s.HTTP.CloseIdleConnections()
}

// KillWhileStarting starts the process and kills it after a while, ready or not.
func (s *Service) KillWhileStarting(t testing.TB, after time.Duration) {
	t.Helper()
	if _, err := s.launch(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.exited:
		t.Errorf("the service ended instead of starting: %v\n%s", s.exitErr, tail(s.Log(), 8000))
	case <-time.After(after):
	}
	s.Kill(t)
}

// Signal sends the process a signal.
func (s *Service) Signal(t testing.TB, signal os.Signal) {
	t.Helper()
	if err := s.cmd.Process.Signal(signal); err != nil {
		t.Errorf("send %s: %v", signal, err)
	}
}

// PID returns the process ID.
func (s *Service) PID() int { return s.cmd.Process.Pid }

// Exited returns a channel that is closed when the process has ended.
func (s *Service) Exited() <-chan struct{} { return s.exited }

// WaitExit waits until the process has ended and returns its error: nil for status 0. It kills a process that takes too long, and the
// test fails.
func (s *Service) WaitExit(t testing.TB, limit time.Duration) error {
	t.Helper()
	s.exitChecked = true
	select {
	case <-s.exited:
	case <-time.After(limit):
		t.Errorf("the service did not stop within %s", limit)
		s.Kill(t)
	}
	return s.exitErr
}

// Command runs a command of the service while it runs, with its settings, and returns its standard output.
func (s *Service) Command(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, s.Binary, args...)
	cmd.Dir, cmd.Env = s.Dir, s.Env
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, stderr.String())
	}
	return stdout.String(), nil
}
