package impl

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/event"
	"github.com/financelime/authorization/impl/limit"
	"github.com/financelime/authorization/impl/reqinfo"
	"github.com/financelime/authorization/impl/token"
)

// CreateAccessTokenByPasskey is the login by a passkey alone. The authenticator must have verified the user, so it counts as two factors.
//
// It neither counts as a failure of the account nor forgets one: nobody can guess a signature, and a passkey says nothing about the password.
// A mailed password that was not used yet stays pending. An unknown passkey, a wrong signature and a disabled account get the same response.
func (s *Service) CreateAccessTokenByPasskey(
	ctx context.Context, request api.CreateAccessTokenByPasskeyRequestObject,
) (api.CreateAccessTokenByPasskeyResponseObject, error) {
	body := request.Body
	if !s.allowsClient(body.ClientID) {
		return api.CreateAccessTokenByPasskey400JSONResponse{
			Code: 400, Message: api.PasskeyLogInFailure400MessageBADPARAMETERS, Parameters: reject(ctx, "clientID"),
		}, nil
	}
	if err := s.Limits.Check(ctx, s.Store, s.Clock.Now(), s.passkeyQuota(ctx)); err != nil {
		return nil, fmt.Errorf("log in with a passkey: %w", err)
	}
	session, err := s.loginByPasskey(ctx, body)
	if errors.Is(err, errWrongFactor) || errors.Is(err, errAccountChanged) {
		if err := s.countPasskeyFailure(ctx); err != nil {
			return nil, fmt.Errorf("count a failed login: %w", err)
		}
		return api.CreateAccessTokenByPasskey404JSONResponse{Code: 404, Message: api.PasskeyLogInFailure404MessageUSERNOTFOUND}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("log in with a passkey: %w", err)
	}
	tokens, err := s.tokens(ctx, session)
	if err == nil {
		event.Record(ctx, s.Log, event.LoginSucceeded)
	}
	return api.CreateAccessTokenByPasskey200JSONResponse(tokens), err
}

// loginByPasskey verifies the passkey and starts a session. It fails with errWrongFactor, or with errAccountChanged if the account is not
// active.
func (s *Service) loginByPasskey(ctx context.Context, body *api.PasskeyLogInRequest) (db.Session, error) {
	verified, err := s.verifyPasskey(ctx, s.Store.Read(), body.Ceremony, body.Credential, token.CeremonyLogIn)
	if errors.Is(err, errWrongFactor) {
		event.Record(ctx, s.Log, event.LoginFailed, event.Reason("wrong_passkey"))
	}
	if err != nil {
		return db.Session{}, err
	}
	var account db.Account
	session, err := s.startSession(ctx, body.ClientID, deref(body.Device.Platform), limit.LoginAttempt{},
		func(ctx context.Context, q *db.Queries, now time.Time) (proof loginProof, err error) {
			account, err = q.LockAccount(ctx, verified.stored.AccountID)
			if errors.Is(err, db.ErrNotFound) {
				return proof, errAccountChanged // deleted since
			}
			if err != nil {
				return proof, fmt.Errorf("lock the account: %w", err)
			}
			if account.PendingUntil != nil || account.DisabledAt != nil {
				return proof, errAccountChanged
			}
			err = s.recordPasskey(ctx, q, account, verified, now)
			return loginProof{account: account, methods: append(verified.methods(), token.MultiFactor)}, err
		})
	if errors.Is(err, errWrongFactor) || errors.Is(err, errAccountChanged) {
		s.logPasskeyRefused(ctx, account, err)
	}
	return session, err
}

// logPasskeyRefused logs why a passkey with a valid signature did not log in. The client does not learn it.
func (s *Service) logPasskeyRefused(ctx context.Context, account db.Account, err error) {
	switch {
	case account.ID == uuid.Nil:
		event.Record(ctx, s.Log, event.LoginFailed, event.Reason("changed_meanwhile"))
	case errors.Is(err, errWrongFactor):
		event.Record(ctx, s.Log, event.LoginFailed, event.Reason("wrong_passkey"), event.Account(account.ID))
	default:
		event.Record(ctx, s.Log, event.LoginFailed, event.Reason("disabled"), event.Account(account.ID))
	}
}

// passkeyQuota returns the limit of failed logins of the client IP.
func (s *Service) passkeyQuota(ctx context.Context) limit.Quota {
	return s.Limits.ClientIPQuota(limit.LoginSource, reqinfo.FromContext(ctx).Addr)
}

// countPasskeyFailure counts a failed login of the client IP, also if the client has disconnected. It needs no reservation, as a password
// does: parallel guesses gain nothing, because nobody can guess a signature.
func (s *Service) countPasskeyFailure(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	quota := s.passkeyQuota(ctx)
	unlock, err := s.Limits.Serialize(ctx, quota)
	if err != nil {
		return err
	}
	defer unlock()
	return s.Store.InTx(ctx, func(q *db.Queries) error { return s.Limits.Take(ctx, q, s.Clock.Now(), quota) })
}
