package impl

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/limit"
	"github.com/financelime/authorization/impl/link"
	"github.com/financelime/authorization/impl/reqinfo"
	"github.com/financelime/authorization/impl/secret"
	"github.com/financelime/authorization/test/dbtest"
)

// A link whose purpose this version does not have is an error (500) and not a panic, and it is not consumed.
func TestUnknownPurposeIsNotConfirmed(t *testing.T) {
	t.Parallel()
	url := dbtest.SQLiteURL(t)
	store := dbtest.Open(t, url)
	root, err := secret.Generate()
	must(t, err)
	queued := 0
	s := &Service{
		Store: store, Root: root, Links: link.New(root), Limits: limit.New(root, nil), Log: slog.New(slog.DiscardHandler),
		MailQueued: func() { queued++ },
	}
	account, confirmation := newID(), uuid.New()
	key := s.Links.Key(confirmation)
	hash, _ := link.Hash(key)
	now := time.Now()
	until := now.Add(time.Hour)
	must(t, store.InTx(t.Context(), func(q *db.Queries) error {
		if _, err := q.InsertAccount(t.Context(), db.InsertAccountParams{
			ID: account, Email: "jane@example.org", Language: "en", CreatedAt: now, PendingUntil: &until}); err != nil {
			return err
		}
		return q.UpsertConfirmation(t.Context(), db.UpsertConfirmationParams{
			ID: confirmation, AccountID: account, Purpose: string(link.SignUp), KeyHash: hash, CreatedAt: now, ExpiresAt: until})
	}))
	raw := dbtest.Raw(t, url)
	raw.SetMaxOpenConns(1) // the PRAGMA affects one connection
	setPurpose := func(purpose string) {
		t.Helper()
		for _, statement := range []string{"PRAGMA ignore_check_constraints = on", "UPDATE confirmation SET purpose = '" + purpose + "'"} {
			_, err := raw.ExecContext(t.Context(), statement)
			must(t, err)
		}
	}
	click := func() (api.ConfirmUserEmailResponseObject, error) {
		ctx := reqinfo.NewContext(context.WithoutCancel(t.Context()), &reqinfo.Info{RequestID: "request-1"})
		return s.ConfirmUserEmail(ctx, api.ConfirmUserEmailRequestObject{ConfirmationKey: key})
	}

	setPurpose("other")
	response, err := click()
	if response != nil || err == nil || errors.Is(err, db.ErrNotFound) || !strings.Contains(err.Error(), `"other"`) || queued != 0 {
		t.Errorf("error %v, a response: %t, %d mails", err, response != nil, queued)
	}
	setPurpose(string(link.SignUp))
	response, err = click()
	must(t, err)
	if page, ok := response.(pageResponse); !ok || page.Status != 200 || queued != 1 {
		t.Errorf("the link was consumed: status %d, %d mails", page.Status, queued)
	}
}
