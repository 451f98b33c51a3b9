package impl

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/event"
	"github.com/financelime/authorization/impl/limit"
	"github.com/financelime/authorization/impl/reqinfo"
	"github.com/financelime/authorization/impl/token"
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

// loginProof is what a user has proved in a login.
type loginProof struct {
	account  db.Account
	verified credential // the password; zero if the user logs in by a passkey alone
	methods  []string   // the claim amr
}

// startSession is the one way to a session: all logins take it. prove returns what the user has proved, in the transaction that starts the
// session. The session starts if the verified credential is still valid, and the methods are enough for the account. The first login with a
// pending password makes it the password, ends all older sessions and deletes an unused reset link. Of several simultaneous logins with it, the
// first one does so, and the others then log in with what has become the password.
func (s *Service) startSession(
	ctx context.Context, clientID, platform string, attempt limit.LoginAttempt,
	prove func(ctx context.Context, q *db.Queries, now time.Time) (loginProof, error),
) (db.Session, error) {
	now := s.Clock.Now()
	session := db.Session{
		ID:          newID(),
		Generation:  1,
		ClientID:    clientID,
		Platform:    platform,
		RemoteAddr:  reqinfo.FromContext(ctx).Addr.String(),
		CreatedAt:   now,
		RefreshedAt: now,

		AuthenticatedAt: &now,
	}
	var start sessionStart
	err := s.Store.InTx(ctx, func(q *db.Queries) error {
		proof, err := prove(ctx, q, now)
		if err != nil {
			return err
		}
		methods := token.FormatMethods(proof.methods...)
		session.AccountID, session.Methods = proof.account.ID, &methods
		start, err = s.startSessionTx(ctx, q, proof, attempt, session)
		return err
	})
	if err != nil {
		return db.Session{}, fmt.Errorf("start a session: %w", err)
	}
	about := []slog.Attr{event.Account(start.session.AccountID), event.Session(session.ID)}
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
	ctx context.Context, q *db.Queries, proof loginProof, attempt limit.LoginAttempt, session db.Session,
) (start sessionStart, err error) {
	now, account := session.CreatedAt, proof.account
	// Clocks: a pending password lives for a day; a clock that is 5 s off, or was set back by 10 min, changes its end by as much. Which of
	// two logins is the first, and which sessions are older, is decided by the account's row, not by a time.
	if proof.verified.pending {
		start.activated, start.endedByPassword, err = activatePendingPassword(ctx, q, proof, uuid.Nil, now)
		if err != nil {
			return start, err
		}
	}
	if err := recordLogin(ctx, q, proof, now); err != nil {
		return start, err
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

// recordLogin locks the account. It fails with errAccountChanged if what the user has proved does not log in any more: the password is another
// one, the account is not active, or a second factor is missing.
func recordLogin(ctx context.Context, q *db.Queries, proof loginProof, now time.Time) (err error) {
	var active int64
	if proof.verified.hash == "" {
		active, err = q.RecordLoginWithoutPassword(ctx, db.RecordLoginWithoutPasswordParams{Now: &now, ID: proof.account.ID})
	} else {
		active, err = q.RecordLogin(ctx, db.RecordLoginParams{
			Now: &now, ID: proof.account.ID, VerifiedHash: &proof.verified.hash, SecondFactor: proof.secondFactor(),
		})
	}
	if err != nil {
		return fmt.Errorf("record the login: %w", err)
	}
	if active == 0 {
		return errAccountChanged
	}
	return nil
}

// secondFactor returns 1 if the user has proved two factors, and otherwise 0: the form that SQL takes.
func (p loginProof) secondFactor() int64 {
	if slices.Contains(p.methods, token.MultiFactor) {
		return 1
	}
	return 0
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
	ctx context.Context, q *db.Queries, proof loginProof, keep uuid.UUID, now time.Time,
) (activated bool, ended int64, err error) {
	accountID := proof.account.ID
	used, err := q.RecordLoginWithPendingPassword(ctx, db.RecordLoginWithPendingPasswordParams{
		Now: &now, ID: accountID, VerifiedHash: &proof.verified.hash, SecondFactor: proof.secondFactor(),
	})
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
