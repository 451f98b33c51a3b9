// Package quickstart is the Go code that docs/clients.md quotes. The tests of test/clients run it.
package quickstart

// #region login
import (
	"context"
	"net/http"

	"github.com/financelime/authorization/api/authclient"
)

// Login returns an HTTP client that keeps a user logged in. It sends the access token to the API at apiURL.
func Login(ctx context.Context, authURL, apiURL, email, password string) (*http.Client, error) {
	auth, err := authclient.New(authURL, authclient.WithOrigins(apiURL))
	if err != nil {
		return nil, err
	}
	session, err := auth.Login(ctx, authclient.LoginRequest{Email: email, Password: password, ClientID: "shop_v1.0.0"})
	if err != nil {
		return nil, err
	}
	return session.HTTPClient(), nil
}

// #endregion
