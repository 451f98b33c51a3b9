package mail

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/address"
	"github.com/financelime/authorization/impl/link"
)

// expectNotice fails the test unless the newest of n sent mails is a notice without a link, to an address.
func (f *fixture) expectNotice(t *testing.T, n int, to, text string) {
	t.Helper()
	sent := f.transport.sent()
	if len(sent) != n {
		t.Fatalf("%d mails were sent, want %d", len(sent), n)
	}
	last := sent[n-1]
	plain := strings.Join(strings.Fields(parse(t, last.Data).parts["text/plain; charset=UTF-8"]), " ") // without line breaks
	if last.To != to || !strings.Contains(plain, text) || strings.Contains(string(last.Data), "/l/") {
		t.Errorf("to %s, want %s:\n%s", last.To, to, plain)
	}
}

// A link to a new address is never sent if the address is taken: its owner gets a notice in their language, once a day, however many users ask.
func TestTakenAddressGetsANotice(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		f.account(t, "owner@example.org", "ru")
		first, second := f.account(t, "jane@example.org", "en"), f.account(t, "john@example.org", "en")
		asked, _ := f.enqueuePageLink(t, first, link.Email, KindEmailLink, "owner@example.org")
		f.deliverNext(t)
		f.expectRow(t, asked, row{Sent: true, Attempts: 1})
		f.expectNotice(t, 1, "owner@example.org", "попытался указать этот адрес")
		if kind := f.transport.sent()[0].Kind; kind != KindEmailNotice {
			t.Errorf("the kind of the mail is %s", kind)
		}
		asked, _ = f.enqueuePageLink(t, second, link.Email, KindEmailLink, "owner@example.org")
		f.deliverNext(t)
		f.expectRow(t, asked, row{Dead: true, Attempts: 1, LastError: errNotifiedRecently.Error()})

		// The owner is disabled: nobody is notified, and nobody gets the link.
		f.write(t, func(ctx context.Context, q *db.Queries) error {
			now := f.Clock.Now()
			_, err := q.DisableAccount(ctx, db.DisableAccountParams{Now: &now, ID: f.accountOf(t, "owner@example.org").ID})
			return err
		})
		asked, _ = f.enqueuePageLink(t, first, link.Email, KindEmailLink, "owner@example.org")
		f.deliverNext(t)
		f.expectRow(t, asked, row{Dead: true, Attempts: 1, LastError: errAccountDisabled.Error()})

		// Of a sign-up that was not confirmed in time, the address is free.
		until := f.Clock.Now().Add(time.Hour)
		f.write(t, func(ctx context.Context, q *db.Queries) error {
			_, err := q.InsertAccount(ctx, db.InsertAccountParams{
				ID: uuid.Must(uuid.NewV7()), Email: "late@example.org", Language: "en", CreatedAt: f.Clock.Now(), PendingUntil: &until,
			})
			return err
		})
		f.clock.Advance(time.Hour)
		asked, _ = f.enqueuePageLink(t, first, link.Email, KindEmailLink, "late@example.org")
		f.deliverNext(t)
		f.expectRow(t, asked, row{Sent: true, Attempts: 1})
		if sent := f.transport.sent(); len(sent) != 2 || sent[1].To != "late@example.org" || !strings.Contains(string(sent[1].Data), "/l/") {
			t.Errorf("the link to a free address was not sent: %d mails", len(sent))
		}
	})
}

// The notice about an address to which its owner can return goes to that address: for a change to it, and for a sign-up with it.
func TestReservedAddressGetsTheNotice(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		owner, other := f.account(t, "owner@example.org", "en"), f.account(t, "jane@example.org", "en")
		undo, _ := f.enqueuePageLink(t, owner, link.EmailUndo, KindEmailUndo, "old@example.org")
		f.deliverNext(t)
		f.expectRow(t, undo, row{Sent: true, Attempts: 1})
		f.enqueuePageLink(t, other, link.Email, KindEmailLink, "old@example.org")
		f.deliverNext(t)
		f.expectNotice(t, 2, "old@example.org", "tried to set")

		owner = f.account(t, "another.owner@example.org", "en") // who was not notified today
		f.enqueuePageLink(t, owner, link.EmailUndo, KindEmailUndo, "older@example.org")
		f.deliverNext(t)
		decoy, until := uuid.Must(uuid.NewV7()), f.Clock.Now().Add(24*time.Hour)
		notice := idAt(f.Clock.Now())
		f.write(t, func(ctx context.Context, q *db.Queries) error {
			_, err := q.InsertAccount(ctx, db.InsertAccountParams{
				ID: decoy, Email: address.Owner{AccountID: owner, Reserved: true}.Decoy(decoy), Language: "en",
				CreatedAt: f.Clock.Now(), PendingUntil: &until, DecoyOf: &owner})
			if err != nil {
				return err
			}
			return q.InsertMail(ctx, db.InsertMailParams{ID: notice, AccountID: decoy, Kind: KindSignUpNotice, RequestID: "request-0001", Now: f.Clock.Now()})
		})
		f.deliverNext(t)
		f.expectRow(t, notice, row{Sent: true, Attempts: 1})
		f.expectNotice(t, 4, "older@example.org", "tried to sign up")
	})
}

// accountOf returns the account with an address.
func (f *fixture) accountOf(t *testing.T, email string) db.Account {
	t.Helper()
	account, err := f.Store.Read().GetAccountByEmail(t.Context(), email)
	if err != nil {
		t.Fatal(err)
	}
	return account
}
