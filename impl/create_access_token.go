package impl

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/address"
	"github.com/financelime/authorization/impl/event"
	"github.com/financelime/authorization/impl/limit"
)

var (
	// errWrongPassword says that the password is not that of an active user.
	errWrongPassword = errors.New("wrong password")
	// errAccountChanged says that the password that was verified is no longer the account's, or the account no longer active.
	errAccountChanged = errors.New("the account changed during the log-in")
)

// CreateAccessToken logs a user in: it begins a session on one device.
//
// Unknown address, wrong password, unconfirmed and disabled account take the same way to the same answer: one
// lookup, one computed hash, 404.
func (s *Service) CreateAccessToken(
	ctx context.Context, request api.CreateAccessTokenRequestObject,
) (api.CreateAccessTokenResponseObject, error) {
	body := request.Body
	email, err := address.Normalize(body.Email)
	if err != nil || len(s.ClientIDs) > 0 && !slices.Contains(s.ClientIDs, body.ClientID) {
		return api.CreateAccessToken400JSONResponse{Code: 400, Message: api.CreateAccessTokenFailure400MessageBADPARAMETERS}, nil
	}

	session, err := s.tryLogin(ctx, email, body)
	if errors.Is(err, errWrongPassword) || errors.Is(err, errAccountChanged) {
		return api.CreateAccessToken404JSONResponse{Code: 404, Message: api.CreateAccessTokenFailure404MessageUSERNOTFOUND}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("log in: %w", err)
	}
	tokens, err := s.tokens(ctx, session)
	if err == nil {
		event.Record(ctx, s.Log, event.LoginSucceeded)
	}
	return api.CreateAccessToken200JSONResponse(tokens), err
}

// findAccount finds the account with an address; the zero account where there is none.
func (s *Service) findAccount(ctx context.Context, email string) (db.Account, error) {
	account, err := s.Store.Read().GetAccountByEmail(ctx, email)
	if err != nil && !errors.Is(err, db.ErrNotFound) {
		return db.Account{}, fmt.Errorf("find the account: %w", err)
	}
	return account, nil
}

// credential is a password hash that a log-in is tried against.
type credential struct {
	hash  string
	armed bool // mailed, and not used yet
}

// login fails with errWrongPassword, or with errAccountChanged where the password was right and the account was changed meanwhile.
func (s *Service) login(
	ctx context.Context, account db.Account, attempt limit.LoginAttempt, body *api.CreateAccessTokenRequest,
) (db.Session, error) {
	credentials := credentials(account, s.Clock.Now()) // none of an unknown account
	hashes := make([]string, len(credentials))
	for i, c := range credentials {
		hashes[i] = c.hash
	}
	matched, err := s.Hasher.Match(ctx, body.Password, hashes...) // holds no database connection
	if err != nil {
		return db.Session{}, fmt.Errorf("check the password: %w", err)
	}
	if matched < 0 || attempt.PasswordOff && !credentials[matched].armed {
		return db.Session{}, errWrongPassword
	}

	session, err := s.startSession(ctx, account, credentials[matched], attempt, body)
	if err != nil {
		return db.Session{}, err
	}
	s.renewHash(ctx, account, credentials[matched], body.Password)
	return session, nil
}

// credentials are the passwords that would log an account in at the time. A clock that is behind or ahead by seconds, or was set back by
// minutes, changes the day that a mailed password lives by as much.
func credentials(account db.Account, now time.Time) []credential {
	if account.PendingUntil != nil || account.DisabledAt != nil {
		return nil
	}
	var all []credential
	if account.PasswordHash != nil {
		all = append(all, credential{hash: *account.PasswordHash})
	}
	if account.PendingPasswordHash != nil && account.PendingPasswordExpiresAt != nil && account.PendingPasswordExpiresAt.After(now) {
		all = append(all, credential{hash: *account.PendingPasswordHash, armed: true})
	}
	return all
}

// renewHash hashes a password anew whose hash has older parameters than today's. The log-in has succeeded: whatever goes
// wrong here is for the log, and the next log-in tries again. While a password is armed, the two must keep their parameters alike.
func (s *Service) renewHash(ctx context.Context, account db.Account, verified credential, plain string) {
	if !s.Hasher.NeedsRehash(verified.hash) || account.PendingPasswordHash != nil && !verified.armed {
		return
	}
	hash, err := s.Hasher.Hash(ctx, plain, "")
	if err == nil {
		err = s.Store.Write(ctx, func(q *db.Queries) error {
			return q.RehashPassword(ctx, db.RehashPasswordParams{PasswordHash: &hash, ID: account.ID, VerifiedHash: &verified.hash})
		})
	}
	if err != nil {
		event.Record(ctx, s.Log, event.PasswordRehashFailed, event.Account(account.ID), slog.Any("error", err))
	}
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
