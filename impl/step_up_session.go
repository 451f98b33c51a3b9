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
	"github.com/financelime/authorization/impl/clock"
	"github.com/financelime/authorization/impl/event"
	"github.com/financelime/authorization/impl/limit"
	"github.com/financelime/authorization/impl/mail"
	"github.com/financelime/authorization/impl/reqinfo"
	"github.com/financelime/authorization/impl/token"
)

// StepUpSession records that the calling user has authenticated again in the session of the access token. The proof is one of the account of
// the token, whatever other accounts the user has. It does not touch the refresh token.
func (s *Service) StepUpSession(ctx context.Context, request api.StepUpSessionRequestObject) (api.StepUpSessionResponseObject, error) {
	claims, err := principal(ctx)
	if err != nil {
		return nil, err
	}
	var session db.Session
	if body := request.Body; body.Password != nil {
		session, err = s.stepUpByPassword(ctx, claims, *body.Password)
	} else {
		f := factor{code: body.Code, recoveryCode: body.RecoveryCode, passkey: body.Passkey}
		session, err = s.attempt(ctx, s.stepUpByFactor(claims, f))
	}
	if _, ok := errors.AsType[*secondFactorRequiredError](err); ok {
		event.Record(ctx, s.Log, event.SessionStepUpRefused, event.Reason("second_factor_required"))
		return api.StepUpSession403JSONResponse{Code: 403, Message: api.StepUpSessionFailure403MessageSECONDFACTORREQUIRED}, nil
	}
	if errors.Is(err, errWrongPassword) || errors.Is(err, errWrongFactor) || errors.Is(err, errAccountChanged) {
		return api.StepUpSession403JSONResponse{Code: 403, Message: api.StepUpSessionFailure403MessageAUTHENTICATIONFAILED}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("authenticate again: %w", err)
	}
	if request.Body.RecoveryCode != nil { // its use enqueues a mail
		s.MailQueued()
	}
	event.Record(ctx, s.Log, event.SessionSteppedUp)
	authenticated := authentication(session)
	access, err := s.Access.Sign(session.AccountID, session.ID, session.ClientID, authenticated)
	if err != nil {
		return nil, fmt.Errorf("sign the access token: %w", err)
	}
	lifetime := s.Access.Lifetime()
	return api.StepUpSession200JSONResponse{
		AccessToken: access, ExpiresIn: &lifetime,
		AuthenticatedAt: clock.Format(authenticated.Time), Acr: api.AuthenticationLevel(authenticated.Level()),
	}, nil
}

// stepUpByPassword authenticates with the password. It fails with a secondFactorRequiredError, and compares nothing, if the account needs a second
// factor.
func (s *Service) stepUpByPassword(ctx context.Context, claims token.Claims, plain string) (db.Session, error) {
	account, err := s.callingAccount(ctx, claims)
	if err != nil {
		return db.Session{}, err
	}
	if account.SecondFactorSince != nil {
		return db.Session{}, &secondFactorRequiredError{account: account}
	}
	return s.attemptLogin(ctx, account.Email, plain, s.stepUp(claims))
}

// stepUp is the use of a verified password to authenticate again in a session. It fails with reqinfo.ErrUnauthorized if the session has
// ended.
func (s *Service) stepUp(claims token.Claims) verifiedUse {
	return verifiedUse{event.SessionStepUpRefused, func(
		ctx context.Context, account db.Account, verified credential, attempt limit.LoginAttempt,
	) (db.Session, error) {
		if account.ID != claims.AccountID {
			return db.Session{}, errAccountChanged // the address has another account now
		}
		if account.SecondFactorSince != nil { // turned on meanwhile
			return db.Session{}, &secondFactorRequiredError{account, verified}
		}
		now := s.Clock.Now()
		proof := loginProof{account, verified, []string{token.Password}}
		var activated bool
		var ended int64
		var session db.Session
		err := s.Store.InTx(ctx, func(q *db.Queries) (err error) {
			activated, ended, err = false, 0, nil
			if verified.pending {
				activated, ended, err = activatePendingPassword(ctx, q, proof, claims.SessionID, now)
			}
			if err != nil {
				return err
			}
			if session, err = s.stepUpTx(ctx, q, claims, verified, attempt, now); err != nil || !activated || account.PasswordHash == nil {
				return err
			}
			return enqueueMail(ctx, q, db.InsertMailParams{
				AccountID: account.ID, Kind: mail.KindPasswordNotice, Now: now,
				HappenedAt: &now, Platform: &session.Platform, RemoteAddr: &session.RemoteAddr,
			})
		})
		if err != nil {
			return session, fmt.Errorf("record the authentication: %w", err)
		}
		if activated {
			s.MailQueued()
			event.Record(ctx, s.Log, event.PasswordActivated, slog.Int64("sessions_ended", ended))
		}
		return session, nil
	}}
}

