package mail

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/test/postgres"
)

// inABubble runs a test on both engines in time that passes only when nothing is left to do. All of the worker's clocks
// are the bubble's.
func inABubble(t *testing.T, test func(t *testing.T, f *fixture)) {
	t.Helper()
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "auth.db")
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, "sqlite:"+path, "sqlite", path)
			f.Worker = f.worker(t, f.withRealClock())
			test(t, f)
		})
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		url := postgres.URL(t)
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, url, "pgx", url)
			f.Worker = f.worker(t, f.withRealClock())
			test(t, f)
		})
	})
}

func (f *fixture) withRealClock() Config {
	cfg := f.Config
	cfg.Clock = time.Now
	return cfg
}

// dead is a relay that cannot be reached.
func dead(context.Context, Envelope) error {
	return &RelayError{Err: errors.New("connect to the mail relay: connection refused")}
}

func TestRelayBreaker(t *testing.T) {
	inABubble(t, func(t *testing.T, f *fixture) {
		const mails = 100
		f.out.failWith(dead)
		ids := f.queueMany(t, mails)
		stop := running(t, f.Worker)

		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if n := len(f.out.attempts()); n < 40 || n > 100 {
			t.Errorf("%d attempts in 10 minutes", n)
		}
		if f.logged("mail.relay_down") != 1 || f.logged("mail.relay_up") != 0 || f.logged("mail.retried") != 0 {
			t.Errorf("log: %s", f.log)
		}
		for _, id := range ids { // all as if nobody had tried
			r := f.row(t, id)
			if want := (row{LastError: r.LastError}); r != want {
				t.Fatalf("%+v", r)
			}
		}
		if r := f.row(t, ids[0]); r.LastError != "connect to the mail relay: connection refused" {
			t.Errorf("the probe: %+v", r)
		}
		tried := len(f.out.attempts())
		f.out.failWith(nil)
		back := time.Now()
		for len(f.out.sent()) < mails {
			time.Sleep(time.Millisecond)
			synctest.Wait()
		}
		if took := time.Since(back); took > probeMax+time.Second {
			t.Errorf("the last mail was sent after %s", took)
		}
		stop()
		if len(f.out.attempts()) != tried+mails || f.logged("mail.relay_up") != 1 || f.logged("mail.relay_down") != 1 {
			t.Errorf("%d attempts, log: %s", len(f.out.attempts()), f.log)
		}
		// The oldest first, more or less: several are under way together.
		for _, env := range f.out.sent()[:mails/4] {
			if place := slices.Index(ids, env.ID); place > mails/2 {
				t.Errorf("the mail %d was among the first", place)
			}
		}
		for _, id := range ids {
			f.expect(t, id, row{Sent: true, Attempts: 1})
		}
	})
}

// A mail that makes the relay hang up each time it hears of it does not keep the others waiting.
func TestMailThatLooksLikeAnOutage(t *testing.T) {
	inABubble(t, func(t *testing.T, f *fixture) {
		const mails = 50
		ids := f.queueMany(t, mails)
		f.out.failWith(func(_ context.Context, env Envelope) error {
			if env.ID == ids[0] {
				return &RelayError{Err: errors.New("RCPT TO: 421 bye"), Heard: true}
			}
			return nil
		})
		running(t, f.Worker)
		start := time.Now()
		for len(f.out.sent()) < mails-1 && time.Since(start) < time.Minute {
			time.Sleep(10 * time.Millisecond)
			synctest.Wait()
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("the others took %s", took)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		attempts := 0
		for _, env := range f.out.attempts() {
			if env.ID == ids[0] {
				attempts++
			}
		}
		if attempts < 200 || attempts > 600 {
			t.Errorf("%d attempts in an hour", attempts)
		}
		f.expect(t, ids[0], row{LastError: "RCPT TO: 421 bye"})
	})
}

// After an outage of more than a day, what nobody could try is tried once.
func TestOutageLongerThanADay(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		probe := f.queuePassword(t, f.account(t, "a@example.org", "en"))
		f.clock.Advance(time.Second)
		other := f.queuePassword(t, f.account(t, "b@example.org", "en"))
		f.clock.Advance(giveUpAfter + time.Hour)
		f.out.failWith(dead)
		f.step(t)
		f.expect(t, probe, row{Dead: true, Attempts: 1, LastError: "connect to the mail relay: connection refused"})
		f.out.failWith(nil)
		f.step(t)
		f.expect(t, other, row{Sent: true, Attempts: 1})
	})
}

