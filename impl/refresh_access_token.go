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

// lateRefreshWindow is how long after a refresh a token older than the replaced one counts as a late refresh on a slow network, not as
// theft: 10 s, also if the clocks of two replicas differ by skewTolerance.
const lateRefreshWindow = 10*time.Second + skewTolerance

// RefreshAccessToken moves a session to its next generation and returns new tokens. The presented refresh token is then replaced.
func (s *Service) RefreshAccessToken(
	ctx context.Context, request api.RefreshAccessTokenRequestObject,
) (api.RefreshAccessTokenResponseObject, error) {
	presented, err := s.Refresh.Parse(request.Body.RefreshToken)
	if err != nil {
		event.Record(ctx, s.Log, event.SessionRefused, event.Reason(token.RefusalReason(err, "invalid_token")))
		return api.RefreshAccessToken400JSONResponse{
			Code: 400, Message: api.RefreshAccessTokenFailure400MessageBADPARAMETERS, Parameters: reject(ctx, "refreshToken"),
		}, nil
	}
	now := s.Clock.Now()
	session, err := s.rotate(ctx, presented, now)
	success := event.SessionRefreshed
	if errors.Is(err, db.ErrNotFound) {
		success = event.SessionRepeated
		session, err = s.repeatRefresh(ctx, presented, now)
	}
	if errors.Is(err, db.ErrNotFound) {
		return api.RefreshAccessToken404JSONResponse{Code: 404, Message: api.RefreshAccessTokenFailure404MessageUSERNOTFOUND}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("refresh: %w", err)
	}
	tokens, err := s.tokens(ctx, session)
	if err == nil {
		event.Record(ctx, s.Log, success)
	}
	return api.RefreshAccessToken200JSONResponse(tokens), err
}

// rotate handles the usual case in one conditional update: the presented generation is the current one. Otherwise it fails with
// db.ErrNotFound.
//
// Clocks: SessionMaxAge is months; a clock that is 5 s off, or was set back by 10 min, ends a session by as much too early or too late. A
// refresh never sets refreshed_at back, so it does not make a session older. Which of two refreshes of different sessions was the later one
// is only as exact as the clocks.
func (s *Service) rotate(ctx context.Context, presented token.RefreshClaims, now time.Time) (session db.Session, err error) {
	s.heartbeat.recordRotation(now)
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

// repeatRefresh decides about a refresh token that is not the current one. The immediate predecessor gets the same successor again during
// the grace: its response was lost, or two tabs refreshed at the same time. A much older token counts as stolen and ends the session. A
// refused token fails with db.ErrNotFound.
func (s *Service) repeatRefresh(ctx context.Context, presented token.RefreshClaims, now time.Time) (db.Session, error) {
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
	case behind <= 0: // this database never issued the token: it was restored from a backup
		event.Record(ctx, s.Log, event.SessionRefused, append(about, event.Reason("unknown_generation"))...)
		return session, db.ErrNotFound
	case behind == 1 && inGrace(session.RefreshedAt, now, s.RefreshGrace, s.heartbeat.knownOutages(now)):
		return session, nil
	// Clocks: a replica that is 5 s ahead of the one that refreshed still allows 10 s; one that is behind allows more. For up to 10 min after
	// a clock was set back by 10 min, the age is negative: an old token is refused, but does not end the session.
	case behind > 1 && s.RefreshGrace > 0 && now.Sub(session.RefreshedAt) < lateRefreshWindow:
		event.Record(ctx, s.Log, event.SessionLateRefresh, append(about, slog.Int64("generations_behind", behind))...)
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
