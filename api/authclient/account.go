package authclient

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/financelime/authorization/api/client"
)

// ChangePassword replaces the user's password by one that the user has chosen. The service ends all other sessions of the user; this one
// continues with new tokens. Its failures are ErrWrongPassword, ErrPasswordTooShort, ErrPasswordKnown, ErrPasswordGuessable and
// ErrPasswordUnchanged.
//
// If the response is lost, the error is that of the network. The session continues, but the password may have changed: ask the user to try both.
func (s *Session) ChangePassword(ctx context.Context, currentPassword, newPassword string) error {
	body := client.ChangeUserPasswordRequest{CurrentPassword: currentPassword, NewPassword: newPassword}
	return s.replace(ctx, func(authorize client.RequestEditorFn) (replacement, error) {
		response, err := s.auth.api.ChangeUserPassword(ctx, nil, body, authorize)
		tokens, err := receiveTokens("change the password", response, err)
		return func(Tokens) Tokens { return tokens }, err
	})
}

// StepUp proves with the password that the user is present. For ten minutes, operations that need a recent authentication then succeed. It
// fails with ErrAuthenticationFailed if the password is wrong. WithRecentAuthentication calls it when it is needed.
func (s *Session) StepUp(ctx context.Context, password string) error {
	return s.StepUpWith(ctx, Proof{Password: password})
}

// StepUpWith is StepUp with any proof: with the second factor on, a password is not enough and fails with ErrSecondFactorRequired.
func (s *Session) StepUpWith(ctx context.Context, proof Proof) error {
	return s.replace(ctx, func(authorize client.RequestEditorFn) (replacement, error) {
		const op = "authenticate again"
		response, err := s.auth.api.StepUpSession(ctx, nil, client.StepUpSessionRequest{
			Password: optional(proof.Password), Code: optional(proof.Code), RecoveryCode: optional(proof.RecoveryCode), Passkey: proof.Passkey,
		}, authorize)
		proven, err := receive[client.StepUpResponse](op, http.StatusOK, response, err)
		if err == nil && proven.AccessToken == "" {
			err = fmt.Errorf("%s: the response has no access token: is it from the service?", op)
		}
		return func(stored Tokens) Tokens {
			stored.AccessToken, stored.ExpiresIn = proven.AccessToken, proven.ExpiresIn
			return stored
		}, err
	})
}

// WithRecentAuthentication runs an operation that may need a recent authentication, and returns its error. If the error is
// ErrRecentAuthenticationRequired, it calls ask for the password, steps up, and runs the operation once more.
//
// Methods of Session return that error. A call of the generated client, or of your own API, does not: let the operation return
// ErrRecentAuthenticationRequired if NeedsRecentAuthentication reports true for the response.
//
// The first call of ask has no error. If the step-up fails, ask is called again with the failure, such as ErrAuthenticationFailed. An error
// of ask gives up and is returned.
func (s *Session) WithRecentAuthentication(
	ctx context.Context, operation func(context.Context) error, ask func(context.Context, error) (password string, _ error),
) error {
	return s.WithRecentProof(ctx, operation, func(ctx context.Context, failure error) (Proof, error) {
		password, err := ask(ctx, failure)
		return Proof{Password: password}, err
	})
}

// WithRecentProof is WithRecentAuthentication with any proof: ask may return a code, a recovery code or a passkey instead of a password. If the
// second factor is on, and ask returns a password, it is called again with ErrSecondFactorRequired.
func (s *Session) WithRecentProof(
	ctx context.Context, operation func(context.Context) error, ask func(context.Context, error) (Proof, error),
) error {
	err := operation(ctx)
	if !errors.Is(err, ErrRecentAuthenticationRequired) {
		return err
	}
	var failure error
	for {
		proof, err := ask(ctx, failure)
		if err != nil {
			return err
		}
		failure = s.StepUpWith(ctx, proof)
		switch {
		case failure == nil:
			return operation(ctx)
		case errors.Is(failure, ErrLoggedOut) || ctx.Err() != nil:
			return failure
		}
	}
}

