package impl

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/event"
	"github.com/financelime/authorization/impl/limit"
	"github.com/financelime/authorization/impl/mail"
	"github.com/financelime/authorization/impl/reqinfo"
	"github.com/financelime/authorization/impl/token"
)

const (
	// factorFailuresToNotify is after how many wrong second factors the user is told by e-mail: the client that presents them has the password.
	factorFailuresToNotify = 5
	// factorNoticeInterval is how often the user is told at most.
	factorNoticeInterval = 24 * time.Hour
)

// errLoginExpired means that a ticket is no longer of a login that a second factor can complete.
var errLoginExpired = errors.New("the login has expired")

// CreateAccessTokenBySecondFactor completes a login whose password was right with a second factor.
//
// A ticket needs no row: it is signed, and is void as soon as its password is. It can be used several times, but a second factor only once.
func (s *Service) CreateAccessTokenBySecondFactor(
	ctx context.Context, request api.CreateAccessTokenBySecondFactorRequestObject,
) (api.CreateAccessTokenBySecondFactorResponseObject, error) {
	body := request.Body
	session, err := s.completeLogin(ctx, body.Ticket, factor{code: body.Code, recoveryCode: body.RecoveryCode, passkey: body.Passkey})
	switch {
	case errors.Is(err, errWrongFactor):
		return api.CreateAccessTokenBySecondFactor403JSONResponse{Code: 403, Message: api.SecondFactorFailure403MessageWRONGCODE}, nil
	case errors.Is(err, errLoginExpired), errors.Is(err, errAccountChanged):
		event.Record(ctx, s.Log, event.LoginFailed, event.Reason("ticket_expired"))
		return api.CreateAccessTokenBySecondFactor404JSONResponse{Code: 404, Message: api.SecondFactorFailure404MessageLOGINEXPIRED}, nil
	case err != nil:
		return nil, fmt.Errorf("log in by a second factor: %w", err)
	}
	if body.RecoveryCode != nil { // its use enqueues a mail
		s.MailQueued()
	}
	tokens, err := s.tokens(ctx, session)
	if err == nil {
		event.Record(ctx, s.Log, event.LoginSucceeded)
	}
	return api.CreateAccessTokenBySecondFactor200JSONResponse(tokens), err
}

// completeLogin starts the session of a ticket with a second factor. It fails with errLoginExpired if the ticket is not valid, or its client may
// not log in any more.
func (s *Service) completeLogin(ctx context.Context, text string, f factor) (db.Session, error) {
	ticket, err := s.Tickets.Parse(text)
	if err != nil || !s.allowsClient(ticket.ClientID) {
		return db.Session{}, errLoginExpired
	}
	return s.attempt(ctx, s.loginBySecondFactor(ticket, f))
}

// loginBySecondFactor is the attempt to complete the login of a ticket. Before it reserves quota it fails with errLoginExpired if the ticket is
// void, so that an old ticket cannot delay the account.
func (s *Service) loginBySecondFactor(ticket token.Ticket, f factor) try {
	return try{
		refused: event.FactorFailed, about: []slog.Attr{slog.String("kind", f.kind())},
		find: func(ctx context.Context) (db.Account, error) {
			account, err := s.Store.Read().GetAccount(ctx, ticket.AccountID)
			if errors.Is(err, db.ErrNotFound) {
				return account, errLoginExpired
			}
			if err != nil {
				return account, fmt.Errorf("find the account of a ticket: %w", err)
			}
			_, err = ticketCredential(account, ticket, s.Clock.Now())
			return account, err
		},
		check: func(ctx context.Context, _ db.Account, attempt limit.LoginAttempt) (db.Session, error) {
			return s.startSession(ctx, ticket.ClientID, ticket.Platform, attempt,
				func(ctx context.Context, q *db.Queries, now time.Time) (loginProof, error) {
					return s.proveSecondFactor(ctx, q, ticket, f, attempt, now)
				})
		},
		wrong: func(ctx context.Context, account db.Account, err error) error {
			return s.recordFactorFailure(ctx, account, ticket.Platform, !errors.Is(err, errNotCompared))
		},
	}
}

