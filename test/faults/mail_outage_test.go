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

// signUpRate is the load during the outage of the relay.
const signUpRate = 50 // a second

// TestMailOutage stops the relay. Sign-ups get the same responses, as fast as before. When the relay is back, each user gets the mail once.
func TestMailOutage(t *testing.T) {
	parallel(t)
	silent := func(at smtprecorder.Moment) smtprecorder.Action {
		if at.Step == smtprecorder.Greeting {
			return smtprecorder.Stall
		}
		return smtprecorder.Usual
	}
	outages := []struct {
		name  string
		begin func(*smtprecorder.Recorder) error
		end   func(*smtprecorder.Recorder) error
	}{
		{"refuses", func(r *smtprecorder.Recorder) error {
			r.Close()
			return nil
		}, (*smtprecorder.Recorder).Open},
		{"never replies", func(r *smtprecorder.Recorder) error {
			r.Close() // closes the connections that the service has kept open
			r.SetPlan(silent)
			return r.Open()
		}, func(r *smtprecorder.Recorder) error {
			r.SetPlan(nil)
			return nil
		}},
	}
	for _, outage := range outages {
		t.Run(outage.name, func(t *testing.T) {
			parallel(t)
			harness.EachEngine(t, func(t *testing.T, engine string) {
				sim := newSimulation(t, engine, 0, noInvites, "AUTH_MAIL_TIMEOUT=5s")
				sim.s.Run(t)
				sim.signUps(scaled(time.Second, 10*time.Second)) // warm-up
				healthy := sim.signUps(scaled(4*time.Second, 2*time.Minute))
				sim.waitForMail(time.Minute)
				if err := outage.begin(sim.mails); err != nil {
					t.Fatal(err)
				}
				duringOutage := sim.signUps(scaled(10*time.Second, 10*time.Minute))
				waiting := sim.queuedMails()
				if waiting < len(duringOutage)-1 {
					t.Errorf("%d mails are queued after %d sign-ups without a relay", waiting, len(duringOutage))
				}
				if err := outage.end(sim.mails); err != nil {
					t.Fatal(err)
				}
				drained := sim.waitForMail(scaled(2*time.Minute, 10*time.Minute))

				got := make(map[string]int)
				for _, m := range sim.mails.Messages() {
					got[m.To]++
				}
				signedUp := sim.s.Count(t, "SELECT count(*) FROM account")
				if len(got) != signedUp {
					t.Errorf("%d users signed up, %d received a mail", signedUp, len(got))
				}
				for email, n := range got {
					if n != 1 {
						t.Errorf("%d mails to %s", n, email)
					}
				}
				if n := sim.s.Count(t, "SELECT count(*) FROM mail WHERE dead_at IS NOT NULL"); n != 0 {
					t.Errorf("%d permanently failed mails", n)
				}
				p99, p99DuringOutage := percentile(healthy, 99), percentile(duringOutage, 99)
				t.Logf("sign-up with the relay: %d, p50 %s, p99 %s; without: %d, p50 %s, p99 %s (%.2f times); %d mails drained in %s",
					len(healthy), percentile(healthy, 50), p99, len(duringOutage), percentile(duringOutage, 50), p99DuringOutage,
					float64(p99DuringOutage)/float64(p99), waiting, drained.Round(time.Millisecond))
			})
		})
	}
}

// signUps sends sign-ups at signUpRate for a while, without waiting for earlier responses, and returns how long each took. Each must
// succeed.
func (sim *simulation) signUps(duration time.Duration) []time.Duration {
	sim.t.Helper()
	var (
		running sync.WaitGroup
		mu      sync.Mutex
		took    []time.Duration
	)
	ticker := time.NewTicker(time.Second / signUpRate)
	defer ticker.Stop()
	for end := time.Now().Add(duration); time.Now().Before(end); <-ticker.C {
		running.Go(func() {
			began := time.Now()
			r, err := sim.s.API.SignupWithResponse(sim.t.Context(), &client.SignupParams{RequestID: newRequestID()},
				client.SignUpRequest{Email: "p" + uuid.NewString() + "@example.com", Language: "en"})
			switch {
			case err != nil:
				sim.errorf("sign-up: %v", err)
			case r.StatusCode() != 204:
				sim.errorf("sign-up: %d %s", r.StatusCode(), r.Body)
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
