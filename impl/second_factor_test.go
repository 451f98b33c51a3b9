package impl

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/secret"
	"github.com/financelime/authorization/impl/token"
	"github.com/financelime/authorization/impl/totp"
	"github.com/financelime/authorization/test/dbtest"
)

// Without the AUTH_SECRET under which a TOTP secret was sealed, a code is no wrong code: the operation fails. A secret that is not confirmed yet
// is gone then, so that the user begins again.
func TestForeignTOTPSecret(t *testing.T) {
	t.Parallel()
	dbtest.EachEngine(t, func(t *testing.T, url string) {
		f := newFactorFixture(t, url)
		plain, _ := f.setUp()
		pending := f.code(f.begin())
		other, err := secret.Generate()
		must(t, err)
		own := f.TOTP
		f.TOTP, err = totp.NewSealer(other)
		must(t, err)
		f.now = f.now.Add(time.Minute)
		code := f.code(plain)
		err = f.Store.InTx(f.ctx, func(q *db.Queries) error { return f.useTOTP(f.ctx, q, db.Account{ID: f.accountID}, code, f.now) })
		if !errors.Is(err, totp.ErrForeignSecret) || errors.Is(err, errWrongFactor) || !strings.Contains(err.Error(), "AUTH_SECRET_PREVIOUS") {
			t.Errorf("a code: %v", err)
		}
		if response := f.confirm(pending); response != (api.ConfirmTotp409JSONResponse{Code: 409, Message: api.ConfirmTOTPFailure409MessageTOTPNOTBEGUN}) {
			t.Errorf("a confirmation: %+v", response)
		}
		f.TOTP = own
		if !f.use(factor{code: &code}) {
			t.Error("the code is not valid under the right AUTH_SECRET")
		}
	})
}

// A passkey for another domain is no second factor. With one that works, the session gets the method of it, and is not more recent than before.
func TestTurnOnWithPasskeys(t *testing.T) {
	t.Parallel()
	const synced = 0x08 // the flag BE
	dbtest.EachEngine(t, func(t *testing.T, url string) {
		f := newFactorFixture(t, url)
		turnOn := func() api.TurnOnSecondFactorResponseObject {
			t.Helper()
			response, err := f.TurnOnSecondFactor(f.request(), api.TurnOnSecondFactorRequestObject{})
			must(t, err)
			return response
		}
		wantMethods := func(want string) {
			t.Helper()
			claims, _ := token.FromContext(f.ctx)
			session, err := f.Store.Read().GetSession(t.Context(), claims.SessionID)
			must(t, err)
			if *session.Methods != want || !session.AuthenticatedAt.Equal(f.now.Add(-time.Minute)) {
				t.Errorf("%s at %s, want %s", *session.Methods, session.AuthenticatedAt, want)
			}
		}
		f.addPasskey("another.example", 0)
		if response := turnOn(); response != (api.TurnOnSecondFactor409JSONResponse{Code: 409, Message: api.TurnOnSecondFactorFailure409MessageNOFACTOR}) {
			t.Errorf("with a passkey for another domain: %+v", response)
		}
		f.addPasskey("example.com", synced)
		f.now = f.now.Add(time.Minute)
		if _, ok := turnOn().(api.TurnOnSecondFactor200JSONResponse); !ok {
			t.Error("the second factor is not on")
		}
		wantMethods("pwd swk mfa")
		if _, err := f.TurnOffSecondFactor(f.request(), api.TurnOffSecondFactorRequestObject{}); err != nil {
			t.Error(err)
		}
		f.addPasskey("example.com", 0)
		turnOn()
		wantMethods("pwd swk mfa hwk")

		// With a passkey, TOTP is not the last factor.
		plain := f.begin()
		if response, ok := f.confirm(f.code(plain)).(api.ConfirmTotp200JSONResponse); !ok || len(response.RecoveryCodes) != 0 {
			t.Errorf("TOTP beside a passkey: %+v", response)
		}
		response, err := f.RemoveTotp(f.request(), api.RemoveTotpRequestObject{})
		if _, ok := response.(api.RemoveTotp204Response); !ok || err != nil {
			t.Errorf("remove TOTP beside a passkey: %+v, %v", response, err)
		}
		code := f.code(plain)
		if f.use(factor{code: &code}) {
			t.Error("a code of a removed secret is valid")
		}
	})
}

// A code of another user's app, or their recovery code, is wrong.
func TestFactorsOfAnother(t *testing.T) {
	t.Parallel()
	dbtest.EachEngine(t, func(t *testing.T, url string) {
		f := newFactorFixture(t, url)
		plain, codes := f.setUp()
		f.now = f.now.Add(time.Minute)
		code := f.code(plain)
		owner := f.accountID
		f.accountID = newID()
		must(t, f.Store.Write(t.Context(), func(q *db.Queries) error {
			_, err := q.InsertAccount(t.Context(), db.InsertAccountParams{ID: f.accountID, Email: "q@example.com", Language: "en", CreatedAt: f.now})
			return err
		}))
		if f.use(factor{code: &code}) || f.use(factor{recoveryCode: &codes[0]}) {
			t.Error("another user has used them")
		}
		f.accountID = owner
		typed := " " + strings.ToLower(strings.ReplaceAll(codes[0], "-", " "))
		if !f.use(factor{code: &code}) || !f.use(factor{recoveryCode: &typed}) {
			t.Error("their owner cannot use them")
		}
	})
}
