package dev

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/admin"
	"github.com/financelime/authorization/impl/link"
)

// restoreSignUp returns the key of the link of the example sign-up: of a link that acts when it is opened, or of one that opens a page. If
// there is no unconfirmed sign-up with such a link, it creates one, without a mail.
func (s *seed) restoreSignUp(ctx context.Context, opensPage bool) (key string, err error) {
	err = retryConflicts(func() error {
		var found bool
		if key, found, err = s.findSignUp(ctx, opensPage); err != nil || found {
			return err
		}
		if err := s.deleteSignUp(ctx); err != nil {
			return err
		}
		key, err = s.createSignUp(ctx, opensPage)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("restore the example sign-up: %w", err)
	}
	return key, nil
}

func (s *seed) findSignUp(ctx context.Context, opensPage bool) (key string, ok bool, err error) {
	account, err := s.store.Read().GetAccountByEmail(ctx, s.newEmail)
	if err == nil && (account.PendingUntil == nil || account.DisabledAt != nil) {
		return "", false, nil
	}
	var found db.Link
	if err == nil {
		found, err = s.findLink(ctx, account.ID, opensPage)
	}
	if errors.Is(err, db.ErrNotFound) {
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	if !found.ExpiresAt.After(now()) || !account.PendingUntil.After(now()) {
		return "", false, nil
	}
	key, ok = s.links.Find(found.ID, found.KeyHash)
	return key, ok, nil
}

// findLink returns the link of a sign-up in one of its forms. Of a link that acts when it is opened, it has only the fields used here.
func (s *seed) findLink(ctx context.Context, accountID uuid.UUID, opensPage bool) (db.Link, error) {
	if opensPage {
		return s.store.Read().GetLink(ctx, db.GetLinkParams{AccountID: accountID, Purpose: string(link.SignUp)})
	}
	c, err := s.store.Read().GetConfirmation(ctx, db.GetConfirmationParams{AccountID: accountID, Purpose: string(link.SignUp)})
	return db.Link{ID: c.ID, KeyHash: c.KeyHash, ExpiresAt: c.ExpiresAt}, err
}

// deleteSignUp deletes the account of the example sign-up, confirmed or not, if there is one.
func (s *seed) deleteSignUp(ctx context.Context) error {
	account, err := s.store.Read().GetAccountByEmail(ctx, s.newEmail)
	if err == nil {
		_, err = admin.Delete(ctx, s.store, account.ID)
	}
	if err != nil && !errors.Is(err, db.ErrNotFound) && !errors.Is(err, admin.ErrNoUser) {
		return fmt.Errorf("delete the example sign-up: %w", err)
	}
	return nil
}

func (s *seed) createSignUp(ctx context.Context, opensPage bool) (key string, err error) {
	accountID, err := uuid.NewV7()
	if err != nil {
		return "", fmt.Errorf("make an ID: %w", err)
	}
	linkID, keyHash := s.links.Create()
	key = s.links.Key(linkID)
	err = s.store.InTx(ctx, func(q *db.Queries) error {
		created := now()
		until := created.Add(s.signUpLinkTTL)
		inserted, err := q.InsertAccount(ctx, db.InsertAccountParams{
			ID: accountID, Email: s.newEmail, Language: "en", CreatedAt: created, PendingUntil: &until,
		})
		if err != nil {
			return err
		}
		if inserted == 0 {
			return db.ErrConflict
		}
		if opensPage {
			return q.UpsertLink(ctx, db.UpsertLinkParams{
				ID: linkID, AccountID: accountID, Purpose: string(link.SignUp), KeyHash: keyHash, CreatedAt: created, ExpiresAt: until,
			})
		}
		return q.UpsertConfirmation(ctx, db.UpsertConfirmationParams{
			ID: linkID, AccountID: accountID, Purpose: string(link.SignUp), KeyHash: keyHash, CreatedAt: created, ExpiresAt: until,
		})
	})
	return key, err
}
