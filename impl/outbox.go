package impl

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/link"
	"github.com/financelime/authorization/impl/mail"
	"github.com/financelime/authorization/impl/reqinfo"
)

// enqueueMail enqueues a mail to the address of an account, in the transaction that causes it. The mail stores the ID of the request that
// caused it: its link contains that ID, and so does the request of the click.
func enqueueMail(ctx context.Context, q *db.Queries, m db.InsertMailParams) error {
	m.RequestID = reqinfo.FromContext(ctx).RequestID
	_, err := mail.Enqueue(ctx, q, m)
	return err
}

// enqueueLink creates a confirmation link for an account, which replaces an older one for the same purpose, and enqueues a mail of the given
// kind with it.
func (s *Service) enqueueLink(
	ctx context.Context, q *db.Queries, accountID uuid.UUID, purpose link.Purpose, kind string, now, expiresAt time.Time,
) error {
	id, keyHash := s.Links.Create()
	if err := q.UpsertConfirmation(ctx, db.UpsertConfirmationParams{
		ID: id, AccountID: accountID, Purpose: string(purpose), KeyHash: keyHash, CreatedAt: now, ExpiresAt: expiresAt,
	}); err != nil {
		return fmt.Errorf("store the confirmation: %w", err)
	}
	return enqueueMail(ctx, q, db.InsertMailParams{AccountID: accountID, Kind: kind, ConfirmationID: &id, Now: now})
}

// enqueuePageLink creates a link that opens a page, which replaces an older one of the account for the same purpose, and enqueues a mail of
// the given kind with it. The ID and the hash of the key in row are ignored. It returns the ID of the link.
func (s *Service) enqueuePageLink(ctx context.Context, q *db.Queries, row db.UpsertLinkParams, kind string) (id uuid.UUID, err error) {
	return mail.EnqueuePageLink(ctx, q, s.Links, row, kind, reqinfo.FromContext(ctx).RequestID)
}
