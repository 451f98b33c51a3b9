package impl

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/address"
	"github.com/financelime/authorization/impl/caller"
	"github.com/financelime/authorization/impl/event"
	"github.com/financelime/authorization/impl/limit"
)

// errPasswordChanged says that the password that was verified is no longer the account's, or the account no longer active.
var errPasswordChanged = errors.New("the account changed during the log-in")

// errNotCompared says that no password was compared: too many were being, or the caller left.
var errNotCompared = errors.New("no password was compared")

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

	session, err := s.tryLogIn(ctx, email, body)
	if refused(err) {
		return api.CreateAccessToken404JSONResponse{Code: 404, Message: api.CreateAccessTokenFailure404MessageUSERNOTFOUND}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("log in: %w", err)
	}
	tokens, err := s.tokens(ctx, session)
	if err == nil {
		event.Record(ctx, s.Log, event.LogInSucceeded)
	}
	return api.CreateAccessToken200JSONResponse(tokens), err
}

// takeTry fails with db.ErrConflict where there is no such account.
func (s *Service) takeTry(ctx context.Context, email string, account uuid.UUID) (limit.Try, error) {
	return s.Limits.TryLogIn(ctx, s.Store, s.now(), limit.Attempt{
		Source: caller.FromContext(ctx).Addr, Address: email, AccountID: account,
		Knows: func(ctx context.Context, source string) (bool, error) { return s.isAtHome(ctx, account, source) },
	})
}

// tryLogIn takes a try before the password is looked at, so that many at once get no more tries than one after another.
func (s *Service) tryLogIn(ctx context.Context, email string, body *api.CreateAccessTokenRequest) (db.Session, error) {
	account, err := s.findAccount(ctx, email)
	if err != nil {
		return db.Session{}, err
	}
	try, err := s.takeTry(ctx, email, account.ID)
	if errors.Is(err, db.ErrConflict) { // the account was deleted since we looked
		account = db.Account{}
		try, err = s.takeTry(ctx, email, account.ID)
	}
	if err != nil {
		return db.Session{}, fmt.Errorf("take a try: %w", err)
	}
	session, err := s.logIn(ctx, account, try, body)
	if errors.Is(err, errPasswordChanged) {
		// Somebody logged in with an armed password, or the hash was renewed, between our look and our commit: look again.
		if account, err = s.findAccount(ctx, email); err == nil {
			session, err = s.logIn(ctx, account, try, body)
		}
	}
	if refused(err) {
		s.logLogInFailed(ctx, account, try, err)
	}
	if errors.Is(err, errNotCompared) {
		// The caller may have left by now, which makes it no failure of the account's.
		if err := s.Limits.NotTried(context.WithoutCancel(ctx), s.Store, try); err != nil {
			event.Record(ctx, s.Log, event.LimitGiveBackFailed, slog.Any("error", err))
		}
	}
	return session, err
}

// refused tells whether a log-in failed because of who tried it.
func refused(err error) bool {
	return errors.Is(err, db.ErrNotFound) || errors.Is(err, errPasswordChanged)
}

// logLogInFailed tells the log, and nobody else, why a log-in was refused.
func (s *Service) logLogInFailed(ctx context.Context, account db.Account, try limit.Try, err error) {
	if account.ID == uuid.Nil {
		event.Record(ctx, s.Log, event.LogInFailed, event.Reason("unknown_address"))
		return
	}
	reason := "wrong_password"
	switch {
	case account.PendingUntil != nil:
		reason = "unconfirmed"
	case account.DisabledAt != nil:
		reason = "disabled"
	case try.PasswordOff:
		reason = "password_off"
	case errors.Is(err, errPasswordChanged):
		reason = "changed_meanwhile"
	}
	event.Record(ctx, s.Log, event.LogInFailed, event.Reason(reason), event.Account(account.ID))
	if errors.Is(err, db.ErrNotFound) && try.SwitchesOff {
		event.Record(ctx, s.Log, event.PasswordSwitchedOff, event.Account(account.ID))
	}
}

