package dev

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/admin"
	"github.com/financelime/authorization/impl/clock"
	"github.com/financelime/authorization/impl/invite"
	"github.com/financelime/authorization/impl/link"
	"github.com/financelime/authorization/impl/password"
	"github.com/financelime/authorization/impl/secret"
)

// The example invite does not run out: it has so many uses, and is valid for so long.
const (
	inviteUses     = math.MaxInt32
	inviteLifetime = 100 * 365 * 24 * time.Hour
)

// attempts is how often a restore is tried if another replica restores the same row at the same time.
const attempts = 5

// seed creates what the examples need, and restores it.
type seed struct {
	examples

	store         *db.Store
	root          secret.Root
	hasher        *password.Hasher
	links         link.Keys
	signUpLinkTTL time.Duration
	refreshTTL    time.Duration
	sessionMaxAge time.Duration

	mu   sync.Mutex
	hash string // of the example password, as the account has it or gets it; guarded by mu
}

func now() time.Time { return clock.Clock(nil).Now() }

// create creates the invite, the user and the session that are missing. The unconfirmed sign-up is created when its link is opened.
func (s *seed) create(ctx context.Context) error {
	if err := s.createInvite(ctx); err != nil {
		return err
	}
	_, err := s.restoreSession(ctx)
	return err
}

// retryConflicts calls restore again if another replica has changed the same rows meanwhile.
func retryConflicts(restore func() error) (err error) {
	for range attempts {
		if err = restore(); !errors.Is(err, db.ErrConflict) && !errors.Is(err, admin.ErrNoUser) {
			return err
		}
	}
	return err
}

func (s *seed) createInvite(ctx context.Context) error {
	_, err := invite.Create(ctx, s.store, s.root, invite.Options{Code: s.inviteCode, Uses: inviteUses, Lifetime: inviteLifetime}, now())
	if err != nil && !errors.Is(err, invite.ErrExists) {
		return fmt.Errorf("create the example invite: %w", err)
	}
	return nil
}

// restoreUser makes the example user active. It does not change the password of an existing user.
func (s *seed) restoreUser(ctx context.Context) (account db.Account, err error) {
	err = retryConflicts(func() error {
		account, err = s.findUser(ctx)
		switch {
		case errors.Is(err, db.ErrNotFound):
			if err := s.createUser(ctx); err != nil {
				return err
			}
			account, err = s.store.Read().GetAccount(ctx, s.userID)
		case err == nil && account.DisabledAt != nil:
			_, err = admin.Enable(ctx, s.store, s.userID, now())
			if errors.Is(err, admin.ErrNotDisabled) {
				err = nil
			}
		}
		return err
	})
	if err != nil {
		return account, fmt.Errorf("restore the example user: %w", err)
	}
	return account, nil
}

// findUser returns the example user. It deletes other accounts with the user's address or ID.
func (s *seed) findUser(ctx context.Context) (db.Account, error) {
	account, err := s.store.Read().GetAccountByEmail(ctx, s.userEmail)
	if err == nil && account.ID == s.userID && account.PendingUntil == nil {
		return account, nil
	}
	if errors.Is(err, db.ErrNotFound) {
		account, err = s.store.Read().GetAccount(ctx, s.userID) // the user of an older openapi.yaml, with another address
	}
	if err != nil {
		return account, err
	}
	if _, err := admin.Delete(ctx, s.store, account.ID); err != nil {
		return account, err
	}
	return account, db.ErrNotFound
}

func (s *seed) createUser(ctx context.Context) error {
	hash, err := s.passwordHash(ctx)
	if err != nil {
		return err
	}
	return s.store.InTx(ctx, func(q *db.Queries) error {
		created := now()
		until := created.Add(time.Hour)
		inserted, err := q.InsertAccount(ctx, db.InsertAccountParams{
			ID: s.userID, Email: s.userEmail, Language: "en", CreatedAt: created, PendingUntil: &until,
		})
		if err != nil {
			return err
		}
		if inserted == 0 {
			return db.ErrConflict
		}
		if _, err := q.ConfirmAccount(ctx, s.userID); err != nil {
			return err
		}
		return s.setPassword(ctx, q, hash)
	})
}

// restorePassword restores the example user, the example password, and the right to log in after too many failures.
func (s *seed) restorePassword(ctx context.Context) error {
	account, err := s.restoreUser(ctx)
	if err != nil {
		return err
	}
	s.mu.Lock()
	known := s.hash
	s.mu.Unlock()
	current := account.PasswordHash
	if current == nil || *current != known {
		if err := s.replacePassword(ctx, current); err != nil {
			return fmt.Errorf("restore the example password: %w", err)
		}
	}
	err = s.store.Write(ctx, func(q *db.Queries) error { return q.DeleteLoginFailures(ctx, &s.userID) })
	if err != nil {
		return fmt.Errorf("delete the failed logins of the example user: %w", err)
	}
	return nil
}

