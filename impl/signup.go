package impl

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/address"
	"github.com/financelime/authorization/impl/event"
	"github.com/financelime/authorization/impl/invite"
	"github.com/financelime/authorization/impl/limit"
	"github.com/financelime/authorization/impl/link"
	"github.com/financelime/authorization/impl/mail"
	"github.com/financelime/authorization/impl/reqinfo"
)

var (
	errInviteNotFound = errors.New("no such invite")
	errUserExists     = errors.New("the address is taken")
	errInviteEnded    = errors.New("the invite has no use left")
)

// exhausted says which invite has no use left.
type exhausted struct{ invite uuid.UUID }

func (exhausted) Error() string { return errInviteEnded.Error() }

func (exhausted) Unwrap() error { return errInviteEnded }

// Signup makes an unconfirmed account and owes its address a confirmation link.
func (s *Service) Signup(ctx context.Context, request api.SignupRequestObject) (api.SignupResponseObject, error) {
	email, err := address.Normalize(request.Body.Email)
	code := request.Body.InviteCode
	if err != nil || code == "" && s.InviteRequired {
		return api.Signup400JSONResponse{Code: 400, Message: api.SignUpFailure400MessageBADPARAMETERS}, nil
	}
	language := strings.ToLower(request.Body.Language[:2]) // en-US is en; the contract lets nothing else through

	accountID := newID()
	err = s.signUp(ctx, db.InsertAccountParams{ID: accountID, Email: email, Language: language}, code)
	s.logSignUp(ctx, accountID, err)
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

// logSignUp tells the log how a sign-up ended, and of an invite that it shows to be unknown or used up.
func (s *Service) logSignUp(ctx context.Context, accountID uuid.UUID, err error) {
	switch {
	case err == nil:
		event.Record(ctx, s.Log, event.SignUpAccepted, event.Account(accountID))
	case errors.Is(err, errInviteNotFound):
		event.Record(ctx, s.Log, event.InviteUnknown)
		event.Record(ctx, s.Log, event.SignUpRefused, event.Reason("invite_not_found"))
	case errors.Is(err, errUserExists):
		event.Record(ctx, s.Log, event.SignUpRefused, event.Reason("address_taken"))
	case errors.Is(err, errInviteEnded):
		if which, told := errors.AsType[exhausted](err); told {
			event.Record(ctx, s.Log, event.InviteExhausted, slog.String("invite_id", which.invite.String()))
		}
		event.Record(ctx, s.Log, event.SignUpRefused, event.Reason("invite_has_ended"))
	}
}

// signUp makes the account in one transaction, or fails with one of the reasons to refuse it. What is refused has counted towards the limits
// all the same, and has changed nothing else; what fails for another reason has changed nothing at all.
//
// Sign-ups from one source that name a code do so one after another, because the limit of unknown codes is locked: so many guesses at
// once are no more than one after another, and a good code is never counted.
func (s *Service) signUp(ctx context.Context, account db.InsertAccountParams, code string) error {
	source := reqinfo.FromContext(ctx).Addr
	signUps, guesses := s.Limits.ClientIPQuota(limit.SignUpSource, source), limit.Quota{}
	if code != "" {
		guesses = s.Limits.ClientIPQuota(limit.InviteSource, source)
	}
	if err := s.Limits.Check(ctx, s.Store, s.Clock.Now(), signUps, guesses); err != nil {
		return err
	}
	done, err := s.Limits.Serialize(ctx, signUps)
	if err != nil {
		return err
	}
	defer done()
	if err := s.Limits.Check(ctx, s.Store, s.Clock.Now(), signUps, guesses); err != nil { // those before may have used it up
		return err
	}
	var refused error
	err = s.Store.InTx(ctx, func(q *db.Queries) error {
		now := s.Clock.Now()
		if err := s.Limits.Take(ctx, q, now, signUps); err != nil {
			return err
		}
		guess, err := s.Limits.Lock(ctx, q, now, guesses)
		if err != nil {
			return err
		}
		err = s.makeAccount(ctx, q, account, code, now)
		switch refused = nil; {
		case errors.Is(err, errInviteNotFound):
			refused = err
			return guess.Take(ctx, q)
		case errors.Is(err, errUserExists), errors.Is(err, errInviteEnded):
			refused = err
			return nil
		}
		return err
	})
	if err != nil {
		return err
	}
	return refused
}

// makeAccount refuses in the contract's order: the invite exists, the address is free, the invite has a use left. So somebody
// who repeats a sign-up after a lost answer hears that the address is taken, not that the invite has ended. While accounts
// are hidden he hears nothing of the address, and the invite's uses come first. What it refuses it has not begun.
func (s *Service) makeAccount(ctx context.Context, q *db.Queries, account db.InsertAccountParams, code string, now time.Time) error {
	use, err := s.findUse(ctx, q, code, now)
	switch {
	case errors.Is(err, errInviteEnded) && s.InviteRequired:
		return s.refuseEnded(ctx, q, account.Email, now, err)
	case err != nil && !errors.Is(err, errInviteEnded):
		return err
	}
	if err := q.DeleteExpiredSignUpByEmail(ctx, db.DeleteExpiredSignUpByEmailParams{Email: account.Email, Now: &now}); err != nil {
		return fmt.Errorf("forget an expired sign-up: %w", err)
	}
	expiresAt := now.Add(s.SignUpLinkTTL)
	account.InviteID, account.CreatedAt, account.PendingUntil = use.invite, now, &expiresAt
	kind, err := s.insertAccount(ctx, q, account)
	if err != nil {
		return err
	}
	if use.invite != nil {
		if err := q.SetInviteReserved(ctx, db.SetInviteReservedParams{ID: *use.invite, Reserved: use.taken}); err != nil {
			return fmt.Errorf("take a use of the invite: %w", err)
		}
	}
	if err := s.Limits.Take(ctx, q, now, s.signUpMails(account.Email)); err != nil {
		return err
	}
	return s.queueLink(ctx, q, account.ID, link.SignUp, kind, now, expiresAt)
}

// refuseEnded is errUserExists where the address is taken, and otherwise the refusal of an invite that has no use left.
func (s *Service) refuseEnded(ctx context.Context, q *db.Queries, email string, now time.Time, ended error) error {
	if s.HideAccounts {
		return ended
	}
	account, err := q.GetAccountByEmail(ctx, email)
	switch {
	case errors.Is(err, db.ErrNotFound):
		return ended
	case err != nil:
		return fmt.Errorf("look whether the address is taken: %w", err)
	case account.PendingUntil != nil && !account.PendingUntil.After(now):
		return ended
	}
	return errUserExists
}

// insertAccount makes the account of a sign-up and says which mail it owes, or fails with errUserExists.
func (s *Service) insertAccount(ctx context.Context, q *db.Queries, account db.InsertAccountParams) (kind string, err error) {
	if s.HideAccounts {
		return insertHidden(ctx, q, account)
	}
	inserted, err := q.InsertAccount(ctx, account)
	if err != nil {
		return "", fmt.Errorf("insert the account: %w", err)
	}
	if inserted == 0 {
		return "", errUserExists
	}
	return mail.KindSignUpLink, nil
}

// use is one use of an invite, or of none.
type use struct {
	invite *uuid.UUID
	taken  int64 // how many uses of the invite are taken, this one included
}

// findUse finds the invite and a use that it has left. Until the transaction ends, no other sign-up can take one.
//
// A clock that is ahead by 5 s frees an unconfirmed sign-up's use as much earlier. One that was set back holds the use of a sign-up that
// has expired as much longer. Either way no invite is spent more often than it may be: ConsumeInvite decides that by its row.
func (s *Service) findUse(ctx context.Context, q *db.Queries, code string, now time.Time) (use, error) {
	if code == "" {
		return use{}, nil // invites are not required, and none was given
	}
	found, err := s.lockInvite(ctx, q, code, now)
	if err != nil {
		return use{}, err
	}
	taken := found.Reserved
	if taken >= found.MaxUses { // unless sign-ups have expired since they were counted
		pending, err := q.CountPendingSignUps(ctx, db.CountPendingSignUpsParams{InviteID: &found.ID, Now: &now})
		if err != nil {
			return use{}, fmt.Errorf("count the invite's pending sign-ups: %w", err)
		}
		taken = found.Uses + pending
	}
	if taken >= found.MaxUses {
		return use{}, exhausted{found.ID}
	}
	return use{invite: &found.ID, taken: taken + 1}, nil
}

// lockInvite finds a usable invite and holds its row. It was stored under one of the secrets that the service accepts.
func (s *Service) lockInvite(ctx context.Context, q *db.Queries, code string, now time.Time) (found db.Invite, err error) {
	for _, hash := range invite.Hashes(s.Root, code) {
		found, err = q.LockInviteByCode(ctx, db.LockInviteByCodeParams{CodeHash: hash, Now: now})
		if err == nil {
			return found, nil
		}
		if !errors.Is(err, db.ErrNotFound) {
			return found, fmt.Errorf("lock the invite: %w", err)
		}
	}
	return found, errInviteNotFound
}

// queueLink makes a confirmation link for an account, in place of an older one for the same purpose, and owes a mail of a kind.
func (s *Service) queueLink(
	ctx context.Context, q *db.Queries, accountID uuid.UUID, purpose link.Purpose, kind string, now, expiresAt time.Time,
) error {
	id := uuid.New() // random: the key of the link is derived from it
	keyHash, ok := link.Hash(s.Links.Key(id))
	if !ok {
		return errors.New("a link key of our own is malformed")
	}
	if err := q.UpsertConfirmation(ctx, db.UpsertConfirmationParams{
		ID: id, AccountID: accountID, Purpose: string(purpose), KeyHash: keyHash, CreatedAt: now, ExpiresAt: expiresAt,
	}); err != nil {
		return fmt.Errorf("store the confirmation: %w", err)
	}
	return queueMail(ctx, q, db.InsertMailParams{AccountID: accountID, Kind: kind, ConfirmationID: &id, Now: now})
}
