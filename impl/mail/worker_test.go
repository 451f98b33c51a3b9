package mail

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/link"
)

func TestDeliverLink(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		for i, c := range []struct{ purpose, language, subject, life string }{
			{"signup", "en", "Confirm your email address for Financelime", "24\u00a0hours"},
			{"password", "ru", "=?UTF-8?q?=D0=A1=D0=B1=D1=80=D0=BE=D1=81", "24\u00a0часа"},
		} {
			email := fmt.Sprintf("jane%d@example.org", i)
			mailID, confirmationID := f.queueLink(t, f.account(t, email, c.language), c.purpose, 24*time.Hour)
			if !f.step(t) || f.step(t) {
				t.Fatal("not exactly one mail was due")
			}
			f.expect(t, mailID, row{Sent: true, Attempts: 1})
			env := f.out.sent()[i]
			if env.ID != mailID || env.To != email || env.From != "no-reply@financelime.com" || !env.CreatedAt.Equal(sampleDate) {
				t.Errorf("envelope %+v", env)
			}
			p := parse(t, env.Data)
			if got := p.header.Get("Message-Id"); got != "<"+mailID.String()+"@financelime.com>" {
				t.Errorf("Message-ID %s", got)
			}
			if got := p.header.Get("To"); got != "<"+email+">" {
				t.Errorf("to %s", got)
			}
			if got := p.header.Get("Subject"); !strings.HasPrefix(got, c.subject) {
				t.Errorf("subject %q", got)
			}
			if got, want := secretOf(t, env, "/u/"), link.URL(testPublicURL, f.Links.Key(confirmationID), "request-0001"); got != want {
				t.Errorf("link %s, want %s", got, want)
			}
			if !strings.Contains(strings.ReplaceAll(p.parts["text/plain; charset=UTF-8"], "\n", " "), c.life) {
				t.Errorf("does not tell the %s of life", c.life)
			}
		}
		if f.logged("mail.sent") != 2 || !strings.Contains(f.log.String(), "request_id=request-0001") {
			t.Errorf("log: %s", f.log)
		}
	})
}

func TestDeliverPassword(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		account := f.account(t, "jane@example.org", "en")
		mailID := f.queuePassword(t, account)
		f.clock.Advance(time.Minute)
		f.out.failWith(func(context.Context, Envelope) error {
			// Whoever has the mail must be able to log in, for as long as it says even if it is accepted at the last moment.
			until := f.Clock.Now().Add(leaseLimit + sendLimit*testTimeout + 24*time.Hour)
			if a := f.readAccount(t, account); a.PendingPasswordHash == nil || !a.PendingPasswordExpiresAt.Equal(until) || *a.PendingPasswordMailID != mailID {
				t.Errorf("not armed before it was sent: %+v", a)
			}
			return nil
		})
		if !f.step(t) {
			t.Fatal("no mail was due")
		}
		f.expect(t, mailID, row{Sent: true, Attempts: 1}) // and the nonce is gone
		word := secretOf(t, f.out.sent()[0], "-")
		if !f.opens(t, account, word) || f.opens(t, account, word+"x") {
			t.Error("the password of the mail does not open the account")
		}
		// Its life begins when the mail was accepted.
		if until := f.readAccount(t, account).PendingPasswordExpiresAt; until == nil || !until.Equal(f.Clock.Now().Add(24*time.Hour)) {
			t.Errorf("armed until %v, now is %v", until, f.Clock.Now())
		}
	})
}