// replacePassword sets the example password unless the current hash is one of it.
func (s *seed) replacePassword(ctx context.Context, current *string) error {
	if current != nil {
		match, err := s.hasher.Match(ctx, s.password, *current)
		if err != nil {
			return err
		}
		if match == 0 {
			s.mu.Lock()
			s.hash = *current
			s.mu.Unlock()
			return nil
		}
	}
	hash, err := s.passwordHash(ctx)
	if err != nil {
		return err
	}
	return s.store.InTx(ctx, func(q *db.Queries) error { return s.setPassword(ctx, q, hash) })
}

// passwordHash returns a hash of the example password.
func (s *seed) passwordHash(ctx context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hash == "" {
		hash, err := s.hasher.Hash(ctx, s.password, "")
		if err != nil {
			return "", fmt.Errorf("hash the example password: %w", err)
		}
		s.hash = hash
	}
	return s.hash, nil
}

// setPassword sets the password in the two steps of a mailed one: it becomes pending, and a login makes it the password.
func (s *seed) setPassword(ctx context.Context, q *db.Queries, hash string) error {
	number, err := q.NextPasswordNumber(ctx, s.userID)
	if err != nil {
		return err
	}
	at := now()
	until := at.Add(time.Hour)
	mailID := uuid.New()
	_, err = q.SetPendingPassword(ctx, db.SetPendingPasswordParams{ID: s.userID, PasswordHash: &hash, MailID: &mailID, Number: number, ExpiresAt: &until})
	if err != nil {
		return err
	}
	_, err = q.RecordLoginWithPendingPassword(ctx, db.RecordLoginWithPendingPasswordParams{ID: s.userID, VerifiedHash: &hash, Now: &at})
	return err
}

// restoreSession returns the example session, in which the user has recently authenticated. If it has ended, or is about to, it begins again.
func (s *seed) restoreSession(ctx context.Context) (session db.Session, err error) {
	err = retryConflicts(func() error {
		if _, err := s.restoreUser(ctx); err != nil {
			return err
		}
		session, err = s.store.Read().GetSession(ctx, s.sessionID)
		if err == nil && session.AccountID == s.userID && s.isAlive(session) {
			return s.authenticateAgain(ctx, session)
		}
		if err != nil && !errors.Is(err, db.ErrNotFound) {
			return err
		}
		err = s.store.InTx(ctx, func(q *db.Queries) error {
			if _, err := q.DeleteSessionByID(ctx, s.sessionID); err != nil && !errors.Is(err, db.ErrNotFound) {
				return err
			}
			return q.InsertSession(ctx, db.InsertSessionParams{
				ID: s.sessionID, AccountID: s.userID, ClientID: s.clientID, Platform: s.platform, RemoteAddr: s.remoteAddr, Now: now(),
				AuthenticatedAt: new(now()),
			})
		})
		if err != nil {
			return err
		}
		session, err = s.store.Read().GetSession(ctx, s.sessionID)
		return err
	})
	if err != nil {
		return session, fmt.Errorf("restore the example session: %w", err)
	}
	return session, nil
}

// authenticateAgain makes the authentication in the example session recent, so that the examples of all operations are allowed.
func (s *seed) authenticateAgain(ctx context.Context, session db.Session) error {
	at := now()
	if last := session.AuthenticatedAt; last != nil && at.Sub(*last) < time.Minute {
		return nil
	}
	return s.store.Write(ctx, func(q *db.Queries) error {
		_, err := q.RecordAuthentication(ctx, db.RecordAuthenticationParams{
			ID: session.ID, AccountID: session.AccountID, AuthenticatedAt: &at, Methods: session.Methods, RemoteAddr: session.RemoteAddr,
			CreatedAfter: at.Add(-s.sessionMaxAge), RefreshedAfter: at.Add(-s.refreshTTL),
		})
		return err
	})
}

// isAlive reports whether a session can be refreshed for some time: a tenth of its lifetime, at most a minute.
func (s *seed) isAlive(session db.Session) bool {
	margin := func(life time.Duration) time.Duration { return life - min(life/10, time.Minute) }
	at := now()
	return session.CreatedAt.After(at.Add(-margin(s.sessionMaxAge))) && session.RefreshedAt.After(at.Add(-margin(s.refreshTTL)))
}