// Our own trouble is neither the relay's nor the mail's.
func TestBusyHashingDoesNotCount(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		mailID := f.queuePassword(t, f.account(t, "jane@example.org", "en"))
		m, err := f.leaseAny(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		d := &delivery{Worker: f.Worker, mail: m, log: f.Log}
		if err := d.settle(t.Context(), fmt.Errorf("hash the password: %w", busyError{})); err != nil {
			t.Fatal(err)
		}
		f.expect(t, mailID, row{Nonce: true, LastError: "hash the password: busy"})
		if f.step(t) {
			t.Error("tried again at once")
		}
		f.clock.Advance(2 * time.Second)
		if !f.step(t) {
			t.Error("not tried again soon")
		}
		f.expect(t, mailID, row{Sent: true, Attempts: 1})
	})
}

// With a relay that is down, a stop is as fast as ever.
func TestStopWhileTheRelayIsDown(t *testing.T) {
	inABubble(t, func(t *testing.T, f *fixture) {
		f.out.failWith(dead)
		ids := f.queueMany(t, 20)
		stop := running(t, f.Worker)
		time.Sleep(time.Minute)
		synctest.Wait()
		start := time.Now()
		stop()
		if took := time.Since(start); took > time.Second {
			t.Errorf("took %s", took)
		}
		due, err := f.Store.Read().ListDueMails(t.Context(), db.ListDueMailsParams{Now: time.Now(), MaxRows: 100})
		if err != nil || len(due) != 20 || due[0] != ids[0] {
			t.Errorf("%d mails are due, %v", len(due), err)
		}
	})
}

// poison makes eight rows that cannot be sent: seven that nobody could have made, and one that the relay refuses.
func (f *fixture) poison(t *testing.T) (ids []uuid.UUID) {
	t.Helper()
	huge := strings.Repeat("a", map[string]int{"sqlite": 1 << 20, "postgres": 2500}[f.Store.Engine()]) // what its index takes
	ghost := uuid.New()
	add := func(email string, m db.InsertMailParams) {
		m.AccountID = f.account(t, email, "en")
		ids = append(ids, f.queue(t, m))
	}
	nonce := []byte("0123456789abcdef")
	add("a@example.org>\r\nRCPT TO:<b@example.org", db.InsertMailParams{Kind: KindPassword, Nonce: nonce})
	add(huge+"@example.org", db.InsertMailParams{Kind: KindPassword, Nonce: nonce})
	add("", db.InsertMailParams{Kind: KindPassword, Nonce: nonce})
	add("no-nonce@example.org", db.InsertMailParams{Kind: KindPassword})
	add("no-link@example.org", db.InsertMailParams{Kind: KindSignUpLink})
	add("ghost-link@example.org", db.InsertMailParams{Kind: KindPasswordLink, ConfirmationID: &ghost})
	add("refused@example.org", db.InsertMailParams{Kind: KindPassword, Nonce: nonce})
	add("kind@example.org", db.InsertMailParams{Kind: KindPassword, Nonce: nonce})
	key := any(ids[7].String())
	if f.Store.Engine() == "sqlite" {
		key = ids[7][:]
	}
	if _, err := f.raw.ExecContext(t.Context(), "UPDATE mail SET kind = 'poison' WHERE id = $1", key); err != nil {
		t.Fatal(err)
	}
	return ids
}

// Eight poisoned rows before a hundred good ones are buried, one by one; they delay none.
func TestPoisonedRowsDelayNoOther(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		const good = 100
		poisoned := f.poison(t)
		f.clock.Advance(time.Second)
		f.queueMany(t, good)
		cfg := f.Config
		cfg.Transport = f.relayThatRefuses(t, "refused@example.org")
		stop := running(t, f.worker(t, cfg))
		eventually(t, "the good mails are sent and the others dead", func() bool {
			return f.logged("mail.sent") >= good && f.logged("mail.dead")+f.logged("mail.superseded") >= len(poisoned)
		})
		stop()
		for _, id := range poisoned {
			if r := f.row(t, id); !r.Dead || r.Attempts != 1 || r.LastError == "" || r.Nonce {
				t.Errorf("%+v", r)
			}
		}
		if f.logged("mail.sent") != good || f.logged("mail.relay_down") != 0 || f.logged("mail.retried") != 0 {
			t.Errorf("log: %s", f.log)
		}
	})
}

// relayThatRefuses is a real relay with one recipient that it does not know.
func (f *fixture) relayThatRefuses(t *testing.T, recipient string) Transport {
	t.Helper()
	r := &recorder{}
	r.refuse = func(line string) string {
		if line == "RCPT TO:<"+recipient+">" {
			return "550 5.1.1 no such user"
		}
		return ""
	}
	r.start(t)
	transport, err := OpenTransport("smtp://127.0.0.1:"+r.port+"?tls=none", sampleFrom, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return transport
}
