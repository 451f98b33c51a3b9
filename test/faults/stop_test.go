package faults

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/financelime/authorization/api/client"
	"github.com/financelime/authorization/test/harness"
	"github.com/financelime/authorization/test/harness/smtprecorder"
)

// stopLimit is the time limit for a shutdown.
const stopLimit = 26 * time.Second

// TestStopUnderLoad sends SIGTERM under load. Every request gets its response, also one that arrives before the load balancer has noticed
// the shutdown.
func TestStopUnderLoad(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		const delay = 3 * time.Second
		for range scaled(1, 20) {
			sim := newSimulation(t, engine, 1, "AUTH_SHUTDOWN_DELAY="+delay.String())
			sim.s.Run(t)
			sim.populate(8)
			l := &stopLoad{simulation: sim}
			var running sync.WaitGroup
			people := sim.people()
			clients := make([]stopClient, 26)
			for i := range clients {
				c := stopClient{stopLoad: l, person: people[i%len(people)], refreshes: i < len(people), keepAlive: i%2 == 0}
				c.session = c.person.activeSessions()[0]
				c.token = c.session.access
				clients[i] = c
			}
			for i := range clients {
				running.Go(clients[i].run)
			}
			before := l.answered.Load()
			began := time.Now()
			time.Sleep(scaled(3*time.Second, 5*time.Second)) // load before the shutdown
			rate := float64(l.answered.Load()-before) / time.Since(began).Seconds()

			signalled := time.Now()
			sim.s.Signal(t, syscall.SIGTERM)
			l.stop.Store(new(signalled.Add(delay / 3)))
			notReady := eventually(t, "readyz fails", delay, func() bool { return !ready(t, sim.s) })
			if err := sim.s.WaitExit(t, stopLimit); err != nil {
				t.Errorf("the service ended with %v", err)
			}
			took := time.Since(signalled)
			running.Wait()
			if full && rate < 500 {
				t.Errorf("%.0f responses a second, want at least 500", rate)
			}
			sim.s.Run(t)
			sim.verifyThroughAPI()
			sim.checkDatabase()
			t.Logf("%.0f responses a second; not ready %s after SIGTERM; %d responses after it; ended after %s",
				rate, notReady.Round(time.Millisecond), l.late.Load(), took.Round(time.Millisecond))
		}
	})
}

// stopLoad is the load during a shutdown: clients of a gateway that checks readyz and notices the shutdown before AUTH_SHUTDOWN_DELAY ends.
type stopLoad struct {
	*simulation
	stop     atomic.Pointer[time.Time] // when the gateway stops sending requests
	answered atomic.Int64
	late     atomic.Int64 // the responses after SIGTERM
}

// stopClient is a client of stopLoad, with or without keep-alive. Only one client of each person refreshes.
type stopClient struct {
	*stopLoad
	person               *person
	session              *session
	token                string // an access token
	refreshes, keepAlive bool
}

// run makes 20 requests a second. Each must succeed. (Go's client itself retries requests that are safe to repeat.)
func (c *stopClient) run() {
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	time.Sleep(rand.N(50 * time.Millisecond)) // so that the clients do not send at the same time
	for ; ; <-ticker.C {
		stop := c.stop.Load()
		if stop != nil && time.Now().After(*stop) {
			return
		}
		status, err := c.request()
		switch {
		case err != nil:
			c.errorf("a request failed (keep-alive: %t; SIGTERM sent: %t): %v", c.keepAlive, c.stop.Load() != nil, err)
		case status != http.StatusOK:
			c.errorf("status %d", status)
		default:
			c.answered.Add(1)
			if stop != nil {
				c.late.Add(1)
			}
		}
	}
}

func (c *stopClient) request() (int, error) {
	ctx := c.t.Context()
	edit := func(_ context.Context, r *http.Request) error {
		r.Close = !c.keepAlive
		r.Header.Set("Authorization", "Bearer "+c.token)
		return nil
	}
	switch {
	case c.refreshes && rand.IntN(6) != 0:
		r, err := c.s.API.RefreshAccessTokenWithResponse(ctx, &client.RefreshAccessTokenParams{RequestID: newRequestID()},
			client.RefreshAccessTokenRequest{RefreshToken: c.session.refresh}, edit)
		if err != nil {
			c.session.refreshMaybe = true
			return 0, err
		}
		if r.JSON200 != nil {
			c.person.storeTokens(c.session, *r.JSON200)
		}
		return r.StatusCode(), nil
	case rand.IntN(2) == 0:
		return statusOf(c.s.API.GetListActiveSessionsWithResponse(ctx, &client.GetListActiveSessionsParams{RequestID: newRequestID()}, edit))
	default:
		return statusOf(c.s.API.GetVersionWithResponse(ctx, &client.GetVersionParams{RequestID: newRequestID()}, edit))
	}
}

