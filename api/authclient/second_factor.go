package authclient

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/financelime/authorization/api/client"
)

// Proof shows that the user is present. Set one field. CompleteLogin takes no password.
type Proof struct {
	Password     string
	Code         string                   // the six digits of the authenticator app
	RecoveryCode string                   // letter case, hyphens and spaces do not matter
	Passkey      *client.PasskeyAssertion // the response of a browser or of a platform to the options of a ceremony
}

// SecondFactorRequiredError is the failure of a login whose password was right: CompleteLogin continues with the ticket. errors.Is finds
// ErrSecondFactorRequired in it, and errors.As the *Error.
type SecondFactorRequiredError struct {
	Failure *Error
	Ticket  string                      // completes the login within 5 minutes. It is a secret: the text of the error does not have it
	Methods []client.SecondFactorMethod // what the user has
	Passkey *client.PasskeyRequest      // the ceremony of a passkey; nil if the user has none
}

// Error describes the failure in one line, without the ticket.
func (e *SecondFactorRequiredError) Error() string { return e.Failure.Error() }

// Unwrap returns the failure.
func (e *SecondFactorRequiredError) Unwrap() error { return e.Failure }

// secondFactorRequired reads the 403 of a login. It returns an *Error for a 403 that is not the service's, such as a gateway's.
func secondFactorRequired(response *http.Response) error {
	defer response.Body.Close()
	content, err := io.ReadAll(io.LimitReader(response.Body, maxBody))
	if err != nil {
		return fmt.Errorf("read the response: %w", err)
	}
	response.Body = io.NopCloser(bytes.NewReader(content))
	failure := newError("log in", response)
	var body client.CreateAccessTokenFailure403
	if failure.Code != ErrSecondFactorRequired || json.Unmarshal(content, &body) != nil || body.Ticket == "" {
		return failure
	}
	return &SecondFactorRequiredError{Failure: failure, Ticket: body.Ticket, Methods: body.Methods, Passkey: body.Passkey}
}

// CompleteLogin completes a login with the ticket of a *SecondFactorRequiredError and a second factor, and stores the tokens. After ErrWrongCode
// it can be called again with the same ticket; after ErrLoginExpired the user begins again with the password.
func (c *Client) CompleteLogin(ctx context.Context, ticket string, factor Proof) (*Session, error) {
	if factor.Password != "" {
		return nil, errors.New("log in: a password is no second factor")
	}
	return c.login(ctx, func() (*http.Response, error) {
		return c.api.CreateAccessTokenBySecondFactor(ctx, nil, client.SecondFactorRequest{
			Ticket: ticket, Code: optional(factor.Code), RecoveryCode: optional(factor.RecoveryCode), Passkey: factor.Passkey,
		})
	})
}

// BeginPasskey begins a ceremony for a passkey of any user: for LoginWithPasskey, or for Session.StepUpWith. It fails with ErrNotFound if the
// service has no passkeys.
func (c *Client) BeginPasskey(ctx context.Context) (client.PasskeyRequest, error) {
	response, err := c.api.BeginPasskeyLogIn(ctx, nil) //nolint:bodyclose // receive closes it
	return receive[client.PasskeyRequest]("begin a login with a passkey", http.StatusOK, response, err)
}

// LoginWithPasskey creates a session by a passkey alone, and stores the tokens. It fails with ErrUserNotFound if the service does not know the
// passkey, or the ceremony has expired.
func (c *Client) LoginWithPasskey(ctx context.Context, user client.PasskeyLogInRequest) (*Session, error) {
	return c.login(ctx, func() (*http.Response, error) { return c.api.CreateAccessTokenByPasskey(ctx, nil, user) })
}

// optional returns nil for a field that is not set.
func optional(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}
