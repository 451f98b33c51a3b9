package authclient

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/financelime/authorization/api/client"
)

// #region errors

// Errors that a program may want to distinguish.
var (
	ErrInviteNotFound  = errors.New("the invite code does not exist, or has expired")
	ErrInviteHasEnded  = errors.New("the invite code has been used up")
	ErrAlreadySignedUp = errors.New("the address has signed up already")
	ErrUserNotFound    = errors.New("no user has this address, or this address and this password")
	ErrBadParameters   = errors.New("the request is malformed")
	ErrTooMany         = errors.New("too many attempts; retry after the time in Retry-After")
	ErrUnavailable     = errors.New("the service is temporarily unavailable")
)

// common returns the error for a status that every operation can return.
func common(response *http.Response) error {
	requestID := response.Header.Get("request-id")
	switch response.StatusCode {
	case http.StatusBadRequest:
		return fmt.Errorf("%w (request %s)", ErrBadParameters, requestID)
	case http.StatusUnauthorized:
		return ErrLoggedOut
	case http.StatusTooManyRequests:
		return fmt.Errorf("%w (request %s)", ErrTooMany, requestID)
	case http.StatusServiceUnavailable:
		return fmt.Errorf("%w (request %s)", ErrUnavailable, requestID) // after all attempts of Retry
	default: // 405 and 413 are bugs of this client, 500 is one of the service; the service does not return others
		return fmt.Errorf("unexpected status %d (request %s)", response.StatusCode, requestID)
	}
}

// #endregion

// #region sign-up

// SignUp requests a confirmation link.
func SignUp(ctx context.Context, api *client.ClientWithResponses, body client.SignUpRequest) error {
	r, err := api.SignupWithResponse(ctx, nil, body)
	switch {
	case err != nil:
		return fmt.Errorf("sign up: %w", err)
	case r.StatusCode() == http.StatusNoContent:
		return nil
	case r.JSON404 != nil && r.JSON404.Message == client.SignUpFailure404MessageINVITENOTFOUND:
		return ErrInviteNotFound
	case r.JSON409 != nil:
		switch r.JSON409.Message { // the linter exhaustive reports a missing case
		case client.SignUpFailure409MessageUSERALREADYEXIST:
			return ErrAlreadySignedUp
		case client.SignUpFailure409MessageINVITEHASENDED:
			return ErrInviteHasEnded
		}
	}
	return fmt.Errorf("sign up: %w", common(r.HTTPResponse))
}

// #endregion

// #region login

// Login creates a session.
func Login(ctx context.Context, api *client.ClientWithResponses, body client.CreateAccessTokenRequest) (client.AccessTokenResponse, error) {
	r, err := api.CreateAccessTokenWithResponse(ctx, nil, body)
	switch {
	case err != nil:
		return client.AccessTokenResponse{}, fmt.Errorf("log in: %w", err)
	case r.JSON200 != nil:
		return *r.JSON200, nil
	case r.JSON404 != nil && r.JSON404.Message == client.CreateAccessTokenFailure404MessageUSERNOTFOUND:
		return client.AccessTokenResponse{}, ErrUserNotFound
	}
	return client.AccessTokenResponse{}, fmt.Errorf("log in: %w", common(r.HTTPResponse))
}

// #endregion

// #region reset

// ResetPassword requests a link for a new password.
func ResetPassword(ctx context.Context, api *client.ClientWithResponses, email string) error {
	r, err := api.UserPasswordResetWithResponse(ctx, nil, client.RequestUserPasswordResetRequest{Email: client.Email(email)})
	switch {
	case err != nil:
		return fmt.Errorf("reset the password: %w", err)
	case r.StatusCode() == http.StatusNoContent:
		return nil
	case r.JSON404 != nil && r.JSON404.Message == client.RequestUserPasswordResetFailure404MessageUSERNOTFOUND:
		return ErrUserNotFound
	}
	return fmt.Errorf("reset the password: %w", common(r.HTTPResponse))
}

// #endregion

// #region sessions

// Sessions lists the user's sessions.
func Sessions(ctx context.Context, api *client.ClientWithResponses) ([]client.Session, error) {
	r, err := api.GetListActiveSessionsWithResponse(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("list the sessions: %w", err)
	}
	if r.JSON200 == nil {
		return nil, fmt.Errorf("list the sessions: %w", common(r.HTTPResponse))
	}
	return *r.JSON200, nil
}

// LogOut ends a session of the user.
func LogOut(ctx context.Context, api *client.ClientWithResponses, sessionID string) error {
	r, err := api.RevokeSessionWithResponse(ctx, sessionID, nil)
	if err != nil {
		return fmt.Errorf("log out: %w", err)
	}
	if r.StatusCode() != http.StatusNoContent {
		return fmt.Errorf("log out: %w", common(r.HTTPResponse))
	}
	return nil
}

// #endregion
