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

// stopLimit is how long a stop may take.
const stopLimit = 26 * time.Second

// SIGTERM under load: nobody who has sent a request goes without its answer, and whoever comes while the load balancer does
// not know yet is served too.
func TestStopUnderLoad(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		const delay = 3 * time.Second
		for range length(1, 20) {
			w := newWorld(t, engine, 1, "AUTH_SHUTDOWN_DELAY="+delay.String())
			w.s.Run(t)
			w.populate(8)
			l := &stopLoad{world: w}
			var running sync.WaitGroup
			people := w.people()
			clients := make([]stopClient, 26)
			for i := range clients {
				c := stopClient{stopLoad: l, person: people[i%len(people)], refreshes: i < len(people), keeps: i%2 == 0}
				c.session = c.person.live()[0]
				c.token = c.session.access
				clients[i] = c
			}
			for i := range clients {
				running.Go(clients[i].run)
			}
			before := l.answered.Load()
			began := time.Now()
			time.Sleep(length(3*time.Second, 5*time.Second)) // the load before the stop
			rate := float64(l.answered.Load()-before) / time.Since(began).Seconds()

			signalled := time.Now()
			w.s.Signal(t, syscall.SIGTERM)
			l.stop.Store(new(signalled.Add(delay / 3)))
			notReady := eventually(t, "readyz says no", delay, func() bool { return !ready(t, w.s) })
			if err := w.s.WaitExit(t, stopLimit); err != nil {
				t.Errorf("the service ended with %v", err)
			}
			took := time.Since(signalled)
			running.Wait()
			if full && rate < 500 {
				t.Errorf("%.0f answers a second are less than the promised load of 500", rate)
			}
			w.s.Run(t)
			w.verify()
			w.check()
			t.Logf("%.0f answers a second; not ready %s after SIGTERM; %d answers after it; ended after %s",
				rate, notReady.Round(time.Millisecond), l.late.Load(), took.Round(time.Millisecond))
		}
	})
}

// stopLoad is the load of a stop: clients of a gateway that looks at readyz, and notices before AUTH_SHUTDOWN_DELAY is over.
type stopLoad struct {
	*world
	stop     atomic.Pointer[time.Time] // when the gateway notices
	answered atomic.Int64
	late     atomic.Int64 // of those, after SIGTERM
}

// stopClient is one of them, on connections that it keeps or closes. Of the clients of one person one refreshes.
type stopClient struct {
	*stopLoad
	person           *person
	session          *session
	token            string // an access token
	refreshes, keeps bool
}