// Each attempt is at the same mail, so that it does not matter which one arrives.
func TestRetrySendsTheSameMail(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		account := f.account(t, "jane@example.org", "ru")
		mailID := f.queuePassword(t, account)
		f.out.failWith(func(context.Context, Envelope) error { return errors.New("421 <jane@example.org> try again later") })
		if !f.step(t) {
			t.Fatal("no mail was due")
		}
		f.expect(t, mailID, row{Nonce: true, Attempts: 1, LastError: "421 <[...]> try again later"})
		if f.step(t) {
			t.Fatal("tried again at once")
		}
		f.clock.Advance(retryMin - time.Microsecond)
		if f.step(t) {
			t.Fatal("tried again too soon")
		}
		f.clock.Advance(retryMin)
		if !f.step(t) {
			t.Fatal("not tried again")
		}
		f.out.failWith(nil)
		f.clock.Advance(20 * time.Second)
		if !f.step(t) {
			t.Fatal("not tried again")
		}
		f.expect(t, mailID, row{Sent: true, Attempts: 3})
		tried := f.out.attempts()
		if len(tried) != 3 || len(f.out.sent()) != 1 {
			t.Fatalf("%d attempts, %d sent", len(tried), len(f.out.sent()))
		}
		word := secretOf(t, tried[0], "-")
		for _, env := range tried {
			p := parse(t, env.Data)
			if secretOf(t, env, "-") != word || p.header.Get("Message-Id") != "<"+mailID.String()+"@financelime.com>" ||
				p.header.Get("Date") != "Sun, 17 May 2026 08:09:10 +0000" {
				t.Errorf("another mail: %s", env.Data)
			}
		}
		if !f.opens(t, account, word) {
			t.Error("the password does not open the account")
		}
		if f.logged("mail.retried") != 2 || f.logged("mail.sent") != 1 {
			t.Errorf("log: %s", f.log)
		}
		for _, secret := range []string{"jane@", word} {
			if strings.Contains(f.log.String(), secret) {
				t.Errorf("the log tells %q: %s", secret, f.log)
			}
		}
	})
}

func TestGiveUpAfterADay(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		account := f.account(t, "jane@example.org", "en")
		mailID := f.queuePassword(t, account)
		f.out.failWith(func(context.Context, Envelope) error { return errors.New("connection refused") })
		attempts := 0
		for ; !f.row(t, mailID).Dead; f.clock.Advance(time.Minute) {
			if f.step(t) {
				attempts++
			}
			if f.Clock.Now().After(sampleDate.Add(25 * time.Hour)) {
				t.Fatal("still tried after 25 hours")
			}
		}
		if end := f.Clock.Now().Sub(sampleDate); end < 24*time.Hour {
			t.Errorf("given up after %s", end)
		}
		if attempts < 30 || attempts > 80 {
			t.Errorf("%d attempts in a day", attempts)
		}
		f.expect(t, mailID, row{Dead: true, Attempts: int64(attempts), LastError: "connection refused"})
		if a := f.readAccount(t, account); a.PendingPasswordHash != nil || *a.PendingPasswordMailID != mailID {
			t.Errorf("a password that nobody got is armed: %+v", a)
		}
		if f.logged("mail.dead") != 1 {
			t.Errorf("log: %s", f.log)
		}
	})
}

func TestPermanentFailure(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		account := f.account(t, "jane@example.org", "en")
		passwordMail := f.queuePassword(t, account)
		linkMail, _ := f.queueLink(t, account, "password", time.Hour)
		f.out.failWith(func(context.Context, Envelope) error {
			return fmt.Errorf("RCPT TO: %w", permanent(errors.New("550 5.1.1 no such user")))
		})
		for f.step(t) {
		}
		for _, id := range []uuid.UUID{passwordMail, linkMail} {
			f.expect(t, id, row{Dead: true, Attempts: 1, LastError: "RCPT TO: 550 5.1.1 no such user"})
		}
		if a := f.readAccount(t, account); a.PendingPasswordHash != nil || a.PendingPasswordExpiresAt != nil {
			t.Errorf("a password that nobody got is armed: %+v", a)
		}
		if f.logged("mail.dead") != 2 {
			t.Errorf("log: %s", f.log)
		}
	})
}

// Rows that nobody could have made are buried, one by one; they stop neither the worker nor the other mails.
func TestPoisonedRows(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		evil := f.account(t, "a@example.org>\r\nRCPT TO:<b@example.org", "en")
		ids := []uuid.UUID{
			f.queuePassword(t, evil),
			f.queue(t, db.InsertMailParams{AccountID: evil, Kind: KindPassword}),
			f.queue(t, db.InsertMailParams{AccountID: evil, Kind: KindSignUpLink}),
		}
		good := f.queuePassword(t, f.account(t, "jane@example.org", "xx"))
		for range 4 {
			if !f.step(t) {
				t.Fatal("a mail is missing")
			}
		}
		for _, id := range ids[1:] {
			if r := f.row(t, id); !r.Dead || r.LastError == "" {
				t.Errorf("%+v", r)
			}
		}
		f.expect(t, ids[0], row{Dead: true, Attempts: 1, LastError: "the recipient's address is not a plain e-mail address"})
		f.expect(t, good, row{Sent: true, Attempts: 1})
		if len(f.out.attempts()) != 1 {
			t.Errorf("%d mails left", len(f.out.attempts()))
		}
	})
}

