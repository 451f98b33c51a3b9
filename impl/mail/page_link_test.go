package mail

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/link"
)

// enqueuePageLink inserts a link that opens a page and enqueues its mail. An empty address stands for that of the account.
func (f *fixture) enqueuePageLink(t *testing.T, account uuid.UUID, purpose link.Purpose, kind, address string) (mailID, linkID uuid.UUID) {
	t.Helper()
	linkID = uuid.New()
	hash, _ := link.Hash(f.Links.Key(linkID))
	row := db.UpsertLinkParams{
		ID: linkID, AccountID: account, Purpose: string(purpose), KeyHash: hash, CreatedAt: f.Clock.Now(), ExpiresAt: f.Clock.Now().Add(time.Hour),
	}
	if address != "" {
		row.Address = &address
	}
	f.write(t, func(ctx context.Context, q *db.Queries) error { return q.UpsertLink(ctx, row) })
	mailID = f.enqueue(t, db.InsertMailParams{AccountID: account, Kind: kind, ConfirmationID: &linkID})
	return mailID, linkID
}

// pageLinks are the kinds of mail with a link that opens a page.
var pageLinks = []struct {
	kind    string
	purpose link.Purpose
	address string
}{
	{KindSignUpChooseLink, link.SignUp, ""},
	{KindPasswordChooseLink, link.PasswordReset, ""},
	{KindEmailLink, link.Email, "new@example.org"},
	{KindEmailUndo, link.EmailUndo, "old@example.org"},
	{KindDeletionUndo, link.DeletionUndo, ""},
}

func TestPageLinks(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		account := f.account(t, "jane@example.org", "en")
		for i, kind := range pageLinks {
			mailID, linkID := f.enqueuePageLink(t, account, kind.purpose, kind.kind, kind.address)
			f.deliverNext(t)
			f.expectRow(t, mailID, row{Sent: true, Attempts: 1})
			env := f.transport.sent()[i]
			want := kind.address
			if want == "" {
				want = "jane@example.org"
			}
			if env.To != want {
				t.Errorf("%s: to %s, want %s", kind.kind, env.To, want)
			}
			if got, want := secretOf(t, env, "/l/"), link.PageURL(testPublicURL, f.Links.Key(linkID), "request-0001"); got != want {
				t.Errorf("%s: link %q, want %q", kind.kind, got, want)
			}
		}
	})
}

// A link that was used, replaced or has expired is not mailed, and its mail cannot be retried.
func TestVoidPageLinksAreNotMailed(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		account := f.account(t, "jane@example.org", "en")
		for _, kind := range pageLinks {
			replaced, _ := f.enqueuePageLink(t, account, kind.purpose, kind.kind, kind.address)
			used, _ := f.enqueuePageLink(t, account, kind.purpose, kind.kind, kind.address)
			f.deliverNext(t)
			f.expectRow(t, replaced, row{Dead: true, Attempts: 1, LastError: string(errSuperseded)})
			f.write(t, func(ctx context.Context, q *db.Queries) error {
				_, err := q.DeleteLink(ctx, db.DeleteLinkParams{AccountID: account, Purpose: string(kind.purpose)})
				return err
			})
			f.deliverNext(t)
			f.expectRow(t, used, row{Dead: true, Attempts: 1, LastError: string(errLinkExpired)})
			expired, _ := f.enqueuePageLink(t, account, kind.purpose, kind.kind, kind.address)
			f.clock.Advance(time.Hour)
			f.deliverNext(t)
			f.expectRow(t, expired, row{Dead: true, Attempts: 1, LastError: string(errLinkExpired)})
			f.expectCannotRetry(t, replaced, errLink)
			f.expectCannotRetry(t, expired, errLink)
		}
		if sent := f.transport.attempts(); len(sent) != 0 {
			t.Errorf("%d mails were sent", len(sent))
		}
	})
}

