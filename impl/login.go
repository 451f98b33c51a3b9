package impl

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/event"
	"github.com/financelime/authorization/impl/limit"
	"github.com/financelime/authorization/impl/token"
)

var (
	// errWrongPassword means that the password does not match one of an active user.
	errWrongPassword = errors.New("wrong password")
	// errAccountChanged means that the password matched, but was replaced before the commit, or the account was disabled or deleted.
	errAccountChanged = errors.New("the account changed during the login")
)

// credential is a password hash that a login is compared with.
type credential struct {
	hash    string
	pending bool // mailed after a reset or sign-up, and not used yet
}

// verifiedUse is what a verified password is used for.
type verifiedUse struct {
	refused event.Name // logged if the password does not match
	// commit does it in one transaction, which also records the success in the limits. It fails with errAccountChanged if the credential is
	// no longer valid.
	commit func(ctx context.Context, account db.Account, verified credential, attempt limit.LoginAttempt) (db.Session, error)
}

// attemptLogin compares a password and uses it if it matches. It fails with errWrongPassword or errAccountChanged.
func (s *Service) attemptLogin(ctx context.Context, email, plain string, use verifiedUse) (db.Session, error) {
	if err := s.Hasher.Busy(); err != nil {
		return db.Session{}, fmt.Errorf("check the password: %w", err)
	}
	return s.attempt(ctx, try{
		email: email, refused: use.refused,
		find: func(ctx context.Context) (db.Account, error) { return s.findAccount(ctx, email) },
		check: func(ctx context.Context, account db.Account, attempt limit.LoginAttempt) (db.Session, error) {
			return s.verify(ctx, account, attempt, plain, use)
		},
	})
}

// verify compares the password with those of the account and uses it. It fails with errWrongPassword or errAccountChanged.
func (s *Service) verify(
	ctx context.Context, account db.Account, attempt limit.LoginAttempt, plain string, use verifiedUse,
) (db.Session, error) {
	credentials := credentials(account, s.Clock.Now()) // none if the account is unknown
	hashes := make([]string, len(credentials))
	for i, c := range credentials {
		hashes[i] = c.hash
	}
	matched, err := s.Hasher.Match(ctx, plain, hashes...) // holds no database connection
	if err != nil {
		return db.Session{}, fmt.Errorf("check the password: %w", err)
	}
	if matched < 0 || attempt.PasswordOff && !credentials[matched].pending {
		return db.Session{}, errWrongPassword
	}

	return use.commit(ctx, account, credentials[matched], attempt)
}

// secondFactorRequiredError means that the password was right, and that the account needs a second factor as well.
type secondFactorRequiredError struct {
	account  db.Account
	verified credential
}

func (*secondFactorRequiredError) Error() string { return "a second factor is required" }

// login is the use of a verified password to start a session. It fails with a secondFactorRequiredError if the account needs a second factor:
// nothing is written then.
func (s *Service) login(body *api.CreateAccessTokenRequest) verifiedUse {
	return verifiedUse{event.LoginFailed, func(
		ctx context.Context, account db.Account, verified credential, attempt limit.LoginAttempt,
	) (db.Session, error) {
		if account.SecondFactorSince != nil {
			return db.Session{}, &secondFactorRequiredError{account, verified}
		}
		session, err := s.startSession(ctx, body.ClientID, deref(body.Device.Platform), attempt,
			func(context.Context, *db.Queries, time.Time) (loginProof, error) {
				return loginProof{account, verified, []string{token.Password}}, nil
			})
		if err != nil {
			return db.Session{}, err
		}
		s.upgradeHash(ctx, account, verified, body.Password)
		return session, nil
	}}
}

// credentials returns the passwords that can log an account in at a time. A clock that is wrong by some seconds, or was set back by
// minutes, changes the lifetime of a pending password by as much; it is a day.
func credentials(account db.Account, now time.Time) []credential {
	if account.PendingUntil != nil || account.DisabledAt != nil {
		return nil
	}
	var all []credential
	if account.PasswordHash != nil {
		all = append(all, credential{hash: *account.PasswordHash})
	}
	if account.PendingPasswordHash != nil && account.PendingPasswordExpiresAt != nil && account.PendingPasswordExpiresAt.After(now) {
		all = append(all, credential{hash: *account.PendingPasswordHash, pending: true})
	}
	return all
}

// upgradeHash hashes the password again if its hash has older parameters than the current ones. The login has succeeded, so an error is
// only logged; the next login tries again. While the account has a pending password, both hashes must keep the same parameters.
func (s *Service) upgradeHash(ctx context.Context, account db.Account, verified credential, plain string) {
	if !s.Hasher.NeedsRehash(verified.hash) || account.PendingPasswordHash != nil && !verified.pending {
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