// NeedsRecentAuthentication reports whether a response refuses a request because the user has not authenticated recently: its header
// WWW-Authenticate has the error insufficient_user_authentication (RFC 9470), from the service or from your own API.
func NeedsRecentAuthentication(response *http.Response) bool {
	for _, challenge := range response.Header.Values("www-authenticate") {
		if strings.Contains(challenge, "insufficient_user_authentication") {
			return true
		}
	}
	return false
}

// DeleteUser closes the user's account and deletes the tokens of the session. The service ends all sessions of the user; it deletes the account
// after a grace, in which a mailed link restores it. DeleteUser needs a recent authentication.
func (s *Session) DeleteUser(ctx context.Context) error {
	s.leaving.Store(true)
	defer s.leaving.Store(false)
	response, err := s.api.DeleteUser(ctx, nil)
	if _, err = receive[none]("delete the account", http.StatusNoContent, response, err); err != nil {
		return err
	}
	return s.Forget(ctx)
}

// replacement returns the tokens that replace the stored ones.
type replacement func(stored Tokens) Tokens

// replace sends a request whose response changes the tokens, and saves them. No refresh runs meanwhile: otherwise the response that arrives
// last would win, which may be the older one. If the access token has expired, replace refreshes it and sends the request again.
func (s *Session) replace(ctx context.Context, send func(authorize client.RequestEditorFn) (replacement, error)) error {
	for attempt := 1; ; attempt++ {
		if _, err := s.valid(ctx); err != nil {
			return err
		}
		used, err := s.replaceInTurn(ctx, send)
		switch {
		case err == nil || used == nil:
			return err
		case isLost(err):
			// The tokens in the lost response replace the current ones. The service repeats them for the older refresh token, but for
			// minutes only. If this fails too, the next refresh tries again.
			_, _ = s.refresh(ctx, used)
			return err
		case attempt == maxAttempts || !errors.Is(err, ErrUnauthorized):
			return err
		}
		if _, err := s.refresh(ctx, used); err != nil {
			return err
		}
	}
}

// replaceInTurn sends the request and saves the tokens of the response while no refresh runs. It returns the tokens that it has sent, or nil
// if it has sent none or has received a response that is final.
func (s *Session) replaceInTurn(ctx context.Context, send func(client.RequestEditorFn) (replacement, error)) (used *grant, _ error) {
	if err := s.takeTurn(ctx); err != nil {
		return nil, err
	}
	defer s.endTurn()
	current := s.current()
	if current == nil {
		return nil, ErrLoggedOut
	}
	sent := time.Now()
	merge, err := send(func(_ context.Context, r *http.Request) error {
		r.Header.Set("authorization", "Bearer "+current.AccessToken)
		return nil
	})
	if err != nil {
		return current, err
	}
	return nil, s.saveReplacement(ctx, current, merge, sent)
}

// saveReplacement saves the tokens of a response and makes them the current ones. If the user has logged out or in meanwhile, it does nothing.
func (s *Session) saveReplacement(ctx context.Context, current *grant, merge replacement, sent time.Time) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	ctx = context.WithoutCancel(ctx) // the older tokens are used up
	stored, err := s.store.Load(ctx)
	switch {
	case err != nil:
		stored = &current.Tokens
	case stored == nil || stored.SessionID != s.id:
		return nil
	}
	if s.current() == nil {
		return nil
	}
	renewed := newGrant(merge(*stored), sent)
	if err := s.store.Save(ctx, renewed.Tokens); err != nil {
		s.unsaved = renewed // the next refresh saves them
		return fmt.Errorf("save the tokens: %w", err)
	}
	s.unsaved = nil
	s.set(renewed)
	return nil
}

// takeTurn waits until nothing else asks for other tokens of the session. Its caller calls endTurn.
func (s *Session) takeTurn(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Session) endTurn() { <-s.turn }
