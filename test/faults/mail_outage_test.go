package faults

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/api/client"
	"github.com/financelime/authorization/test/harness"
	"github.com/financelime/authorization/test/harness/smtprecorder"
)

// signUpRate is the load of the mail outage.
const signUpRate = 50 // a second

// The mail relay is dead, and nobody who signs up notices: the same answers, as fast. When it is back, everybody gets their
// mail, once.
func TestMailOutage(t *testing.T) {
	beside(t)
	silent := func(at smtprecorder.Moment) smtprecorder.Action {
		if at.Step == smtprecorder.Greeting {
			return smtprecorder.Stall
		}
		return smtprecorder.Usual
	}
	deaths := []struct {
		name     string
		die      func(*smtprecorder.Recorder) error
		comeBack func(*smtprecorder.Recorder) error
	}{
		{"refuses", func(r *smtprecorder.Recorder) error {
			r.Close()
			return nil
		}, (*smtprecorder.Recorder).Open},
		{"never answers", func(r *smtprecorder.Recorder) error {
			r.Close() // connections that the service may keep open are of the healthy relay
			r.SetPlan(silent)
			return r.Open()
		}, func(r *smtprecorder.Recorder) error {
			r.SetPlan(nil)
			return nil
		}},
	}
	for _, death := range deaths {
		t.Run(death.name, func(t *testing.T) {
			beside(t)
			harness.EachEngine(t, func(t *testing.T, engine string) {
				w := newWorld(t, engine, 0, noInvites, "AUTH_MAIL_TIMEOUT=5s")
				w.s.Run(t)
				w.signUps(length(time.Second, 10*time.Second)) // warms up
				healthy := w.signUps(length(4*time.Second, 2*time.Minute))
				w.settle(time.Minute)
				if err := death.die(w.mails); err != nil {
					t.Fatal(err)
				}
				dead := w.signUps(length(10*time.Second, 10*time.Minute))
				waiting := w.s.Count(t, "SELECT count(*) FROM mail WHERE sent_at IS NULL AND dead_at IS NULL")
				if waiting < len(dead)-1 {
					t.Errorf("%d mails wait for the relay after %d sign-ups without one", waiting, len(dead))
				}
				if err := death.comeBack(w.mails); err != nil {
					t.Fatal(err)
				}
				drained := w.settle(length(2*time.Minute, 10*time.Minute))

				got := make(map[string]int)
				for _, m := range w.mails.Messages() {
					got[m.To]++
				}
				signedUp := w.s.Count(t, "SELECT count(*) FROM account")
				if len(got) != signedUp {
					t.Errorf("%d people signed up, %d got a mail", signedUp, len(got))
				}
				for email, n := range got {
					if n != 1 {
						t.Errorf("%d mails to %s", n, email)
					}
				}
				if n := w.s.Count(t, "SELECT count(*) FROM mail WHERE dead_at IS NOT NULL"); n != 0 {
					t.Errorf("%d dead mails", n)
				}
				p99, p99Dead := percentile(healthy, 99), percentile(dead, 99)
				t.Logf("sign-up with the relay: %d, p50 %s, p99 %s; without: %d, p50 %s, p99 %s (%.2f times); %d mails drained in %s",
					len(healthy), percentile(healthy, 50), p99, len(dead), percentile(dead, 50), p99Dead,
					float64(p99Dead)/float64(p99), waiting, drained.Round(time.Millisecond))
			})
		})
	}
}

// signUps signs people up at signUpRate for a while, whether or not earlier ones have been answered, and returns how long each
// took. Each must succeed.
func (w *world) signUps(length time.Duration) []time.Duration {
	w.t.Helper()
	var (
		running sync.WaitGroup
		mu      sync.Mutex
		took    []time.Duration
	)
	ticker := time.NewTicker(time.Second / signUpRate)
	defer ticker.Stop()
	for end := time.Now().Add(length); time.Now().Before(end); <-ticker.C {
		running.Go(func() {
			began := time.Now()
			r, err := w.s.API.SignupWithResponse(w.t.Context(), &client.SignupParams{RequestID: rid()},
				client.SignUpRequest{Email: client.Email("p" + uuid.NewString() + "@example.com"), Language: "en"})
			switch {
			case err != nil:
				w.complainf("sign-up: %v", err)
			case r.StatusCode() != 204:
				w.complainf("sign-up: %d %s", r.StatusCode(), r.Body)
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, time.Since(began))
		})
	}
	running.Wait()
	return took
}

func percentile(all []time.Duration, percent int) time.Duration {
	slices.Sort(all)
	return all[min(len(all)-1, len(all)*percent/100)].Round(10 * time.Microsecond)
}