// run makes 20 requests a second. Every one of them must be answered. (Those that Go's client can safely try again, it does by
// itself.)
func (c *stopClient) run() {
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	time.Sleep(rand.N(50 * time.Millisecond)) // so that not all come at once
	for ; ; <-ticker.C {
		stop := c.stop.Load()
		if stop != nil && time.Now().After(*stop) {
			return
		}
		status, err := c.request()
		switch {
		case err != nil:
			c.complainf("a request was cut (connection kept: %t; SIGTERM sent: %t): %v", c.keeps, c.stop.Load() != nil, err)
		case status != http.StatusOK:
			c.complainf("status %d", status)
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
		r.Close = !c.keeps
		r.Header.Set("Authorization", "Bearer "+c.token)
		return nil
	}
	switch {
	case c.refreshes && rand.IntN(6) != 0:
		r, err := c.s.API.RefreshAccessTokenWithResponse(ctx, &client.RefreshAccessTokenParams{RequestID: rid()},
			client.RefreshAccessTokenRequest{RefreshToken: c.session.refresh}, edit)
		if err != nil {
			c.session.refreshMaybe = true
			return 0, err
		}
		if r.JSON200 != nil {
			c.person.take(c.session, *r.JSON200)
		}
		return r.StatusCode(), nil
	case rand.IntN(2) == 0:
		return statusOf(c.s.API.GetListActiveSessionsWithResponse(ctx, &client.GetListActiveSessionsParams{RequestID: rid()}, edit))
	default:
		return statusOf(c.s.API.GetVersionWithResponse(ctx, &client.GetVersionParams{RequestID: rid()}, edit))
	}
}

// A gateway keeps idle connections and may be sending a request on one at the very moment of SIGTERM. So they are not cut then: the
// next answer closes each, and only what is still idle after AUTH_SHUTDOWN_DELAY, when no gateway sends requests any more, is cut.
func TestStopAnswersOnIdleConnections(t *testing.T) {
	beside(t)
	s := harness.Start(t, binary, contract, harness.SQLite, "AUTH_SHUTDOWN_DELAY=3s")
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	lines := bufio.NewReader(conn)
	ask := func() *http.Response {
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
	if ask().Close {
		t.Error("a connection is not kept")
	}
	s.Signal(t, syscall.SIGTERM)
	eventually(t, "readyz says no", 3*time.Second, func() bool { return !ready(t, s) })
	if !ask().Close {
		t.Error("a connection is kept by a service that stops")
	}
	if err := s.WaitExit(t, stopLimit); err != nil {
		t.Errorf("the service ended with %v", err)
	}
}

// A mail that is on its way when the service stops is finished, or given back, so that the next process sends it at once.
func TestStopWithMailInFlight(t *testing.T) {
	beside(t)
	harness.EachEngine(t, func(t *testing.T, engine string) {
		w := newWorld(t, engine, 0, noInvites, "AUTH_MAIL_TIMEOUT=60s")
		var inFlight sync.WaitGroup
		inFlight.Add(2)
		stopped := make(chan struct{})
		var once [2]sync.Once
		w.mails.SetPlan(func(at smtprecorder.Moment) smtprecorder.Action {
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
		w.s.Run(t)
		slow, silent := w.signUp("slow"), w.signUp("silent")
		inFlight.Wait()
		began := time.Now()
		w.s.Signal(t, syscall.SIGTERM)
		eventually(t, "the service stops", time.Minute, func() bool { return strings.Contains(w.s.Log(), "service.stopping") })
		close(stopped)
		if err := w.s.WaitExit(t, stopLimit); err != nil {
			t.Errorf("the service ended with %v", err)
		}
		took := time.Since(began)
		if _, sent, _ := w.mailState(slow); !sent {
			t.Error("the slow mail was not recorded as sent")
		}
		if _, sent, dead := w.mailState(silent); sent || dead {
			t.Errorf("the mail that got no reply is sent: %t, dead: %t", sent, dead)
		}
		w.mails.SetPlan(nil)
		w.s.Run(t)
		again := eventually(t, "the mail that was given back is sent", 10*time.Second, // before its lease would have ended
			func() bool {
				_, sent, _ := w.mailState(silent)
				return sent
			})
		w.checkWire(slow, 1)
		w.checkWire(silent, 1)
		t.Logf("ended after %s; the next process sent the mail after %s", took.Round(time.Millisecond), again.Round(time.Millisecond))
	})
}

// hang connects and sends a part of a request.
func hang(t *testing.T, s *harness.Service, part string) {
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

// Clients that hang do not hold the stop up beyond its limit.
func TestStopWithHungClients(t *testing.T) {
	beside(t)
	s := harness.Start(t, binary, contract, harness.SQLite)
	for range 20 {
		hang(t, s, "")
		hang(t, s, halfHeader)
		hang(t, s, halfBody)
	}
	began := time.Now()
	s.Signal(t, syscall.SIGTERM)
	if err := s.WaitExit(t, stopLimit); err != nil {
		t.Errorf("the service ended with %v", err)
	}
	t.Logf("ended after %s", time.Since(began).Round(time.Millisecond))
}

// A second SIGTERM ends the service at once, whoever hangs.
func TestStopTwice(t *testing.T) {
	beside(t)
	s := harness.Start(t, binary, contract, harness.SQLite, "AUTH_SHUTDOWN_DELAY=5m")
	hang(t, s, halfBody)
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