// The notice about a requested address goes to the account's address, while the link to the new one is open.
func TestEmailAsked(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		account := f.account(t, "jane@example.org", "ru")
		notice := func() uuid.UUID {
			_, linkID := f.enqueuePageLink(t, account, link.Email, KindEmailLink, "new@example.org")
			now, platform, addr := f.Clock.Now(), "Linux", "203.0.113.9"
			return f.enqueue(t, db.InsertMailParams{
				AccountID: account, Kind: KindEmailAsked, ConfirmationID: &linkID, HappenedAt: &now, Platform: &platform, RemoteAddr: &addr,
			})
		}
		sent := notice()
		f.deliverNext(t)
		f.deliverNext(t)
		f.expectRow(t, sent, row{Sent: true, Attempts: 1})
		if env := f.transport.sent()[1]; env.To != "jane@example.org" || env.Kind != KindEmailAsked {
			t.Errorf("%s to %s", env.Kind, env.To)
		}
		cancelled := notice()
		f.write(t, func(ctx context.Context, q *db.Queries) error {
			_, err := q.DeleteAccountLinks(ctx, account)
			return err
		})
		f.deliverNext(t)
		f.deliverNext(t)
		f.expectRow(t, cancelled, row{Dead: true, Attempts: 1, LastError: string(errLinkExpired)})
	})
}

// An account that its owner has deleted receives only the links that undo that; a disabled one receives none.
func TestMailsToClosingAccounts(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		for _, state := range []struct {
			name, set string
			allowed   []string
		}{
			{"closing", "UPDATE account SET disabled_at = created_at, closing_until = created_at", []string{KindEmailUndo, KindDeletionUndo}},
			{"disabled", "UPDATE account SET disabled_at = created_at", nil},
		} {
			account := f.account(t, state.name+"@example.org", "en")
			if _, err := f.raw.ExecContext(t.Context(), state.set); err != nil {
				t.Fatal(err)
			}
			allowed := map[string]bool{}
			for _, kind := range state.allowed {
				allowed[kind] = true
			}
			for _, kind := range pageLinks {
				id, _ := f.enqueuePageLink(t, account, kind.purpose, kind.kind, kind.address)
				f.deliverNext(t)
				want := row{Dead: true, Attempts: 1, LastError: string(errAccountDisabled)}
				if allowed[kind.kind] {
					want = row{Sent: true, Attempts: 1}
				}
				f.expectRow(t, id, want)
				if !allowed[kind.kind] {
					f.expectCannotRetry(t, id, errDisabled)
				}
			}
		}
	})
}

// A mail with a link for a password says that the present one stays, unless there is none: an undo of a change of the address voids it.
func TestPasswordLinkSaysWhetherThereIsAPassword(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		account := f.account(t, "jane@example.org", "en")
		hash, now := "hash", f.Clock.Now()
		set := func(ctx context.Context, q *db.Queries) error {
			_, err := q.ConfirmAccount(ctx, account)
			if err != nil {
				return err
			}
			_, err = q.SetChosenPassword(ctx, db.SetChosenPasswordParams{PasswordHash: &hash, Now: &now, ID: account})
			return err
		}
		void := func(ctx context.Context, q *db.Queries) error {
			_, err := q.UndoAccountEmail(ctx, db.UndoAccountEmailParams{Email: "jane@example.org", ID: account})
			return err
		}
		for i, step := range []struct {
			change     func(context.Context, *db.Queries) error
			says, lies string
		}{{set, "stays the same", "no password now"}, {void, "no password now", "stays the same"}} {
			f.write(t, step.change)
			f.enqueuePageLink(t, account, link.PasswordReset, KindPasswordChooseLink, "")
			f.deliverNext(t)
			text := strings.Join(strings.Fields(parse(t, f.transport.sent()[i].Data).parts["text/plain; charset=UTF-8"]), " ")
			if !strings.Contains(text, step.says) || strings.Contains(text, step.lies) {
				t.Errorf("mail %d:\n%s", i, text)
			}
		}
	})
}