// findAccount finds the account with an address; the zero account where there is none.
func (s *Service) findAccount(ctx context.Context, email string) (db.Account, error) {
	account, err := s.Store.Read().GetAccountByEmail(ctx, email)
	if err != nil && !errors.Is(err, db.ErrNotFound) {
		return db.Account{}, fmt.Errorf("find the account: %w", err)
	}
	return account, nil
}

// isAtHome tells whether an account has a live session at a source.
func (s *Service) isAtHome(ctx context.Context, accountID uuid.UUID, source string) (bool, error) {
	sessions, err := s.liveSessions(ctx, accountID)
	return slices.ContainsFunc(sessions, func(session db.Session) bool {
		addr, err := netip.ParseAddr(session.RemoteAddr)
		return err == nil && limit.Source(addr) == source
	}), err
}

// credential is a password hash that a log-in is tried against.
type credential struct {
	hash  string
	armed bool // mailed, and not used yet
}

// logIn fails with db.ErrNotFound where the password is not that of an active user.
func (s *Service) logIn(
	ctx context.Context, account db.Account, try limit.Try, body *api.CreateAccessTokenRequest,
) (db.Session, error) {
	credentials := credentials(account, s.now()) // none of an unknown account
	hashes := make([]string, len(credentials))
	for i, c := range credentials {
		hashes[i] = c.hash
	}
	matched, err := s.Hasher.Match(ctx, body.Password, hashes...) // holds no database connection
	if err != nil {
		return db.Session{}, fmt.Errorf("check the password: %w: %w", errNotCompared, err)
	}
	if matched < 0 || try.PasswordOff && !credentials[matched].armed {
		return db.Session{}, db.ErrNotFound
	}

	session, err := s.startSession(ctx, account, credentials[matched], try, body)
	if err != nil {
		return db.Session{}, err
	}
	s.renewHash(ctx, account, credentials[matched], body.Password)
	return session, nil
}

// credentials are the passwords that would log an account in at the time.
func credentials(account db.Account, now time.Time) []credential {
	if account.PendingUntil != nil || account.DisabledAt != nil {
		return nil
	}
	var all []credential
	if account.PasswordHash != nil {
		all = append(all, credential{hash: *account.PasswordHash})
	}
	if account.ArmedHash != nil && account.ArmedUntil != nil && account.ArmedUntil.After(now) {
		all = append(all, credential{hash: *account.ArmedHash, armed: true})
	}
	return all
}

// startSession begins a session if the verified credential still is one. The first log-in with an armed password makes it
// the password, ends all older sessions and kills a reset link that is still about; of several at once the
// first does so, and the others log in with what is the password by then.
func (s *Service) startSession(
	ctx context.Context, account db.Account, verified credential, try limit.Try, body *api.CreateAccessTokenRequest,
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
			return errPasswordChanged
		}
		if err := s.Limits.Succeeded(ctx, q, try); err != nil {
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

// renewHash hashes a password anew whose hash has older parameters than today's. The log-in has succeeded: whatever goes
// wrong here is for the log, and the next log-in tries again. While a password is armed, the two must keep their parameters alike.
func (s *Service) renewHash(ctx context.Context, account db.Account, verified credential, plain string) {
	if !s.Hasher.NeedsRehash(verified.hash) || account.ArmedHash != nil && !verified.armed {
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

// tokens are the tokens of a session as it stands. The refresh token is a function of the session's row.
func (s *Service) tokens(ctx context.Context, session db.Session) (api.AccessTokenResponse, error) {
	who := caller.FromContext(ctx)
	who.AccountID, who.SessionID = session.AccountID.String(), session.ID.String()

	access, err := s.Access.Sign(session.AccountID, session.ID, session.ClientID)
	if err != nil {
		return api.AccessTokenResponse{}, fmt.Errorf("sign the access token: %w", err)
	}
	refresh, err := s.Refresh.Token(session.ID, session.Generation, session.RefreshedAt)
	if err != nil {
		return api.AccessTokenResponse{}, fmt.Errorf("sign the refresh token: %w", err)
	}
	return api.AccessTokenResponse{SessionID: session.ID.String(), AccessToken: access, RefreshToken: refresh}, nil
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
