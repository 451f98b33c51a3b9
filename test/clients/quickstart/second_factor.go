package quickstart

import (
	"context"
	"errors"

	"github.com/financelime/authorization/api/authclient"
)

// #region second-factor

// LoginTwice logs a user in. If the second factor is on, readCode reads a code of the authenticator app, again after a wrong one.
func LoginTwice(ctx context.Context, auth *authclient.Client, user authclient.LoginRequest, readCode func() (string, error)) (*authclient.Session, error) {
	session, err := auth.Login(ctx, user)
	required, isRequired := errors.AsType[*authclient.SecondFactorRequiredError](err)
	for isRequired && (session == nil && errors.Is(err, required) || errors.Is(err, authclient.ErrWrongCode)) {
		code, readErr := readCode()
		if readErr != nil {
			return nil, readErr
		}
		session, err = auth.CompleteLogin(ctx, required.Ticket, authclient.Proof{Code: code})
	}
	return session, err
}

// #endregion
