package mail

import (
	"context"
	"errors"
	"fmt"
	"strings"
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
			mailID, confirmationID := f.enqueueLink(t, f.account(t, email, c.language), c.purpose, 24*time.Hour)
			if !f.deliverNext(t) || f.deliverNext(t) {
				t.Fatal("not exactly one mail was due")
			}
			f.expectRow(t, mailID, row{Sent: true, Attempts: 1})
			env := f.transport.sent()[i]
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
				t.Errorf("does not contain the lifetime %s", c.life)
			}
		}
		if f.countLogged("mail.sent") != 2 || !strings.Contains(f.log.String(), "request_id=request-0001") {
			t.Errorf("log: %s", f.log)
		}
	})
}

func TestDeliverPassword(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		account := f.account(t, "jane@example.org", "en")
		mailID := f.enqueuePassword(t, account)
		f.clock.Advance(time.Minute)
		f.transport.failWith(func(context.Context, Envelope) error {
			// The password must work as long as the mail says, even if the relay accepts the mail at the last moment.
			until := f.Clock.Now().Add(leaseTimeout + attemptTimeouts*testTimeout + 24*time.Hour)
			if a := f.readAccount(t, account); a.PendingPasswordHash == nil || !a.PendingPasswordExpiresAt.Equal(until) || *a.PendingPasswordMailID != mailID {
				t.Errorf("not pending before it was sent: %+v", a)
			}
			return nil
		})
		if !f.deliverNext(t) {
			t.Fatal("no mail was due")
		}
		f.expectRow(t, mailID, row{Sent: true, Attempts: 1}) // and the nonce is erased
		word := secretOf(t, f.transport.sent()[0], "-")
		if !f.passwordWorks(t, account, word) || f.passwordWorks(t, account, word+"x") {
			t.Error("the password of the mail does not work")
		}
		// Its lifetime begins when the relay has accepted the mail.
		if until := f.readAccount(t, account).PendingPasswordExpiresAt; until == nil || !until.Equal(f.Clock.Now().Add(24*time.Hour)) {
			t.Errorf("pending until %v, now is %v", until, f.Clock.Now())
		}
	})
}

// All attempts send the same mail, so that it does not matter which one arrives.
func TestAttemptsSendTheSameMail(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		account := f.account(t, "jane@example.org", "ru")
		mailID := f.enqueuePassword(t, account)
		f.transport.failWith(func(context.Context, Envelope) error { return errors.New("421 <jane@example.org> try again later") })
		if !f.deliverNext(t) {
			t.Fatal("no mail was due")
		}
		f.expectRow(t, mailID, row{Nonce: true, Attempts: 1, LastError: "421 <[...]> try again later"})
		if f.deliverNext(t) {
			t.Fatal("retried immediately")
		}
		f.clock.Advance(retryMin - time.Microsecond)
		if f.deliverNext(t) {
			t.Fatal("retried too soon")
		}
		f.clock.Advance(retryMin)
		if !f.deliverNext(t) {
			t.Fatal("not retried")
		}
		f.transport.failWith(nil)
		f.clock.Advance(20 * time.Second)
		if !f.deliverNext(t) {
			t.Fatal("not retried")
		}
		f.expectRow(t, mailID, row{Sent: true, Attempts: 3})
		tried := f.transport.attempts()
		if len(tried) != 3 || len(f.transport.sent()) != 1 {
			t.Fatalf("%d attempts, %d sent", len(tried), len(f.transport.sent()))
		}
		word := secretOf(t, tried[0], "-")
		for _, env := range tried {
			p := parse(t, env.Data)
			if secretOf(t, env, "-") != word || p.header.Get("Message-Id") != "<"+mailID.String()+"@financelime.com>" ||
				p.header.Get("Date") != "Sun, 17 May 2026 08:09:10 +0000" {
				t.Errorf("another mail: %s", env.Data)
			}
		}
		if !f.passwordWorks(t, account, word) {
			t.Error("the password does not work")
		}
		if f.countLogged("mail.retried") != 2 || f.countLogged("mail.sent") != 1 {
			t.Errorf("log: %s", f.log)
		}
		for _, secret := range []string{"jane@", word} {
			if strings.Contains(f.log.String(), secret) {
				t.Errorf("the log contains %q: %s", secret, f.log)
			}
		}
	})
}

