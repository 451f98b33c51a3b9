package authclient

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/financelime/authorization/api/client"
)

const (
	// refreshTimeout is the longest time of a refresh with all its attempts. Its callers stop waiting when their own contexts end.
	refreshTimeout = time.Minute
	// maxEarly is how long before its expiry an access token is refreshed: longer than a request takes to arrive.
	maxEarly = 20 * time.Second
)

// grant are tokens, and the time of the access token's expiry. A grant does not change.
//
// The times have a reading of the monotonic clock, so setting the system's clock back does not make a token look younger.
type grant struct {
	Tokens
	refreshAt time.Time // zero: when a 401 says so
	expiresAt time.Time // zero: unknown
}

// newGrant returns the grant of tokens for which a request was sent at a time, which is earlier than that of their creation.
func newGrant(tokens Tokens, sent time.Time) *grant {
	g := &grant{Tokens: tokens}
	if tokens.ExpiresIn != nil && *tokens.ExpiresIn > 0 {
		lifetime := time.Duration(*tokens.ExpiresIn) * time.Second
		g.expiresAt = sent.Add(lifetime)
		g.refreshAt = g.expiresAt.Add(-min(maxEarly, lifetime/5))
	}
	return g
}

// resumedGrant returns the grant of tokens from a store. Nobody knows how old they are.
func resumedGrant(tokens Tokens) *grant { return &grant{Tokens: tokens} }

// due reports whether the access token should be refreshed before its use.
func (g *grant) due(now time.Time) bool {
	return !g.refreshAt.IsZero() && passed(g.refreshAt, now)
}

// passed reports whether a time has come: by the monotonic clock, or by the system's, which also counts the time while the computer sleeps.
func passed(t, now time.Time) bool { return !now.Before(t) || !now.Round(0).Before(t.Round(0)) }

func (s *Session) current() *grant {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.grant
}

func (s *Session) set(tokens *grant) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.grant = tokens
}

// reschedule changes when tokens are refreshed, if they are still the current ones.
func (s *Session) reschedule(tokens *grant, refreshAt time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.grant != tokens {
		return
	}
	changed := *tokens
	changed.refreshAt = refreshAt
	s.grant = &changed
}

// distrust makes the next use of tokens refresh them.
func (s *Session) distrust(tokens *grant) { s.reschedule(tokens, time.Now()) }

// valid returns the current tokens, refreshed if their access token is about to expire.
func (s *Session) valid(ctx context.Context) (*grant, error) {
	tokens := s.current()
	if tokens == nil {
		return nil, ErrLoggedOut
	}
	if !tokens.due(time.Now()) {
		return tokens, nil
	}
	renewed, err := s.refresh(ctx, tokens)
	if err == nil || errors.Is(err, ErrLoggedOut) || ctx.Err() != nil || passed(tokens.expiresAt, time.Now()) {
		return renewed, err
	}
	s.reschedule(tokens, tokens.expiresAt) // until then the token is good, and nobody waits for the service
	return tokens, nil
}

// refresh exchanges stale tokens for new ones. Concurrent calls share one request, which goes on if the context of its caller ends: others
// wait for it, and its response has the next refresh token.
func (s *Session) refresh(ctx context.Context, stale *grant) (*grant, error) {
	done := s.refreshing.DoChan("", func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), refreshTimeout)
		defer cancel()
		if err := s.takeTurn(ctx); err != nil {
			return nil, fmt.Errorf("refresh: %w", err)
		}
		defer s.endTurn()
		return s.renew(ctx, stale)
	})
	select {
	case <-ctx.Done():
		return nil, fmt.Errorf("refresh: %w", ctx.Err())
	case result := <-done:
		if result.Err != nil {
			return nil, result.Err
		}
		return result.Val.(*grant), nil //nolint:forcetypeassert // renew returns nothing else
	}
}

// renew replaces the session's tokens with newer ones: those of another call, of another process, or of a refresh.
func (s *Session) renew(ctx context.Context, stale *grant) (*grant, error) {
	current := s.current()
	if current == nil {
		return nil, ErrLoggedOut
	}
	if current.RefreshToken != stale.RefreshToken {
		return current, nil
	}
	stored, err := s.store.Load(ctx)
	if err != nil {
		return nil, fmt.Errorf("refresh: load the tokens: %w", err)
	}
	if s.isNewer(stored, current) {
		return s.adopt(ctx, current, stored)
	}
	if s.unsaved != nil { // the last refresh got them, but could not save them
		return s.keep(ctx, current, s.unsaved)
	}
	return s.exchange(ctx, current)
}

// isNewer reports whether the store has neither the current tokens nor those that this session could not save: another process has changed it.
func (s *Session) isNewer(stored *Tokens, current *grant) bool {
	return stored == nil || (stored.RefreshToken != current.RefreshToken && (s.unsaved == nil || stored.RefreshToken != s.unsaved.RefreshToken))
}