func TestSupersededLinks(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		account := f.account(t, "jane@example.org", "en")
		older, _ := f.queueLink(t, account, "password", time.Hour)
		newer, confirmation := f.queueLink(t, account, "password", time.Hour)
		for f.step(t) {
		}
		f.expect(t, older, row{Dead: true, Attempts: 1, LastError: "superseded"})
		f.expect(t, newer, row{Sent: true, Attempts: 1})
		if sent := f.out.attempts(); len(sent) != 1 || !strings.Contains(secretOf(t, sent[0], "/u/"), f.Links.Key(confirmation)) {
			t.Error("not the newer link alone was sent")
		}

		late, _ := f.queueLink(t, account, "signup", time.Hour)
		f.clock.Advance(time.Hour)
		used, _ := f.queueLink(t, account, "password", time.Hour)
		f.write(t, func(ctx context.Context, q *db.Queries) error {
			return q.DeleteConfirmation(ctx, db.DeleteConfirmationParams{AccountID: account, Purpose: "password"})
		})
		for f.step(t) {
		}
		for _, id := range []uuid.UUID{late, used} {
			f.expect(t, id, row{Dead: true, Attempts: 1, LastError: "expired"})
		}
		if len(f.out.attempts()) != 1 || f.logged("mail.superseded") != 3 || f.logged("mail.dead") != 0 {
			t.Errorf("%d attempts, log: %s", len(f.out.attempts()), f.log)
		}
	})
}

func TestNewerPasswordReplacesOlder(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		account := f.account(t, "jane@example.org", "en")
		first := f.queuePassword(t, account)
		f.step(t)
		second := f.queuePassword(t, account)
		f.step(t)
		f.expect(t, first, row{Sent: true, Attempts: 1})
		f.expect(t, second, row{Sent: true, Attempts: 1})
		sent := f.out.sent()
		if f.opens(t, account, secretOf(t, sent[0], "-")) || !f.opens(t, account, secretOf(t, sent[1], "-")) {
			t.Error("not the newer password opens the account")
		}
		if f.readAccount(t, account).PasswordHash != nil {
			t.Error("a mail alone has changed the password")
		}
	})
}

// An older mail that a slow worker still holds can no longer arm its password.
func TestOlderPasswordComesTooLate(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		account := f.account(t, "jane@example.org", "en")
		older := f.queue(t, db.InsertMailParams{AccountID: account, Kind: KindPassword, Nonce: []byte("0123456789abcdef")})
		slow, err := f.leaseAny(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		newer := f.queue(t, db.InsertMailParams{AccountID: account, Kind: KindPassword, Nonce: []byte("fedcba9876543210")})
		f.step(t)
		f.deliver(t.Context(), t.Context(), slow)
		f.expect(t, older, row{Dead: true, Attempts: 1, LastError: "superseded"})
		f.expect(t, newer, row{Sent: true, Attempts: 1})
		if sent := f.out.attempts(); len(sent) != 1 || !f.opens(t, account, secretOf(t, sent[0], "-")) {
			t.Error("not the newer password alone was sent")
		}
	})
}

// Whatever becomes of the mails, a password that was mailed ends: here its mail arrives, and nobody can record that because a
// newer password has withdrawn it, whose mail then dies before it is armed.
func TestEveryMailedPasswordEnds(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		account := f.account(t, "jane@example.org", "en")
		f.queuePassword(t, account)
		var second uuid.UUID
		f.out.failWith(func(context.Context, Envelope) error {
			f.clock.Advance(time.Minute)
			f.write(t, func(ctx context.Context, q *db.Queries) error { return q.DeleteOlderPasswordMails(ctx, account) })
			second = f.queue(t, db.InsertMailParams{AccountID: account, Kind: KindPassword}) // without a nonce
			return nil
		})
		f.step(t)
		f.out.failWith(nil)
		f.step(t)
		f.expect(t, second, row{Dead: true, Attempts: 1, LastError: "the row of a password has no nonce"})
		word := secretOf(t, f.out.sent()[0], "-")
		f.clock.Advance(24*time.Hour - time.Microsecond)
		if !f.opens(t, account, word) {
			t.Error("ends too early")
		}
		f.clock.Advance(leaseLimit + sendLimit*testTimeout)
		if f.opens(t, account, word) {
			t.Error("does not end")
		}
	})
}

