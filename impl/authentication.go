package impl

import (
	"context"
	"fmt"
	"time"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/reqinfo"
	"github.com/financelime/authorization/impl/token"
)

// How a user has last authenticated in a session, and whether that is recent.

// recentAuthentication is how long an authentication allows operations that require a recent one.
const recentAuthentication = 10 * time.Minute

// authentication returns how the user has last authenticated in a session. Sessions of the version before do not say it: they began with a
// password.
func authentication(session db.Session) token.Authentication {
	last := token.Authentication{Time: session.CreatedAt, Methods: []string{token.Password}}
	if session.AuthenticatedAt != nil {
		last.Time = *session.AuthenticatedAt
	}
	if session.Methods != nil {
		last.Methods = token.ParseMethods(*session.Methods)
	}
	return last
}

// withPassword returns how a user has last authenticated who then entered the password. That neither weakens nor renews an authentication with two
// factors: a password alone must not keep it recent.
func withPassword(last token.Authentication, now time.Time) token.Authentication {
	if last.Level() == token.AAL1 {
		return token.Authentication{Time: now, Methods: []string{token.Password}}
	}
	return token.Authentication{Time: last.Time, Methods: append([]string{token.Password}, last.Methods...)}
}

// requireRecentAuthentication locks the account of an access token and returns it. It fails with reqinfo.ErrUnauthorized if the token's
// session has ended, and with reqinfo.ErrNotRecent if the user has not authenticated in it for recentAuthentication. The caller's transaction
// is that of the operation, so neither changes before the operation is committed.
func (s *Service) requireRecentAuthentication(
	ctx context.Context, q *db.Queries, claims token.Claims, now time.Time,
) (account db.Account, err error) {
	if account, err = q.LockAccount(ctx, claims.AccountID); err != nil {
		return account, unauthorizedIfGone(fmt.Errorf("lock the account: %w", err))
	}
	session, err := s.activeSession(ctx, q, claims, now)
	if err != nil {
		return account, err
	}
	if !isRecent(account, authentication(session), now) {
		return account, reqinfo.ErrNotRecent
	}
	return account, nil
}

// isRecent reports whether an authentication is recent enough. If a login needs a second factor, a password alone is not.
//
// Clocks: a replica that is 5 s ahead or behind allows as much less or more. After a clock was set back by 10 min, an authentication is recent
// for up to 20 min. A time that is more than maxSkew ahead was written by a wrong clock, and is never recent.
func isRecent(account db.Account, last token.Authentication, now time.Time) bool {
	if account.SecondFactorSince != nil && last.Level() == token.AAL1 {
		return false
	}
	age := now.Sub(last.Time)
	return age < recentAuthentication && age > -maxSkew
}