// TestStopServesIdleConnections checks idle connections at SIGTERM, when a gateway may be sending a request on one. They stay open: the next
// response closes each one. The service closes only those that are still idle after AUTH_SHUTDOWN_DELAY, when gateways have stopped sending.
func TestStopServesIdleConnections(t *testing.T) {
	parallel(t)
	s := harness.Start(t, binary, contract, harness.SQLite, "AUTH_SHUTDOWN_DELAY=3s")
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	lines := bufio.NewReader(conn)
	get := func() *http.Response {
		t.Helper()
		if _, err := io.WriteString(conn, "GET /v1/version HTTP/1.1\r\nHost: auth\r\nrequest-id: idle-connection\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		response, err := http.ReadResponse(lines, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, response.Body); err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("status %d, %v", response.StatusCode, err)
		}
		return response
	}
	if get().Close {
		t.Error("the connection is closed before SIGTERM")
	}
	s.Signal(t, syscall.SIGTERM)
	eventually(t, "readyz fails", 3*time.Second, func() bool { return !ready(t, s) })
	if !get().Close {
		t.Error("the response after SIGTERM does not close the connection")
	}
	if err := s.WaitExit(t, stopLimit); err != nil {
		t.Errorf("the service ended with %v", err)
	}
}

// TestStopWithMailInFlight checks that a mail that is being sent at shutdown is either completed or rescheduled, so that the next process
// sends it immediately.
func TestStopWithMailInFlight(t *testing.T) {
	parallel(t)
	harness.EachEngine(t, func(t *testing.T, engine string) {
		sim := newSimulation(t, engine, 0, noInvites, "AUTH_MAIL_TIMEOUT=60s")
		var inFlight sync.WaitGroup
		inFlight.Add(2)
		stopped := make(chan struct{})
		var once [2]sync.Once
		sim.mails.SetPlan(func(at smtprecorder.Moment) smtprecorder.Action {
			switch {
			case strings.HasPrefix(at.To, "slow-") && at.Step == smtprecorder.Dot:
				once[0].Do(inFlight.Done)
				<-stopped
			case strings.HasPrefix(at.To, "silent-") && at.Step == smtprecorder.RCPT:
				once[1].Do(inFlight.Done)
				return smtprecorder.Stall
			}
			return smtprecorder.Usual
		})
		sim.s.Run(t)
		slow, silent := sim.signUp("slow"), sim.signUp("silent")
		inFlight.Wait()
		began := time.Now()
		sim.s.Signal(t, syscall.SIGTERM)
		eventually(t, "the service stops", time.Minute, func() bool { return strings.Contains(sim.s.Log(), "service.stopping") })
		close(stopped)
		if err := sim.s.WaitExit(t, stopLimit); err != nil {
			t.Errorf("the service ended with %v", err)
		}
		took := time.Since(began)
		if _, sent, _ := sim.mailState(slow); !sent {
			t.Error("the slow mail was not recorded as sent")
		}
		if _, sent, dead := sim.mailState(silent); sent || dead {
			t.Errorf("the mail without a reply is sent: %t, permanently failed: %t", sent, dead)
		}
		sim.mails.SetPlan(nil)
		sim.s.Run(t)
		again := eventually(t, "the rescheduled mail is sent", 10*time.Second, // before its lease would have ended
			func() bool {
				_, sent, _ := sim.mailState(silent)
				return sent
			})
		sim.checkSMTP(slow, 1)
		sim.checkSMTP(silent, 1)
		t.Logf("ended after %s; the next process sent the mail after %s", took.Round(time.Millisecond), again.Round(time.Millisecond))
	})
}

// sendPartial connects and sends a part of a request.
func sendPartial(t *testing.T, s *harness.Service, part string) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := io.WriteString(conn, part); err != nil {
		t.Fatal(err)
	}
}

const (
	halfHeader = "POST /v1/user/signup HTTP/1.1\r\nHost: auth\r\nContent-"
	halfBody   = "POST /v1/user/signup HTTP/1.1\r\nHost: auth\r\nrequest-id: half-a-body\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
)

// TestStopWithHungClients checks that clients with incomplete requests do not delay a shutdown beyond its limit.
func TestStopWithHungClients(t *testing.T) {
	parallel(t)
	s := harness.Start(t, binary, contract, harness.SQLite)
	for range 20 {
		sendPartial(t, s, "")
		sendPartial(t, s, halfHeader)
		sendPartial(t, s, halfBody)
	}
	began := time.Now()
	s.Signal(t, syscall.SIGTERM)
	if err := s.WaitExit(t, stopLimit); err != nil {
		t.Errorf("the service ended with %v", err)
	}
	t.Logf("ended after %s", time.Since(began).Round(time.Millisecond))
}

// TestStopTwice checks that a second SIGTERM ends the service immediately, also with open requests.
func TestStopTwice(t *testing.T) {
	parallel(t)
	s := harness.Start(t, binary, contract, harness.SQLite, "AUTH_SHUTDOWN_DELAY=5m")
	sendPartial(t, s, halfBody)
	s.Signal(t, syscall.SIGTERM)
	eventually(t, "the service stops", time.Minute, func() bool { return strings.Contains(s.Log(), "service.stopping") })
	began := time.Now()
	s.Signal(t, syscall.SIGTERM)
	err := s.WaitExit(t, 5*time.Second)
	if want := fmt.Sprint("signal: ", syscall.SIGTERM); err == nil || err.Error() != want {
		t.Errorf("the service ended with %v, want %q", err, want)
	}
	t.Logf("ended after %s", time.Since(began).Round(time.Millisecond))
}
