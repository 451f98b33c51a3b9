package impl

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/caller"
	"github.com/financelime/authorization/impl/event"
	"github.com/financelime/authorization/impl/limit"
)

// startSession begins a session if the verified credential still is one. The first log-in with an armed password makes it
// the password, ends all older sessions and kills a reset link that is still about; of several at once the
// first does so, and the others log in with what is the password by then.
func (s *Service) startSession(
	ctx context.Context, account db.Account, verified credential, attempt limit.Attempt, body *api.CreateAccessTokenRequest,
) (db.Session, error) {
	now := s.now()
	session := db.Session{
		ID:          newID(),
		AccountID:   account.ID,
		Generation:  1,
		ClientID:    body.ClientID,
		Platform:    deref(body.Device.Platform),
		RemoteAddr:  caller.FromContext(ctx).Addr.String(),
		CreatedAt:   now,
		RefreshedAt: now,
	}
	var activated, notified bool
	var ended, capped int64
	err := s.Store.InTx(ctx, func(q *db.Queries) (err error) {
		activated, ended = false, 0
		if verified.armed {
			if activated, ended, err = useArmedPassword(ctx, q, account, verified.hash, now); err != nil {
				return err
			}
		}
		active, err := q.LogInWithPassword(ctx, db.LogInWithPasswordParams{Now: &now, ID: account.ID, VerifiedHash: &verified.hash})
		if err != nil {
			return fmt.Errorf("take the account: %w", err)
		}
		if active == 0 {
			return errAccountChanged
		}
		if err := s.Limits.Succeed(ctx, q, now, attempt); err != nil {
			return err
		}
		if capped, err = s.insertSession(ctx, q, session); err != nil {
			return err
		}
		notified, err = s.tellOfLogIn(ctx, q, account, session, activated && account.PasswordHash != nil)
		return err
	})
	if err != nil {
		return db.Session{}, fmt.Errorf("start a session: %w", err)
	}
	if activated {
		event.Record(ctx, s.Log, event.PasswordActivated,
			event.Account(account.ID), event.Session(session.ID), slog.Int64("sessions_ended", ended))
	}
	if capped > 0 {
		event.Record(ctx, s.Log, event.SessionCapped,
			event.Account(account.ID), event.Session(session.ID), slog.Int64("sessions_ended", capped))
	}
	if notified {
		s.MailQueued()
	}
	return session, nil
}

// insertSession begins a session, and ends and counts those of the account that are too many: the ones that were refreshed
// longest ago (ASVS 7.1.2).
func (s *Service) insertSession(ctx context.Context, q *db.Queries, session db.Session) (ended int64, err error) {
	err = q.InsertSession(ctx, db.InsertSessionParams{
		ID: session.ID, AccountID: session.AccountID, ClientID: session.ClientID, Platform: session.Platform,
		RemoteAddr: session.RemoteAddr, Now: session.CreatedAt,
	})
	if err != nil {
		return 0, fmt.Errorf("insert the session: %w", err)
	}
	ended, err = q.EndSessionsBeyond(ctx, db.EndSessionsBeyondParams{
		AccountID: session.AccountID, One: session.ID, Besides: s.SessionsPerUser - 1,
	})
	if err != nil {
		return 0, fmt.Errorf("end the sessions that are too many: %w", err)
	}
	return ended, nil
}

// useArmedPassword makes an armed password the password, and counts the sessions that this ended. Where another log-in was
// faster, it does nothing.
func useArmedPassword(
	ctx context.Context, q *db.Queries, account db.Account, hash string, now time.Time,
) (activated bool, ended int64, err error) {
	used, err := q.LogInWithArmedPassword(ctx, db.LogInWithArmedPasswordParams{Now: &now, ID: account.ID, VerifiedHash: &hash})
	if err != nil {
		return false, 0, fmt.Errorf("make the mailed password the password: %w", err)
	}
	if used == 0 {
		return false, 0, nil
	}
	if ended, err = q.DeleteAccountSessions(ctx, account.ID); err != nil {
		return false, 0, fmt.Errorf("end the older sessions: %w", err)
	}
	if err := q.DeleteConfirmation(ctx, db.DeleteConfirmationParams{AccountID: account.ID, Purpose: purposePassword}); err != nil {
		return false, 0, fmt.Errorf("kill the reset link: %w", err)
	}
	return true, ended, nil
}
