package quickstart

import (
	"context"
	"errors"
	"fmt"

	"github.com/financelime/authorization/api/authclient"
)

// #region delete

// DeleteAccount closes the user's account. If the last authentication is older than ten minutes, readPassword reads the password, for example
// from a terminal, after it has shown a hint.
func DeleteAccount(ctx context.Context, session *authclient.Session, readPassword func(hint string) (string, error)) error {
	ask := func(_ context.Context, failure error) (string, error) {
		limited, _ := errors.AsType[*authclient.Error](failure)
		switch {
		case failure == nil:
			return readPassword("Please enter your password to close your account.")
		case errors.Is(failure, authclient.ErrAuthenticationFailed):
			return readPassword("The password is wrong.")
		case errors.Is(failure, authclient.ErrTooManyRequests):
			return readPassword(fmt.Sprintf("Too many attempts. Please wait %s.", limited.RetryAfter))
		default:
			return "", failure
		}
	}
	return session.WithRecentAuthentication(ctx, session.DeleteUser, ask)
}

// #endregion