// stepUpTx records the authentication in the session, if the verified password is still that of the account and enough for it.
func (s *Service) stepUpTx(
	ctx context.Context, q *db.Queries, claims token.Claims, verified credential, attempt limit.LoginAttempt, now time.Time,
) (session db.Session, err error) {
	valid, err := q.LockAccountWithPassword(ctx, db.LockAccountWithPasswordParams{ID: claims.AccountID, VerifiedHash: &verified.hash})
	if err != nil {
		return session, fmt.Errorf("lock the account: %w", err)
	}
	if valid == 0 {
		return session, errAccountChanged
	}
	return s.recordStepUp(ctx, q, claims, token.Password, attempt, now)
}

// recordStepUp records the success in the limits, and how the user has authenticated in the session. The caller has locked the account.
//
// Clocks: as in isRecent.
func (s *Service) recordStepUp(
	ctx context.Context, q *db.Queries, claims token.Claims, methods string, attempt limit.LoginAttempt, now time.Time,
) (session db.Session, err error) {
	if err := s.Limits.RecordLoginSuccess(ctx, q, now, attempt); err != nil {
		return session, err
	}
	session, err = q.RecordAuthentication(ctx, db.RecordAuthenticationParams{
		ID: claims.SessionID, AccountID: claims.AccountID, AuthenticatedAt: &now, Methods: &methods,
		RemoteAddr:   reqinfo.FromContext(ctx).Addr.String(),
		CreatedAfter: now.Add(-s.SessionMaxAge), RefreshedAfter: now.Add(-s.RefreshTTL),
	})
	if err != nil {
		return session, unauthorizedIfGone(fmt.Errorf("continue the session: %w", err))
	}
	return session, nil
}

// stepUpByFactor is the attempt to authenticate again with a second factor. The factor is one of the account of the access token.
func (s *Service) stepUpByFactor(claims token.Claims, f factor) try {
	return try{
		refused: event.FactorFailed, about: []slog.Attr{slog.String("kind", f.kind()), event.Session(claims.SessionID)},
		find: func(ctx context.Context) (db.Account, error) { return s.callingAccount(ctx, claims) },
		check: func(ctx context.Context, _ db.Account, attempt limit.LoginAttempt) (session db.Session, err error) {
			now := s.Clock.Now()
			err = s.Store.InTx(ctx, func(q *db.Queries) (err error) {
				session, err = s.stepUpByFactorTx(ctx, q, claims, f, attempt, now)
				return err
			})
			if err != nil {
				return session, fmt.Errorf("record the authentication: %w", err)
			}
			return session, nil
		},
	}
}

// stepUpByFactorTx uses the second factor and records the authentication in the session. A code adds a factor to what the user had proved in the
// session before; a passkey proves two factors itself.
func (s *Service) stepUpByFactorTx(
	ctx context.Context, q *db.Queries, claims token.Claims, f factor, attempt limit.LoginAttempt, now time.Time,
) (session db.Session, err error) {
	account, err := q.LockAccount(ctx, claims.AccountID)
	if err != nil {
		return session, unauthorizedIfGone(fmt.Errorf("lock the account: %w", err))
	}
	if session, err = s.activeSession(ctx, q, claims, now); err != nil {
		return session, err
	}
	// A passkey cannot be guessed, so too many failures do not switch it off. It also works while the second factor is off.
	if f.passkey == nil && (attempt.PasswordOff || account.SecondFactorSince == nil) {
		return session, errWrongFactor
	}
	methods, err := s.useFactor(ctx, q, account, f, token.CeremonyLogIn, now)
	if err != nil {
		return session, err
	}
	if f.passkey == nil {
		methods = slices.Concat(authentication(session).Methods, methods)
	}
	return s.recordStepUp(ctx, q, claims, token.FormatMethods(append(methods, token.MultiFactor)...), attempt, now)
}