// A mail that keeps failing fails permanently after a day.
func TestGiveUpAfterADay(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		account := f.account(t, "jane@example.org", "en")
		mailID := f.enqueuePassword(t, account)
		f.transport.failWith(func(context.Context, Envelope) error { return errors.New("connection refused") })
		attempts := 0
		for ; !f.row(t, mailID).Dead; f.clock.Advance(time.Minute) {
			if f.deliverNext(t) {
				attempts++
			}
			if f.Clock.Now().After(sampleDate.Add(25 * time.Hour)) {
				t.Fatal("still retried after 25 hours")
			}
		}
		if end := f.Clock.Now().Sub(sampleDate); end < 24*time.Hour {
			t.Errorf("failed permanently after %s", end)
		}
		if attempts < 30 || attempts > 80 {
			t.Errorf("%d attempts in a day", attempts)
		}
		f.expectRow(t, mailID, row{Dead: true, Attempts: int64(attempts), LastError: "connection refused"})
		if a := f.readAccount(t, account); a.PendingPasswordHash != nil || *a.PendingPasswordMailID != mailID {
			t.Errorf("a password that was not sent is pending: %+v", a)
		}
		if f.countLogged("mail.dead") != 1 {
			t.Errorf("log: %s", f.log)
		}
	})
}

func TestPermanentFailure(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		account := f.account(t, "jane@example.org", "en")
		passwordMail := f.enqueuePassword(t, account)
		linkMail, _ := f.enqueueLink(t, account, "password", time.Hour)
		f.transport.failWith(func(context.Context, Envelope) error {
			return fmt.Errorf("RCPT TO: %w", permanent(errors.New("550 5.1.1 no such user")))
		})
		for f.deliverNext(t) {
		}
		for _, id := range []uuid.UUID{passwordMail, linkMail} {
			f.expectRow(t, id, row{Dead: true, Attempts: 1, LastError: "RCPT TO: 550 5.1.1 no such user"})
		}
		if a := f.readAccount(t, account); a.PendingPasswordHash != nil || a.PendingPasswordExpiresAt != nil {
			t.Errorf("a password that was not sent is pending: %+v", a)
		}
		if f.countLogged("mail.dead") != 2 {
			t.Errorf("log: %s", f.log)
		}
	})
}

func TestPanicIsAFailedAttempt(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		mailID := f.enqueuePassword(t, f.account(t, "jane@example.org", "en"))
		f.transport.failWith(func(_ context.Context, env Envelope) error { panic("at the mail to " + env.To) })
		f.deliverNext(t)
		f.expectRow(t, mailID, row{Nonce: true, Attempts: 1, LastError: "panic: at the mail to [...]"})
		if f.countLogged("mail.panicked") != 1 || f.countLogged("mail.retried") != 1 || strings.Contains(f.log.String(), "jane@") {
			t.Errorf("log: %s", f.log)
		}
	})
}

func TestNoSecretAtRest(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		account := f.account(t, "jane@example.org", "en")
		_, confirmation := f.enqueueLink(t, account, "password", time.Hour)
		f.enqueuePassword(t, account)
		var words []string
		f.transport.failWith(func(_ context.Context, env Envelope) error {
			secret := secretOf(t, env, map[string]string{KindPassword: "-", KindPasswordLink: "/u/"}[env.Kind])
			words = append(words, secret)
			if env.Kind == KindPasswordLink {
				secret += " or " + f.Links.Key(confirmation)
			}
			return errors.New("554 refused because of " + strings.ToUpper(secret))
		})
		for range 2 {
			f.deliverNext(t)
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
		stored := strings.ToLower(all.String() + f.log.String())
		for _, word := range append(words, f.Links.Key(confirmation)) {
			if strings.Contains(stored, strings.ToLower(word)) {
				t.Errorf("%s is stored:\n%s", word, stored)
			}
		}
		if !strings.Contains(stored, "554 refused because of [...] or [...]") {
			t.Errorf("stored: %s", stored)
		}
	})
}

func TestSupersededLinks(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		account := f.account(t, "jane@example.org", "en")
		older, _ := f.enqueueLink(t, account, "password", time.Hour)
		newer, confirmation := f.enqueueLink(t, account, "password", time.Hour)
		for f.deliverNext(t) {
		}
		f.expectRow(t, older, row{Dead: true, Attempts: 1, LastError: "superseded"})
		f.expectRow(t, newer, row{Sent: true, Attempts: 1})
		if sent := f.transport.attempts(); len(sent) != 1 || !strings.Contains(secretOf(t, sent[0], "/u/"), f.Links.Key(confirmation)) {
			t.Error("not the newer link alone was sent")
		}

		late, _ := f.enqueueLink(t, account, "signup", time.Hour)
		f.clock.Advance(time.Hour)
		used, _ := f.enqueueLink(t, account, "password", time.Hour)
		f.write(t, func(ctx context.Context, q *db.Queries) error {
			return q.DeleteConfirmation(ctx, db.DeleteConfirmationParams{AccountID: account, Purpose: "password"})
		})
		for f.deliverNext(t) {
		}
		for _, id := range []uuid.UUID{late, used} {
			f.expectRow(t, id, row{Dead: true, Attempts: 1, LastError: "expired"})
		}
		if len(f.transport.attempts()) != 1 || f.countLogged("mail.superseded") != 3 || f.countLogged("mail.dead") != 0 {
			t.Errorf("%d attempts, log: %s", len(f.transport.attempts()), f.log)
		}
	})
}
