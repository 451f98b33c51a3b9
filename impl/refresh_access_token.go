package impl

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/event"
	"github.com/financelime/authorization/impl/reqinfo"
	"github.com/financelime/authorization/impl/token"
)

// stragglerTime is how long after a refresh a token older than the one it replaced is taken for a straggler on a slow
// network, not for a theft: 10 s, as two replicas measure it whose clocks differ by up to skewTolerance.
const stragglerTime = 10*time.Second + skewTolerance

// RefreshAccessToken moves a session to its next generation, which makes the presented token useless.
func (s *Service) RefreshAccessToken(
	ctx context.Context, request api.RefreshAccessTokenRequestObject,
) (api.RefreshAccessTokenResponseObject, error) {
	presented, err := s.Refresh.Parse(request.Body.RefreshToken)
	if err != nil {
		event.Record(ctx, s.Log, event.SessionRefused, event.Reason(token.RefusalReason(err, "invalid_token")))
		return api.RefreshAccessToken400JSONResponse{Code: 400, Message: api.RefreshAccessTokenFailure400MessageBADPARAMETERS}, nil
	}
	now := s.Clock.Now()
	session, err := s.rotate(ctx, presented, now)
	how := event.SessionRefreshed
	if errors.Is(err, db.ErrNotFound) {
		how = event.SessionRepeated
		session, err = s.repeat(ctx, presented, now)
	}
	if errors.Is(err, db.ErrNotFound) {
		return api.RefreshAccessToken404JSONResponse{Code: 404, Message: api.RefreshAccessTokenFailure404MessageUSERNOTFOUND}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("refresh: %w", err)
	}
	tokens, err := s.tokens(ctx, session)
	if err == nil {
		event.Record(ctx, s.Log, how)
	}
	return api.RefreshAccessToken200JSONResponse(tokens), err
}

// rotate is the usual case in one statement: the presented generation is the current one.
//
// Clocks: SessionMaxAge is a matter of months; a clock that is 5 s off, or set back by 10 min, ends a session by as much too early or
// too late. refreshed_at is not set back, so a session does not become older by a refresh. Which of two refreshes of an account's
// sessions was the later one is known as exactly as the clocks agree.
func (s *Service) rotate(ctx context.Context, presented token.RefreshClaims, now time.Time) (session db.Session, err error) {
	s.heartbeat.noteRotation(now)
	err = s.Store.Write(ctx, func(q *db.Queries) error {
		session, err = q.RotateSession(ctx, db.RotateSessionParams{
			ID:           presented.SessionID,
			Generation:   presented.Generation,
			Now:          now,
			RemoteAddr:   reqinfo.FromContext(ctx).Addr.String(),
			CreatedAfter: now.Add(-s.SessionMaxAge),
			FarAhead:     now.Add(maxSkew),
		})
		return err
	})
	if err != nil {
		return session, fmt.Errorf("rotate the session: %w", err)
	}
	return session, nil
}

// repeat decides on a token that is not the current one. The immediate predecessor gets the same successor again while
// the grace lasts: its answer was lost, or two tabs refreshed at once. Anything else counts as stolen and ends the session.
func (s *Service) repeat(ctx context.Context, presented token.RefreshClaims, now time.Time) (db.Session, error) {
	session, err := s.Store.Read().GetSession(ctx, presented.SessionID)
	if errors.Is(err, db.ErrNotFound) {
		event.Record(ctx, s.Log, event.SessionRefused, event.Reason("ended"), event.Session(presented.SessionID))
	}
	if err != nil {
		return session, fmt.Errorf("find the session: %w", err)
	}
	about := []slog.Attr{event.Account(session.AccountID), event.Session(session.ID)}
	behind := session.Generation - presented.Generation
	switch {
	case !session.CreatedAt.After(now.Add(-s.SessionMaxAge)):
		event.Record(ctx, s.Log, event.SessionRefused, append(about, event.Reason("too_old"))...)
		return session, db.ErrNotFound
	case behind <= 0: // a token that this database never gave: it was restored from a backup
		event.Record(ctx, s.Log, event.SessionRefused, append(about, event.Reason("unknown_generation"))...)
		return session, db.ErrNotFound
	case behind == 1 && inGrace(session.RefreshedAt, now, s.RefreshGrace, s.heartbeat.known(now)):
		return session, nil
	// Clocks: one that is 5 s ahead of the replica that refreshed still allows 10 s, one that is behind allows more. Up to 10 min after a
	// clock was set back by 10 min, the age is negative: an old token is refused, and ends no session.
	case behind > 1 && s.RefreshGrace > 0 && now.Sub(session.RefreshedAt) < stragglerTime:
		event.Record(ctx, s.Log, event.SessionStraggler, append(about, slog.Int64("generations_behind", behind))...)
		return session, db.ErrNotFound
	}

	event.Record(ctx, s.Log, event.SessionReuseDetected, append(about, slog.Int64("generations_behind", behind))...)
	err = s.Store.Write(ctx, func(q *db.Queries) error {
		_, err := q.DeleteSession(ctx, db.DeleteSessionParams{ID: session.ID, AccountID: session.AccountID})
		return err
	})
	if err != nil {
		return session, fmt.Errorf("end the session: %w", err)
	}
	return session, db.ErrNotFound
}
