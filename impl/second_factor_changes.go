package impl

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/mail"
	"github.com/financelime/authorization/impl/reqinfo"
	"github.com/financelime/authorization/impl/token"
)

// The kinds of second factors, in the log.
const (
	kindTOTP          = "totp"
	kindRecoveryCodes = "recovery_codes"
	kindPasskey       = "passkey"
)

// factorProof is what the user has proved when they turn the second factor on.
type factorProof struct {
	methods []string   // added to those of the session
	at      *time.Time // when; nil: not now, so that the session is as recent as before
}

// turnOnSecondFactorTx turns the second factor on, in a transaction that has locked the account: other sessions end, that of the access token has two
// factors from now on, and codes become the recovery codes. It returns how many sessions have ended.
//
// Clocks: as in activeSession.
func (s *Service) turnOnSecondFactorTx(
	ctx context.Context, q *db.Queries, claims token.Claims, proof factorProof, codes []string, now time.Time,
) (ended int64, err error) {
	session, err := s.activeSession(ctx, q, claims, now)
	if err != nil {
		return 0, err
	}
	before := authentication(session)
	at, methods := before.Time, token.FormatMethods(slices.Concat(before.Methods, proof.methods)...)
	if proof.at != nil {
		at = *proof.at
	}
	if _, err := q.RecordAuthentication(ctx, db.RecordAuthenticationParams{
		ID: claims.SessionID, AccountID: claims.AccountID, AuthenticatedAt: &at, Methods: &methods,
		RemoteAddr:   reqinfo.FromContext(ctx).Addr.String(),
		CreatedAfter: now.Add(-s.SessionMaxAge), RefreshedAfter: now.Add(-s.RefreshTTL),
	}); err != nil {
		return 0, unauthorizedIfGone(fmt.Errorf("continue the session: %w", err))
	}
	ended, err = q.DeleteOtherSessions(ctx, db.DeleteOtherSessionsParams{AccountID: claims.AccountID, Keep: claims.SessionID})
	if err != nil {
		return 0, fmt.Errorf("end the other sessions: %w", err)
	}
	if err := q.SetSecondFactorSince(ctx, db.SetSecondFactorSinceParams{Since: &now, ID: claims.AccountID}); err != nil {
		return 0, fmt.Errorf("turn the second factor on: %w", err)
	}
	if err := replaceRecoveryCodes(ctx, q, claims.AccountID, codes, now); err != nil {
		return 0, err
	}
	return ended, s.enqueueFactorChanged(ctx, q, claims, now)
}

// enqueueFactorChanged tells the user by e-mail that their ways to log in have changed, in the transaction that changes them. The caller calls
// MailQueued after the commit.
func (s *Service) enqueueFactorChanged(ctx context.Context, q *db.Queries, claims token.Claims, now time.Time) error {
	session, err := s.activeSession(ctx, q, claims, now)
	if err != nil {
		return err
	}
	addr := reqinfo.FromContext(ctx).Addr.String()
	return enqueueMail(ctx, q, db.InsertMailParams{
		AccountID: claims.AccountID, Kind: mail.KindFactorChanged, Now: now,
		HappenedAt: &now, Platform: &session.Platform, RemoteAddr: &addr,
	})
}

// secondFactors counts what an account has as a second factor.
func (s *Service) secondFactors(ctx context.Context, q *db.Queries, account db.Account) (db.GetSecondFactorRow, error) {
	row, err := q.GetSecondFactor(ctx, db.GetSecondFactorParams{AccountID: account.ID, RpID: s.Passkeys.ID()})
	if err != nil {
		return row, fmt.Errorf("read the second factors: %w", err)
	}
	return row, nil
}