// exchange sends the refresh token to the service, and sends it again if the response was lost: the service accepts a token again for two
// minutes, and takes it for stolen afterwards.
func (s *Session) exchange(ctx context.Context, current *grant) (*grant, error) {
	renewed, err := s.request(ctx, current.RefreshToken)
	for attempt := 1; attempt < s.auth.attempts && isLost(err); attempt++ {
		if pause(ctx, defaultWait) != nil {
			break
		}
		renewed, err = s.request(ctx, current.RefreshToken)
	}
	if err == nil {
		return s.keep(ctx, current, renewed)
	}
	if !endsSession(err) {
		return nil, err
	}
	stored, failed := s.store.Load(ctx)
	if failed == nil && stored != nil && s.isNewer(stored, current) {
		return s.adopt(ctx, current, stored)
	}
	return nil, s.end(ctx, current, true, fmt.Errorf("%w: %w", ErrLoggedOut, err))
}

func (s *Session) request(ctx context.Context, refreshToken string) (*grant, error) {
	sent := time.Now()
	response, err := s.auth.api.RefreshAccessToken(ctx, nil, client.RefreshAccessTokenRequest{RefreshToken: refreshToken})
	tokens, err := receiveTokens("refresh", response, err)
	if err != nil {
		return nil, err
	}
	return newGrant(tokens, sent), nil
}

// isLost reports whether the service may have received a request whose response did not arrive.
func isLost(err error) bool {
	if err == nil {
		return false
	}
	if failure, ok := errors.AsType[*Error](err); ok {
		return failure.Status == http.StatusBadGateway || failure.Status == http.StatusGatewayTimeout
	}
	failure, ok := errors.AsType[*net.OpError](err)
	return !ok || failure.Op != "dial" // without a connection nothing was sent
}

// endsSession reports whether the service has said that a refresh token will never work again. Everything else says nothing about the token:
// the network failed, a gateway responded instead of the service, or something on the way has changed the request.
func endsSession(err error) bool {
	failure, ok := errors.AsType[*Error](err)
	return ok && ((failure.Status == http.StatusNotFound && failure.Code == ErrUserNotFound) || failure.names("refreshToken"))
}

// keep saves new tokens, then makes them the current ones. Until they are saved, nobody uses them: the service still accepts the older
// refresh token, which is all that remains after a crash. If the store has changed during the refresh, its tokens are the newer ones.
func (s *Session) keep(ctx context.Context, current, renewed *grant) (*grant, error) {
	stored, isSaved, err := s.save(ctx, current, renewed)
	switch {
	case err != nil:
		return nil, err
	case isSaved:
		return renewed, nil
	}
	return s.adopt(ctx, current, stored)
}

// save saves new tokens, or returns what the store has instead of the current ones: nil if it is empty.
func (s *Session) save(ctx context.Context, current, renewed *grant) (stored *Tokens, isSaved bool, _ error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	if now := s.current(); now == nil || now.RefreshToken != current.RefreshToken {
		s.unsaved = nil
		return nil, false, ErrLoggedOut // Forget was faster
	}
	if stored, err := s.store.Load(ctx); err == nil && s.isNewer(stored, current) {
		return stored, false, nil
	}
	if err := s.store.Save(ctx, renewed.Tokens); err != nil {
		s.unsaved = renewed
		return nil, false, fmt.Errorf("refresh: save the tokens: %w", err)
	}
	s.unsaved = nil
	s.set(renewed)
	return nil, true, nil
}

// adopt uses the tokens that another process has stored. If they are of another session, perhaps of another user, this session has ended: who
// wants the other one calls Resume.
func (s *Session) adopt(ctx context.Context, current *grant, stored *Tokens) (*grant, error) {
	switch {
	case stored == nil:
		return nil, s.end(ctx, current, false, fmt.Errorf("%w: another process has logged out", ErrLoggedOut))
	case stored.SessionID != current.SessionID:
		return nil, s.end(ctx, current, false, fmt.Errorf("%w: another login has replaced the session", ErrLoggedOut))
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.current() == nil {
		return nil, ErrLoggedOut
	}
	s.unsaved = nil
	adopted := resumedGrant(*stored)
	s.set(adopted)
	return adopted, nil
}

// end logs the session out, deletes its tokens if they are still in the store, tells the caller's function, and returns why.
func (s *Session) end(ctx context.Context, current *grant, isStored bool, reason error) error {
	ended, reason := s.close(ctx, current, isStored, reason)
	if ended && s.auth.ended != nil && !s.leaving.Load() {
		s.auth.ended(reason) // without a lock, so that it may call any method
	}
	return reason
}

func (s *Session) close(ctx context.Context, current *grant, isStored bool, reason error) (ended bool, _ error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	if now := s.current(); now == nil || now.RefreshToken != current.RefreshToken {
		return false, ErrLoggedOut // Forget was faster
	}
	s.set(nil)
	s.unsaved = nil
	if isStored {
		reason = errors.Join(reason, s.deleteStored(ctx))
	}
	return true, reason
}
