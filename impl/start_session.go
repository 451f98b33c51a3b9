package impl

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/event"
	"github.com/financelime/authorization/impl/limit"
	"github.com/financelime/authorization/impl/link"
	"github.com/financelime/authorization/impl/reqinfo"
)

// startSession begins a session if the verified credential still is one. The first log-in with an armed password makes it
// the password, ends all older sessions and kills a reset link that is still about; of several at once the
// first does so, and the others log in with what is the password by then.
func (s *Service) startSession(
	ctx context.Context, account db.Account, verified credential, attempt limit.LoginAttempt, body *api.CreateAccessTokenRequest,
) (db.Session, error) {
	now := s.Clock.Now()
	session := db.Session{
		ID:          newID(),
		AccountID:   account.ID,
		Generation:  1,
		ClientID:    body.ClientID,
		Platform:    deref(body.Device.Platform),
		RemoteAddr:  reqinfo.FromContext(ctx).Addr.String(),
		CreatedAt:   now,
		RefreshedAt: now,
	}
	var activated, notified bool
	var ended, capped int64
	err := s.Store.InTx(ctx, func(q *db.Queries) (err error) {
		activated, ended = false, 0
		// Clocks: a mailed password lives for a day; a clock that is 5 s off, or set back by 10 min, changes its end by as much. Which of two
		// log-ins is the first, and which sessions are older, is decided by the account's row, not by a time.
		if verified.armed {
			if activated, ended, err = useArmedPassword(ctx, q, account, verified.hash, now); err != nil {
				return err
			}
		}
		active, err := q.RecordLogin(ctx, db.RecordLoginParams{Now: &now, ID: account.ID, VerifiedHash: &verified.hash})
		if err != nil {
			return fmt.Errorf("take the account: %w", err)
		}
		if active == 0 {
			return errAccountChanged
		}
		if err := s.Limits.RecordLoginSuccess(ctx, q, now, attempt); err != nil {
			return err
		}
		if session.RefreshedAt, err = afterOthers(ctx, q, account.ID, now); err != nil {
			return err
		}
		session.CreatedAt = session.RefreshedAt
		if capped, err = s.insertSession(ctx, q, session); err != nil {
			return err
		}
		notified, err = s.tellOfLogin(ctx, q, account, session, now, activated && account.PasswordHash != nil)
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

// afterOthers is the time of a new session: now, but later than any refresh of the account's other sessions, so that the cap and the
// list know the new one as the newest. The caller has the account's row.
//
// Clocks: where another replica is 20 s ahead, or the clock was set back by 10 min, the session has a time that far in the future: it
// may live for as much longer than SessionMaxAge, and is younger than any other. A time beyond maxSkew does not count; the cap takes such a
// session for the newest until its next refresh.
func afterOthers(ctx context.Context, q *db.Queries, accountID uuid.UUID, now time.Time) (time.Time, error) {
	newest, err := q.LastRefreshedAt(ctx, db.LastRefreshedAtParams{AccountID: accountID, FarAhead: now.Add(maxSkew)})
	if errors.Is(err, db.ErrNotFound) {
		return now, nil
	}
	if err != nil {
		return now, fmt.Errorf("find the newest session: %w", err)
	}
	if next := newest.UTC().Add(time.Microsecond); next.After(now) {
		return next, nil
	}
	return now, nil
}

// insertSession begins a session, and ends and counts those of the account that are too many: the ones that were refreshed
// longest ago (ASVS 7.1.2). It never ends the one that begins, whatever the clocks.
func (s *Service) insertSession(ctx context.Context, q *db.Queries, session db.Session) (ended int64, err error) {
	err = q.InsertSession(ctx, db.InsertSessionParams{
		ID: session.ID, AccountID: session.AccountID, ClientID: session.ClientID, Platform: session.Platform,
		RemoteAddr: session.RemoteAddr, Now: session.CreatedAt,
	})
	if err != nil {
		return 0, fmt.Errorf("insert the session: %w", err)
	}
	ended, err = q.DeleteExcessSessions(ctx, db.DeleteExcessSessionsParams{
		AccountID: session.AccountID, Keep: session.ID, MaxOthers: s.SessionsPerUser - 1,
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
	used, err := q.RecordLoginWithPendingPassword(ctx, db.RecordLoginWithPendingPasswordParams{Now: &now, ID: account.ID, VerifiedHash: &hash})
	if err != nil {
		return false, 0, fmt.Errorf("make the mailed password the password: %w", err)
	}
	if used == 0 {
		return false, 0, nil
	}
	if ended, err = q.DeleteAccountSessions(ctx, account.ID); err != nil {
		return false, 0, fmt.Errorf("end the older sessions: %w", err)
	}
	if err := q.DeleteConfirmation(ctx, db.DeleteConfirmationParams{AccountID: account.ID, Purpose: string(link.PasswordReset)}); err != nil {
		return false, 0, fmt.Errorf("kill the reset link: %w", err)
	}
	return true, ended, nil
}