// The life of a password counts from the attempt that succeeds, however late that is.
func TestLateMailedPasswordLives(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		account := f.account(t, "jane@example.org", "en")
		f.queuePassword(t, account)
		f.out.failWith(dead)
		for range 30 { // hours without a relay, and with one attempt in each
			f.clock.Advance(time.Hour)
			if f.Clock.Now().Before(sampleDate.Add(giveUpAfter)) {
				f.step(t)
			}
		}
		reached := false
		f.out.failWith(func(context.Context, Envelope) error {
			reached = true
			until := f.Clock.Now().Add(leaseLimit + sendLimit*testTimeout + 24*time.Hour)
			if a := f.readAccount(t, account); !a.PendingPasswordExpiresAt.Equal(until) {
				t.Errorf("armed until %s, want %s", a.PendingPasswordExpiresAt, until)
			}
			return nil
		})
		f.step(t)
		f.clock.Advance(24*time.Hour - time.Microsecond)
		if !reached || !f.opens(t, account, secretOf(t, f.out.sent()[0], "-")) {
			t.Error("the password ended too early")
		}
	})
}

// One salt for all of an account's hashes: a log-in computes one, whatever is armed.
func TestHashesShareTheSalt(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		account := f.account(t, "jane@example.org", "en")
		f.queuePassword(t, account)
		f.step(t)
		now := f.Clock.Now()
		armed := f.readAccount(t, account).PendingPasswordHash
		f.write(t, func(ctx context.Context, q *db.Queries) error {
			if _, err := q.ConfirmAccount(ctx, account); err != nil {
				return err
			}
			_, err := q.RecordLoginWithPendingPassword(ctx, db.RecordLoginWithPendingPasswordParams{ID: account, Now: &now, VerifiedHash: armed})
			return err
		})
		f.queuePassword(t, account)
		f.step(t)
		a := f.readAccount(t, account)
		if a.PasswordHash == nil || a.PendingPasswordHash == nil || *a.PasswordHash == *a.PendingPasswordHash {
			t.Fatalf("not two passwords: %+v", a)
		}
		before := f.Hasher.Computed()
		if i, err := f.Hasher.Match(t.Context(), secretOf(t, f.out.sent()[1], "-"), *a.PasswordHash, *a.PendingPasswordHash); i != 1 || err != nil {
			t.Errorf("matches %d, %v", i, err)
		}
		if n := f.Hasher.Computed() - before; n != 1 {
			t.Errorf("%d hashes computed for one log-in", n)
		}
	})
}

// What a dead process held is taken over when its lease ends, not before; and the dead, should it come back, has
// nothing more to say.
func TestLeaseTakeover(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		account := f.account(t, "jane@example.org", "en")
		mailID := f.queuePassword(t, account)
		dead, err := f.leaseAny(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		dead.ours = time.Now() // as its own clock has it
		f.clock.Advance(leaseLength - time.Microsecond)
		if f.step(t) {
			t.Fatal("taken over within its lease")
		}
		f.clock.Advance(time.Microsecond)
		if !f.step(t) {
			t.Fatal("not taken over")
		}
		f.expect(t, mailID, row{Sent: true, Attempts: 2})
		until := f.readAccount(t, account).PendingPasswordExpiresAt

		f.clock.Advance(time.Minute)
		f.out.failWith(func(context.Context, Envelope) error { return permanent(errors.New("550 no")) })
		f.deliver(t.Context(), t.Context(), dead)
		f.expect(t, mailID, row{Sent: true, Attempts: 2})
		if got := f.readAccount(t, account); got.PendingPasswordHash == nil || !got.PendingPasswordExpiresAt.Equal(*until) {
			t.Errorf("the late worker changed the account: %+v", got)
		}
		if f.logged("mail.lease_lost") != 1 || f.logged("mail.dead") != 0 {
			t.Errorf("log: %s", f.log)
		}
	})
}

func TestPanicIsAFailedAttempt(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		mailID := f.queuePassword(t, f.account(t, "jane@example.org", "en"))
		f.out.failWith(func(_ context.Context, env Envelope) error { panic("at the mail to " + env.To) })
		f.step(t)
		f.expect(t, mailID, row{Nonce: true, Attempts: 1, LastError: "panic: at the mail to [...]"})
		if f.logged("mail.panicked") != 1 || f.logged("mail.retried") != 1 || strings.Contains(f.log.String(), "jane@") {
			t.Errorf("log: %s", f.log)
		}
	})
}

