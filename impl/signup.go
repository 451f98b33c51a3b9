package impl

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/address"
	"github.com/financelime/authorization/impl/invite"
	"github.com/financelime/authorization/impl/link"
	"github.com/financelime/authorization/impl/mail"
)

var (
	errInviteNotFound = errors.New("no such invite")
	errUserExists     = errors.New("the address is taken")
	errInviteEnded    = errors.New("the invite has no use left")
)

// Signup makes an unconfirmed account and owes its address a confirmation link.
func (s *Service) Signup(ctx context.Context, request api.SignupRequestObject) (api.SignupResponseObject, error) {
	email, err := address.Normalize(request.Body.Email)
	code := request.Body.InviteCode
	if err != nil || code == "" && s.InviteRequired {
		return api.Signup400JSONResponse{Code: 400, Message: api.SignUpFailure400MessageBADPARAMETERS}, nil
	}
	language := strings.ToLower(request.Body.Language[:2]) // en-US is en; the contract lets nothing else through

	err = s.Store.InTx(ctx, func(q *db.Queries) error {
		return s.signUp(ctx, q, email, language, code)
	})
	switch {
	case errors.Is(err, errInviteNotFound):
		return api.Signup404JSONResponse{Code: 404, Message: api.SignUpFailure404MessageINVITENOTFOUND}, nil
	case errors.Is(err, errUserExists):
		return api.Signup409JSONResponse{Code: 409, Message: api.SignUpFailure409MessageUSERALREADYEXIST}, nil
	case errors.Is(err, errInviteEnded):
		return api.Signup409JSONResponse{Code: 409, Message: api.SignUpFailure409MessageINVITEHASENDED}, nil
	case err != nil:
		return nil, fmt.Errorf("sign up: %w", err)
	}
	s.MailQueued()
	return api.Signup204Response{}, nil
}

// signUp refuses in the contract's order: the invite exists, the address is free, the invite has a use left. So somebody
// who repeats a sign-up after a lost answer hears that the address is taken, not that the invite has ended.
func (s *Service) signUp(ctx context.Context, q *db.Queries, email, language, code string) error {
	now := s.now()
	inviteID, err := s.holdInvite(ctx, q, code, now)
	if err != nil && !errors.Is(err, errInviteEnded) {
		return err
	}
	ended := err

	if err := q.DeleteExpiredSignUp(ctx, db.DeleteExpiredSignUpParams{Email: email, Now: &now}); err != nil {
		return fmt.Errorf("forget an expired sign-up: %w", err)
	}
	accountID, expiresAt := newID(), now.Add(s.SignUpLinkTTL)
	inserted, err := q.InsertAccount(ctx, db.InsertAccountParams{
		ID: accountID, Email: email, Language: language, InviteID: inviteID, CreatedAt: now, PendingUntil: &expiresAt,
	})
	if err != nil {
		return fmt.Errorf("insert the account: %w", err)
	}
	if inserted == 0 {
		return errUserExists
	}
	if ended != nil && s.InviteRequired {
		return ended
	}
	return s.queueLink(ctx, q, accountID, purposeSignUp, now, expiresAt)
}

// holdInvite finds the invite and, while it has a use left, returns its id for the sign-up to hold one. Until the transaction ends,
// no other sign-up can count the uses of this invite.
func (s *Service) holdInvite(ctx context.Context, q *db.Queries, code string, now time.Time) (*uuid.UUID, error) {
	if code == "" {
		return nil, nil //nolint:nilnil // invites are not required and none was given
	}
	found, err := q.LockInvite(ctx, db.LockInviteParams{CodeHash: invite.Hash(s.Root, code), Now: now})
	if errors.Is(err, db.ErrNotFound) {
		return nil, errInviteNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("lock the invite: %w", err)
	}
	pending, err := q.CountPendingSignUps(ctx, db.CountPendingSignUpsParams{InviteID: &found.ID, Now: &now})
	if err != nil {
		return nil, fmt.Errorf("count the invite's pending sign-ups: %w", err)
	}
	if found.Uses+pending >= found.MaxUses {
		return nil, errInviteEnded
	}
	return &found.ID, nil
}

// queueLink makes a confirmation link for an account, in place of an older one for the same purpose, and owes its mail.
func (s *Service) queueLink(
	ctx context.Context, q *db.Queries, accountID uuid.UUID, purpose string, now, expiresAt time.Time,
) error {
	id := uuid.New() // random: the key of the link is derived from it
	keyHash, ok := link.Hash(s.Links.Key(id))
	if !ok {
		return errors.New("a link key of our own is malformed")
	}
	if err := q.PutConfirmation(ctx, db.PutConfirmationParams{
		ID: id, AccountID: accountID, Purpose: purpose, KeyHash: keyHash, CreatedAt: now, ExpiresAt: expiresAt,
	}); err != nil {
		return fmt.Errorf("store the confirmation: %w", err)
	}
	return queueMail(ctx, q, db.InsertMailParams{AccountID: accountID, Kind: linkMail(purpose), ConfirmationID: &id, Now: now})
}

// linkMail is the kind of mail that carries the link for a purpose.
func linkMail(purpose string) string {
	if purpose == purposeSignUp {
		return mail.KindSignUpLink
	}
	return mail.KindPasswordLink
}