// proveSecondFactor locks the account, checks that the password of the ticket still is one of it, and uses the second factor. While too many
// failures have switched the password off, it compares nothing, unless the password is a pending one. After too many wrong second factors it
// compares no code; recovery codes and passkeys cannot be guessed.
func (s *Service) proveSecondFactor(
	ctx context.Context, q *db.Queries, ticket token.Ticket, f factor, attempt limit.LoginAttempt, now time.Time,
) (proof loginProof, err error) {
	account, err := q.LockAccount(ctx, ticket.AccountID)
	if errors.Is(err, db.ErrNotFound) {
		return proof, errLoginExpired
	}
	if err != nil {
		return proof, fmt.Errorf("lock the account: %w", err)
	}
	verified, err := ticketCredential(account, ticket, now)
	if err != nil {
		return proof, err
	}
	if attempt.PasswordOff && !verified.pending || f.code != nil && attempt.CodesOff(account.SecondFactorFailures) {
		return proof, errNotCompared
	}
	methods, err := s.useFactor(ctx, q, account, f, token.CeremonySecondFactor, now)
	if err != nil {
		return proof, err
	}
	// After a password, whether the authenticator has verified the user adds nothing.
	methods = slices.DeleteFunc(methods, func(m string) bool { return m == token.UserVerification })
	return loginProof{account, verified, slices.Concat([]string{token.Password}, methods, []string{token.MultiFactor})}, nil
}

// ticketCredential returns the password of an account that a ticket is about. It fails with errLoginExpired if that cannot log in any more, or
// if the account needs no second factor now: the user then logs in by password.
func ticketCredential(account db.Account, ticket token.Ticket, now time.Time) (credential, error) {
	if account.SecondFactorSince != nil {
		for _, c := range credentials(account, now) {
			if subtle.ConstantTimeCompare(passwordDigest(c.hash), ticket.PasswordDigest) == 1 {
				return c, nil
			}
		}
	}
	return credential{}, errLoginExpired
}

// passwordDigest identifies the hash of a password in a ticket. The hash is salted, so the digest reveals nothing about the password.
func passwordDigest(hash string) []byte {
	sum := sha256.Sum256([]byte(hash))
	return sum[:]
}

// recordFactorFailure counts a wrong second factor after a right password, if it was compared: others are no guesses. After factorFailuresToNotify it
// enqueues a mail to the user.
//
// Clocks: on a replica that is 5 s off, the day between two mails is 5 s longer or shorter. A time that is more than maxSkew ahead was written
// by a wrong clock, and delays no mail.
func (s *Service) recordFactorFailure(ctx context.Context, account db.Account, platform string, compared bool) error {
	now := s.Clock.Now()
	notified := false
	err := s.Store.InTx(ctx, func(q *db.Queries) error {
		notified = false
		account, err := q.LockAccount(ctx, account.ID)
		if errors.Is(err, db.ErrNotFound) {
			return nil // deleted meanwhile
		}
		if err != nil {
			return fmt.Errorf("lock the account: %w", err)
		}
		failures := account.SecondFactorFailures
		if compared {
			if err := q.RecordSecondFactorFailure(ctx, account.ID); err != nil {
				return fmt.Errorf("count the wrong second factor: %w", err)
			}
			failures++
		}
		if failures < factorFailuresToNotify || notifiedRecently(account.SecondFactorNotifiedAt, now) {
			return nil
		}
		if err := q.MarkSecondFactorNotified(ctx, db.MarkSecondFactorNotifiedParams{Now: &now, ID: account.ID}); err != nil {
			return fmt.Errorf("record the notice: %w", err)
		}
		addr := reqinfo.FromContext(ctx).Addr.String()
		notified = true
		return enqueueMail(ctx, q, db.InsertMailParams{
			AccountID: account.ID, Kind: mail.KindSecondFactorFailed, Now: now,
			HappenedAt: &now, Platform: &platform, RemoteAddr: &addr,
		})
	})
	if err != nil {
		return fmt.Errorf("record a wrong second factor: %w", err)
	}
	if notified {
		s.MailQueued()
	}
	return nil
}

func notifiedRecently(at *time.Time, now time.Time) bool {
	if at == nil {
		return false
	}
	age := now.Sub(*at)
	return age < factorNoticeInterval && age > -maxSkew
}
