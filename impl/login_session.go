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
	"github.com/financelime/authorization/impl/reqinfo"
	"github.com/financelime/authorization/impl/userdata"
)

// sessionStart is what the transaction of a login did.
type sessionStart struct {
	session         db.Session
	activated       bool  // the pending password became the password
	endedByPassword int64 // sessions that this ended
	endedByMaximum  int64 // sessions that exceeded SessionsPerUser
	noticeEnqueued  bool
}

// startSession starts a session, if the verified credential is still valid. The first login with a pending password makes it the password,
// ends all older sessions and deletes an unused reset link. Of several simultaneous logins with it, the first one does so, and the others
// then log in with what has become the password.
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

		AuthenticatedAt: &now,
		Methods:         &byPassword,
	}
	var start sessionStart
	err := s.Store.InTx(ctx, func(q *db.Queries) (err error) {
		start, err = s.startSessionTx(ctx, q, account, verified, attempt, session)
		return err
	})
	if err != nil {
		return db.Session{}, fmt.Errorf("start a session: %w", err)
	}
	about := []slog.Attr{event.Account(account.ID), event.Session(session.ID)}
	if start.activated {
		event.Record(ctx, s.Log, event.PasswordActivated, append(about, slog.Int64("sessions_ended", start.endedByPassword))...)
	}
	if start.endedByMaximum > 0 {
		event.Record(ctx, s.Log, event.SessionCapped, append(about, slog.Int64("sessions_ended", start.endedByMaximum))...)
	}
	if start.noticeEnqueued {
		s.MailQueued()
	}
	return start.session, nil
}

func (s *Service) startSessionTx(
	ctx context.Context, q *db.Queries, account db.Account, verified credential, attempt limit.LoginAttempt, session db.Session,
) (start sessionStart, err error) {
	now := session.CreatedAt
	// Clocks: a pending password lives for a day; a clock that is 5 s off, or was set back by 10 min, changes its end by as much. Which of
	// two logins is the first, and which sessions are older, is decided by the account's row, not by a time.
	if verified.pending {
		start.activated, start.endedByPassword, err = activatePendingPassword(ctx, q, account.ID, verified.hash, uuid.Nil, now)
		if err != nil {
			return start, err
		}
	}
	active, err := q.RecordLogin(ctx, db.RecordLoginParams{Now: &now, ID: account.ID, VerifiedHash: &verified.hash})
	if err != nil {
		return start, fmt.Errorf("record the login: %w", err)
	}
	if active == 0 {
		return start, errAccountChanged
	}
	if err := s.Limits.RecordLoginSuccess(ctx, q, now, attempt); err != nil {
		return start, err
	}
	if session.RefreshedAt, err = newestSessionTime(ctx, q, account.ID, now); err != nil {
		return start, err
	}
	session.CreatedAt = session.RefreshedAt
	if start.endedByMaximum, err = s.insertSession(ctx, q, session); err != nil {
		return start, err
	}
	start.session = session
	start.noticeEnqueued, err = s.enqueueLoginNotice(ctx, q, account, session, now, start.activated && account.PasswordHash != nil)
	return start, err
}

// newestSessionTime returns the time of a new session: now, or just after the newest refresh of the account's other sessions, so that the
// new session is the newest one in the list and for the maximum. The caller has locked the account's row.
//
// Clocks: if another replica is 20 s ahead, or the clock was set back by 10 min, the time is as far in the future. The session may then live
// for as much longer than SessionMaxAge. A time that is more than maxSkew ahead is ignored: until its next refresh, such a session counts as
// the newest one.
func newestSessionTime(ctx context.Context, q *db.Queries, accountID uuid.UUID, now time.Time) (time.Time, error) {
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

// insertSession inserts a session and ends those of the account that exceed the maximum: the least recently refreshed ones (ASVS 7.1.2). It
// returns how many it ended. It never ends the new session, whatever the clocks.
func (s *Service) insertSession(ctx context.Context, q *db.Queries, session db.Session) (ended int64, err error) {
	err = q.InsertSession(ctx, db.InsertSessionParams{
		ID: session.ID, AccountID: session.AccountID, ClientID: session.ClientID, Platform: session.Platform,
		RemoteAddr: session.RemoteAddr, Now: session.CreatedAt,
		AuthenticatedAt: session.AuthenticatedAt, Methods: session.Methods,
	})
	if err != nil {
		return 0, fmt.Errorf("insert the session: %w", err)
	}
	ended, err = q.DeleteExcessSessions(ctx, db.DeleteExcessSessionsParams{
		AccountID: session.AccountID, Keep: session.ID, MaxOthers: s.SessionsPerUser - 1,
	})
	if err != nil {
		return 0, fmt.Errorf("end the sessions over the maximum: %w", err)
	}
	return ended, nil
}

// activatePendingPassword makes the pending password the password and ends all sessions but keep, which may be uuid.Nil. It returns how many
// it ended. If another login did so before, it does nothing.
func activatePendingPassword(
	ctx context.Context, q *db.Queries, accountID uuid.UUID, hash string, keep uuid.UUID, now time.Time,
) (activated bool, ended int64, err error) {
	used, err := q.RecordLoginWithPendingPassword(ctx, db.RecordLoginWithPendingPasswordParams{Now: &now, ID: accountID, VerifiedHash: &hash})
	if err != nil {
		return false, 0, fmt.Errorf("activate the pending password: %w", err)
	}
	if used == 0 {
		return false, 0, nil
	}
	if ended, err = q.DeleteOtherSessions(ctx, db.DeleteOtherSessionsParams{AccountID: accountID, Keep: keep}); err != nil {
		return false, 0, fmt.Errorf("end the older sessions: %w", err)
	}
	return true, ended, userdata.VoidLinks(ctx, q, accountID)
}