func TestNoSecretAtRest(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		account := f.account(t, "jane@example.org", "en")
		_, confirmation := f.queueLink(t, account, "password", time.Hour)
		f.queuePassword(t, account)
		var words []string
		f.out.failWith(func(_ context.Context, env Envelope) error {
			secret := secretOf(t, env, map[string]string{KindPassword: "-", KindPasswordLink: "/u/"}[env.Kind])
			words = append(words, secret)
			if env.Kind == KindPasswordLink {
				secret += " or " + f.Links.Key(confirmation)
			}
			return errors.New("554 refused because of " + strings.ToUpper(secret))
		})
		for range 2 {
			f.step(t)
		}
		if len(words) != 2 {
			t.Fatalf("%d mails", len(words))
		}
		var all strings.Builder
		rows, err := f.raw.QueryContext(t.Context(), "SELECT last_error FROM mail")
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var lastError string
			if err := rows.Scan(&lastError); err != nil {
				t.Fatal(err)
			}
			all.WriteString(lastError + "\n")
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		kept := strings.ToLower(all.String() + f.log.String())
		for _, word := range append(words, f.Links.Key(confirmation)) {
			if strings.Contains(kept, strings.ToLower(word)) {
				t.Errorf("%s is kept:\n%s", word, kept)
			}
		}
		if !strings.Contains(kept, "554 refused because of [...] or [...]") {
			t.Errorf("kept: %s", kept)
		}
	})
}

// running starts Run and gives what ends it and waits for that.
func running(t *testing.T, w *Worker) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

// eventually waits for what other goroutines do.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	within(t, time.Minute, what, ok)
}

func within(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatal("never: " + what)
		}
		time.Sleep(5 * time.Millisecond) // between two looks
	}
}

// Several workers share an outbox: each mail is sent, and none twice.
func TestWorkersSideBySide(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		const mails = 60
		for i := range mails {
			account := f.account(t, fmt.Sprintf("person%d@example.org", i), []string{"en", "ru"}[i%2])
			if i%3 == 0 {
				f.queuePassword(t, account)
			} else {
				f.queueLink(t, account, "signup", time.Hour)
			}
		}
		var stops []func()
		for range 3 {
			w := f.worker(t, f.Config)
			stops = append(stops, running(t, w))
			w.Wake()
		}
		eventually(t, "all mails are sent", func() bool { return len(f.out.sent()) >= mails })
		for _, stop := range stops {
			stop()
		}
		seen := map[uuid.UUID]bool{}
		for _, env := range f.out.attempts() {
			if seen[env.ID] {
				t.Errorf("%s was sent twice", env.ID)
			}
			seen[env.ID] = true
			if !f.row(t, env.ID).Sent {
				t.Errorf("%s is not recorded as sent", env.ID)
			}
		}
		if len(seen) != mails {
			t.Errorf("%d mails were sent, not %d", len(seen), mails)
		}
	})
}

// A mail that takes its time delays no other one.
func TestSlowMailDelaysNoOther(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		slow := f.queuePassword(t, f.account(t, "slow@example.org", "en"))
		release := make(chan struct{})
		f.out.failWith(func(_ context.Context, env Envelope) error {
			if env.ID == slow {
				<-release
			}
			return nil
		})
		stop := running(t, f.Worker)
		eventually(t, "the slow mail is on its way", func() bool { return len(f.out.attempts()) == 1 })
		for i := range 20 {
			f.queuePassword(t, f.account(t, fmt.Sprintf("person%d@example.org", i), "en"))
			f.Wake()
		}
		eventually(t, "the others are sent", func() bool { return len(f.out.sent()) == 20 })
		close(release)
		stop()
		f.expect(t, slow, row{Sent: true, Attempts: 1})
	})
}

// A stop lets the mail in flight finish and takes no new one.
func TestStopFinishesTheMailInFlight(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		cfg := f.Config
		cfg.Concurrency = 1
		w := f.worker(t, cfg)
		first := f.queuePassword(t, f.account(t, "first@example.org", "en"))
		f.clock.Advance(time.Microsecond)
		second := f.queuePassword(t, f.account(t, "second@example.org", "en"))
		reached, release := make(chan struct{}), make(chan struct{})
		f.out.failWith(func(ctx context.Context, _ Envelope) error {
			close(reached)
			<-release
			return ctx.Err()
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- w.Run(ctx) }()
		<-reached
		cancel()
		select {
		case err := <-done:
			t.Errorf("did not wait for the mail in flight: %v", err)
		case <-time.After(50 * time.Millisecond): // it had the chance
		}
		close(release)
		if err := <-done; err != nil {
			t.Error(err)
		}
		f.expect(t, first, row{Sent: true, Attempts: 1})
		f.expect(t, second, row{Nonce: true})
	})
}

