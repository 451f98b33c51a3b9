package mail

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
)

func TestShowable(t *testing.T) {
	t.Parallel()
	for platform, want := range map[string]string{
		"":                            "",
		"Linux x86_64":                "Linux x86_64",
		"iOS 17.2 (iPhone)":           "iOS 17.2 (iPhone)",
		"Windows 10.0; Win64":         "Windows 10.0; Win64",
		"Андроид 14":                  "Андроид 14",
		"evil.example.com":            "evil example com",
		"https://evil.example/x?y=z":  "https evil example x y z",
		"mail@evil.example":           "mail evil example",
		"<b>bold</b>\r\n\u2028\u202e": "b bold b",
		"1.2.3.4":                     "1.2.3.4",
		strings.Repeat("ж", 200):      strings.Repeat("ж", 60),
	} {
		if got := sanitizePlatform(platform); got != want {
			t.Errorf("%q is shown as %q, want %q", platform, got, want)
		}
	}
}

// enqueueSignUpNotice enqueues the notice of a sign-up with an owner's address.
func (f *fixture) enqueueSignUpNotice(t *testing.T, owner uuid.UUID) (mailID uuid.UUID) {
	t.Helper()
	id, until := uuid.Must(uuid.NewV7()), f.Clock.Now().Add(24*time.Hour)
	mailID = idAt(f.Clock.Now())
	f.write(t, func(ctx context.Context, q *db.Queries) error {
		_, err := q.InsertAccount(ctx, db.InsertAccountParams{
			ID: id, Email: id.String(), Language: "ru", CreatedAt: f.Clock.Now(), PendingUntil: &until, DecoyOf: &owner})
		if err != nil {
			return err
		}
		return q.InsertMail(ctx, db.InsertMailParams{ID: mailID, AccountID: id, Kind: KindSignUpNotice, RequestID: "request-0001", Now: f.Clock.Now()})
	})
	return mailID
}

// idAt returns an ID as it is generated at a time.
func idAt(t time.Time) uuid.UUID {
	id, random := db.FirstIDAt(t), uuid.New()
	copy(id[6:], random[6:])
	id[6] = 0x70 | id[6]&0x0f
	return id
}

// The owner of an address is notified of sign-ups with it in their language, once a day, and never while their account is disabled.
func TestOwnerIsNotifiedOnceADay(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		owner := f.account(t, "jane@example.org", "en")
		first := f.enqueueSignUpNotice(t, owner)
		f.transport.failWith(func(context.Context, Envelope) error { return errors.New("try again") })
		f.deliverNext(t)
		f.transport.failWith(nil)
		f.clock.Advance(time.Hour)
		second := f.enqueueSignUpNotice(t, owner)
		for f.deliverNext(t) {
		}
		f.expectRow(t, first, row{Sent: true, Attempts: 2}) // the same mail is retried
		f.expectRow(t, second, row{Dead: true, Attempts: 1, LastError: errNotifiedRecently.Error()})
		if sent := f.transport.sent(); len(sent) != 1 || sent[0].To != "jane@example.org" || !strings.Contains(string(sent[0].Data), "tried to sign up") {
			t.Errorf("sent: %+v", sent)
		}
		if _, err := Retry(t.Context(), f.Store, f.Root, second, f.Clock.Now()); !errors.Is(err, errNotified) {
			t.Errorf("retry within the day: %v", err)
		}
		f.clock.Advance(24 * time.Hour)
		if _, err := Retry(t.Context(), f.Store, f.Root, second, f.Clock.Now()); err != nil {
			t.Errorf("retry after it: %v", err)
		}
		third := f.enqueueSignUpNotice(t, owner)
		f.write(t, func(ctx context.Context, q *db.Queries) error {
			now := f.Clock.Now()
			_, err := q.DisableAccount(ctx, db.DisableAccountParams{Now: &now, ID: owner})
			return err
		})
		for f.deliverNext(t) {
		}
		f.expectRow(t, third, row{Dead: true, Attempts: 1, LastError: errAccountDisabled.Error()})
		if n := len(f.transport.sent()); n != 1 {
			t.Errorf("%d mails were sent", n)
		}
	})
}

// A login notice has the data of the login, even after it is enqueued again.
func TestLoginNoticeIsEnqueuedAgain(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		account := f.account(t, "jane@example.org", "ru")
		at, platform, addr := f.Clock.Now(), "iPhone", "203.0.113.5"
		id := f.enqueue(t, db.InsertMailParams{AccountID: account, Kind: KindLoginNotice, HappenedAt: &at, Platform: &platform, RemoteAddr: &addr})
		f.transport.failWith(func(context.Context, Envelope) error { return permanent(errors.New("no such mailbox")) })
		f.deliverNext(t)
		f.transport.failWith(nil)
		f.clock.Advance(2 * time.Hour)
		if _, err := Retry(t.Context(), f.Store, f.Root, id, f.Clock.Now()); err != nil {
			t.Fatal(err)
		}
		f.deliverNext(t)
		sent := f.transport.sent()
		if len(sent) != 1 {
			t.Fatalf("%d mails", len(sent))
		}
		text := parse(t, sent[0].Data).parts["text/plain; charset=UTF-8"]
		for _, want := range []string{"iPhone", "203.0.113.5", at.UTC().Format("2006-01-02 15:04 UTC")} {
			if !strings.Contains(text, want) {
				t.Errorf("no %q in\n%s", want, text)
			}
		}
	})
}
