//go:build clients

package clients

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/financelime/authorization/api/authclient"
	"github.com/financelime/authorization/test/clients/quickstart"
	"github.com/financelime/authorization/test/harness"
)

// TestGoAccount changes the password, steps up and closes the account with the Go package.
func TestGoAccount(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, binary, contract, harness.SQLite)
	ctx, store := t.Context(), &authclient.MemoryStore{}
	u := newUser(t, s, s.URL, authclient.WithTokenStore(store),
		authclient.WithSessionEnded(func(err error) { t.Errorf("the session has ended: %v", err) }))
	session := u.login()
	const chosen = "seven green boats at noon"
	wantError(t, "a wrong password", session.ChangePassword(ctx, "wrong", chosen), authclient.ErrWrongPassword)
	for what, c := range map[string]struct {
		chosen string
		want   error
	}{
		"short": {"short", authclient.ErrPasswordTooShort}, "known": {"passwordpassword", authclient.ErrPasswordKnown},
		"guessable": {u.email, authclient.ErrPasswordGuessable}, "the same": {u.password, authclient.ErrPasswordUnchanged},
	} {
		wantError(t, what, session.ChangePassword(ctx, u.password, c.chosen), c.want)
	}
	before := u.tokens(session)
	u.must(session.ChangePassword(ctx, u.password, chosen))
	u.password = chosen
	after := u.tokens(session)
	if stored, err := store.Load(ctx); err != nil || *stored != after || after.RefreshToken == before.RefreshToken || after.SessionID != before.SessionID {
		t.Errorf("the store has %+v, %v; the session %+v", stored, err, after)
	}
	_, err := session.Refresh(ctx)
	u.must(err)

	wantError(t, "a step-up with a wrong password", session.StepUp(ctx, "wrong"), authclient.ErrAuthenticationFailed)
	before = u.tokens(session)
	u.must(session.StepUp(ctx, chosen))
	if after := u.tokens(session); after.RefreshToken != before.RefreshToken || after.AccessToken == before.AccessToken {
		t.Errorf("a step-up changes only the access token: %+v, %+v", before, after)
	}

	s.AgeAuthentications(t, 11*time.Minute)
	wantError(t, "without a recent authentication", session.DeleteUser(ctx), authclient.ErrRecentAuthenticationRequired)
	response, err := session.API().DeleteUser(ctx, nil)
	u.must(err)
	_, _ = io.Copy(io.Discard, response.Body)
	u.must(response.Body.Close())
	if response.StatusCode != http.StatusForbidden || !authclient.NeedsRecentAuthentication(response) {
		t.Errorf("the generated client: %d %v", response.StatusCode, response.Header)
	}
	errCancelled := errors.New("cancelled")
	err = quickstart.DeleteAccount(ctx, session, func(string) (string, error) { return "", errCancelled })
	wantError(t, "without a password", err, errCancelled)
	var hints []string
	passwords := []string{"wrong", chosen}
	u.must(quickstart.DeleteAccount(ctx, session, func(hint string) (string, error) {
		hints = append(hints, hint)
		next := passwords[0]
		passwords = passwords[1:]
		return next, nil
	}))
	if want := []string{"Please enter your password to close your account.", "The password is wrong."}; !slices.Equal(hints, want) {
		t.Errorf("asked %q", hints)
	}
	_, err = u.tryLogin(chosen)
	wantError(t, "a login after the deletion", err, authclient.ErrUserNotFound)
	_, err = u.auth.Resume(ctx)
	wantError(t, "the store", err, authclient.ErrLoggedOut)
	wantError(t, "the session", session.StepUp(context.WithoutCancel(ctx), chosen), authclient.ErrLoggedOut)
}