// A stop does not wait for ever: what it cuts off is due again at once, for the next process.
func TestStopGivesTheLeaseBack(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		f.StopGrace = 50 * time.Millisecond
		mailID := f.queuePassword(t, f.account(t, "jane@example.org", "en"))
		reached := make(chan struct{})
		f.out.failWith(func(ctx context.Context, _ Envelope) error {
			close(reached)
			<-ctx.Done()
			return ctx.Err()
		})
		stop := running(t, f.Worker)
		<-reached
		stop()
		f.expect(t, mailID, row{Nonce: true, Attempts: 1, LastError: "the service stops"})
		f.out.failWith(nil)
		if !f.step(t) {
			t.Fatal("the mail waits for the end of a lease that nobody has")
		}
		f.expect(t, mailID, row{Sent: true, Attempts: 2})
	})
}

// Wake never blocks, and one that comes while the worker is at work is not lost.
func TestWake(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		for range 100 {
			f.Wake()
		}
		running(t, f.Worker)
		var sent atomic.Int64
		f.out.failWith(func(context.Context, Envelope) error { sent.Add(1); return nil })
		start := time.Now()
		const mails = 20
		for i := range mails {
			f.queuePassword(t, f.account(t, fmt.Sprintf("person%d@example.org", i), "en"))
			f.Wake()
			eventually(t, "the mail is sent", func() bool { return sent.Load() == int64(i+1) })
		}
		// Without Wake, most of them would have waited for a look that comes once in a second.
		if took := time.Since(start); took > mails*lookEvery/2 {
			t.Errorf("%d mails took %s", mails, took)
		}
	})
}

// Mails that other processes queue, and retries, are found without a Wake.
func TestIdleWorkerLooks(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		running(t, f.Worker)
		f.queuePassword(t, f.account(t, "jane@example.org", "en"))
		eventually(t, "the mail is sent", func() bool { return len(f.out.sent()) == 1 })
	})
}

// The database goes away between the relay's acceptance and the record of it: the mail is sent once more when its lease
// ends, and is the same, so that the receiver can drop it.
func TestDatabaseGoneAfterSending(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		mailID := f.queuePassword(t, f.account(t, "jane@example.org", "en"))
		store, err := db.Open(t.Context(), f.url)
		if err != nil {
			t.Fatal(err)
		}
		cfg := f.Config
		cfg.Store = store
		w := f.worker(t, cfg)
		m, err := w.leaseAny(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		settling, giveUp := context.WithCancel(t.Context())
		f.out.failWith(func(context.Context, Envelope) error {
			time.AfterFunc(100*time.Millisecond, giveUp)
			return store.Close()
		})
		w.deliver(t.Context(), settling, m)
		if f.logged("mail.record_failed") != 1 || f.logged("mail.sent") != 0 {
			t.Errorf("log: %s", f.log)
		}
		f.expect(t, mailID, row{Nonce: true, Attempts: 1})

		f.out.failWith(nil)
		f.clock.Advance(leaseLength)
		if !f.step(t) {
			t.Fatal("not taken over")
		}
		f.expect(t, mailID, row{Sent: true, Attempts: 2})
		sent := f.out.sent()
		if len(sent) != 2 || secretOf(t, sent[0], "-") != secretOf(t, sent[1], "-") {
			t.Errorf("%d mails, or not the same", len(sent))
		}
	})
}

func TestNewWorkerRefuses(t *testing.T) {
	t.Parallel()
	if _, err := NewWorker(Config{From: "nobody", Timeout: time.Second}); err == nil || !strings.Contains(err.Error(), "AUTH_MAIL_FROM") {
		t.Errorf("bad sender: %v", err)
	}
	if _, err := NewWorker(Config{From: sampleFrom}); err == nil || !strings.Contains(err.Error(), "AUTH_MAIL_TIMEOUT") {
		t.Errorf("no timeout: %v", err)
	}
}
