package impl

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/passkey"
	"github.com/financelime/authorization/impl/reqinfo"
	"github.com/financelime/authorization/impl/secret"
	"github.com/financelime/authorization/impl/token"
	"github.com/financelime/authorization/impl/totp"
	"github.com/financelime/authorization/test/dbtest"
)

// factorFixture is a service and a user with a session in which they have just authenticated.
type factorFixture struct {
	*Service

	t         *testing.T
	now       time.Time
	accountID uuid.UUID
	ctx       context.Context //nolint:containedctx // that of the user's requests
}

func newFactorFixture(t *testing.T, url string) *factorFixture {
	t.Helper()
	root, err := secret.Generate()
	must(t, err)
	sealer, err := totp.NewSealer(root)
	must(t, err)
	relyingParty, err := passkey.New(passkey.Config{ID: "example.com", Name: "Financelime", Origins: []string{"https://example.com"}})
	must(t, err)
	f := &factorFixture{t: t, now: time.Now().UTC().Truncate(time.Microsecond), accountID: newID()}
	f.Service = &Service{
		Store: dbtest.Open(t, url), TOTP: sealer, Log: slog.New(slog.DiscardHandler), Clock: func() time.Time { return f.now }, MailQueued: func() {},
		Name: "Financelime", Passkeys: relyingParty, RefreshTTL: time.Hour, SessionMaxAge: time.Hour,
	}
	session := newID()
	must(t, f.Store.InTx(t.Context(), func(q *db.Queries) error {
		_, err := q.InsertAccount(t.Context(), db.InsertAccountParams{ID: f.accountID, Email: "p@example.com", Language: "en", CreatedAt: f.now})
		return errors.Join(err, q.InsertSession(t.Context(), db.InsertSessionParams{
			ID: session, AccountID: f.accountID, ClientID: "test", Now: f.now, AuthenticatedAt: &f.now, Methods: new(token.Password),
		}))
	}))
	ctx := token.NewContext(t.Context(), token.Claims{AccountID: f.accountID, SessionID: session})
	f.ctx = reqinfo.NewContext(ctx, &reqinfo.Info{RequestID: uuid.NewString(), Addr: netip.MustParseAddr("198.51.100.1")})
	return f
}

// request returns the context of another request of the user.
func (f *factorFixture) request() context.Context {
	return reqinfo.NewContext(f.ctx, &reqinfo.Info{RequestID: uuid.NewString(), Addr: netip.MustParseAddr("198.51.100.1")})
}

// begin begins TOTP and returns the secret.
func (f *factorFixture) begin() totp.Secret {
	f.t.Helper()
	_, err := f.BeginTotp(f.request(), api.BeginTotpRequestObject{})
	must(f.t, err)
	row, err := f.Store.Read().GetTOTP(f.t.Context(), f.accountID)
	must(f.t, err)
	plain, err := f.TOTP.Open(row.PendingSealed, f.accountID)
	must(f.t, err)
	return plain
}

func (f *factorFixture) code(plain totp.Secret) string {
	f.t.Helper()
	code, err := plain.Code(totp.Step(f.now))
	must(f.t, err)
	return code
}

func (f *factorFixture) confirm(code string) api.ConfirmTotpResponseObject {
	response, err := f.ConfirmTotp(f.request(), api.ConfirmTotpRequestObject{Body: &api.ConfirmTOTPRequest{Code: code}})
	if err != nil {
		f.t.Error(err)
	}
	return response
}

// setUp turns the second factor on with TOTP.
func (f *factorFixture) setUp() (plain totp.Secret, recoveryCodes []string) {
	f.t.Helper()
	plain = f.begin()
	confirmed, ok := f.confirm(f.code(plain)).(api.ConfirmTotp200JSONResponse)
	if !ok {
		f.t.Fatal("TOTP was not confirmed")
	}
	return plain, confirmed.RecoveryCodes
}

// use uses a second factor in a transaction of its own, and reports whether it was right.
func (f *factorFixture) use(presented factor) bool {
	err := f.Store.InTx(f.request(), func(q *db.Queries) error {
		account, err := q.LockAccount(f.ctx, f.accountID)
		if err == nil {
			_, err = f.useFactor(f.request(), q, account, presented, token.CeremonySecondFactor, f.now)
		}
		return err
	})
	if err != nil && !errors.Is(err, errWrongFactor) {
		f.t.Error(err)
	}
	return err == nil
}

// together calls do n times at the same time, and returns how often it returned true.
func together(n int, do func(i int) bool) (succeeded int) {
	var count atomic.Int64
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			if do(i) {
				count.Add(1)
			}
		})
	}
	all.Wait()
	return int(count.Load())
}

// Of 16 uses of a code at the same time, one succeeds. The code of the confirmation is used already.
func TestRaceOneTOTPCode(t *testing.T) {
	t.Parallel()
	dbtest.EachEngine(t, func(t *testing.T, url string) {
		f := newFactorFixture(t, url)
		plain, _ := f.setUp()
		code := f.code(plain)
		if f.use(factor{code: &code}) {
			t.Error("the code of the confirmation is valid again")
		}
		for round := range 100 {
			f.now = f.now.Add(30 * time.Second)
			code := f.code(plain)
			if n := together(16, func(int) bool { return f.use(factor{code: &code}) }); n != 1 {
				t.Fatalf("round %d: %d of 16 uses succeed", round, n)
			}
		}
		older := f.code(plain)
		f.now = f.now.Add(30 * time.Second)
		newer := f.code(plain)
		if !f.use(factor{code: &newer}) || f.use(factor{code: &older}) {
			t.Error("after a newer code, an older one is valid, or the newer one is not")
		}
	})
}

// Of two uses of a recovery code at the same time, one succeeds. The mail about it is queued once.
func TestRaceOneRecoveryCode(t *testing.T) {
	t.Parallel()
	dbtest.EachEngine(t, func(t *testing.T, url string) {
		f := newFactorFixture(t, url)
		_, codes := f.setUp()
		uses := 0
		for round := range 100 {
			if len(codes) == 0 {
				renewed, err := f.RenewRecoveryCodes(f.request(), api.RenewRecoveryCodesRequestObject{})
				must(t, err)
				codes = renewed.(api.RenewRecoveryCodes200JSONResponse).RecoveryCodes
			}
			if n := together(2, func(int) bool { return f.use(factor{recoveryCode: &codes[0]}) }); n != 1 {
				t.Fatalf("round %d: %d of two uses succeed", round, n)
			}
			uses++
			codes = codes[1:]
		}
		mails, err := f.Store.Read().ListAccountMails(t.Context(), db.ListAccountMailsParams{AccountID: f.accountID, MaxRows: 1000})
		must(t, err)
		about := 0
		for _, m := range mails {
			if m.Kind == "recovery_code_used" {
				about++
			}
		}
		if about != uses {
			t.Errorf("%d mails about %d uses", about, uses)
		}
	})
}

// After a renewal, no older code is valid, also if it is used at the same time: then either the use was first, or it fails.
func TestRaceRenewalBesideUse(t *testing.T) {
	t.Parallel()
	dbtest.EachEngine(t, func(t *testing.T, url string) {
		f := newFactorFixture(t, url)
		_, codes := f.setUp()
		first := 0
		for round := range 100 {
			var renewed []string
			first += together(2, func(i int) bool {
				if (i+round)%2 == 0 {
					return f.use(factor{recoveryCode: &codes[0]})
				}
				response, err := f.RenewRecoveryCodes(f.request(), api.RenewRecoveryCodesRequestObject{})
				if err != nil {
					t.Error(err)
					return false
				}
				renewed = response.(api.RenewRecoveryCodes200JSONResponse).RecoveryCodes
				return false
			})
			for _, old := range codes[1:3] {
				if f.use(factor{recoveryCode: &old}) {
					t.Fatal("a code of the old set is valid")
				}
			}
			n, err := f.Store.Read().CountRecoveryCodes(t.Context(), f.accountID)
			must(t, err)
			if n != 10 || len(renewed) != 10 {
				t.Fatalf("round %d: %d codes are stored, %d were shown", round, n, len(renewed))
			}
			codes = renewed
		}
		t.Logf("the use was first %d times of 100", first)
	})
}

// Of two confirmations at the same time, one succeeds and shows the codes that are stored.
func TestRaceTwoConfirmations(t *testing.T) {
	t.Parallel()
	dbtest.EachEngine(t, func(t *testing.T, url string) {
		f := newFactorFixture(t, url)
		for round := range 100 {
			code := f.code(f.begin())
			var shown [2][]string
			n := together(2, func(i int) bool {
				switch response := f.confirm(code).(type) {
				case api.ConfirmTotp200JSONResponse:
					shown[i] = response.RecoveryCodes
					return true
				case api.ConfirmTotp409JSONResponse:
				default:
					t.Errorf("the response %T", response)
				}
				return false
			})
			f.wantOneSetOfCodes(round, n, append(shown[0], shown[1]...))
		}
	})
}

// wantOneSetOfCodes checks that one of two requests succeeded and that the codes that it showed work, and turns the second factor off.
func (f *factorFixture) wantOneSetOfCodes(round, succeeded int, shown []string) {
	f.t.Helper()
	if succeeded != 1 || len(shown) != 10 || !f.use(factor{recoveryCode: &shown[9]}) {
		f.t.Fatalf("round %d: %d of two succeed, %d codes are shown", round, succeeded, len(shown))
	}
	_, err := f.TurnOffSecondFactor(f.request(), api.TurnOffSecondFactorRequestObject{})
	must(f.t, err)
}

// Of two requests at the same time that turn the second factor on, one succeeds and shows the codes that are stored.
func TestRaceTwoTurnOn(t *testing.T) {
	t.Parallel()
	dbtest.EachEngine(t, func(t *testing.T, url string) {
		f := newFactorFixture(t, url)
		f.addPasskey("example.com", 0)
		for round := range 100 {
			var shown [2][]string
			n := together(2, func(i int) bool {
				response, err := f.TurnOnSecondFactor(f.request(), api.TurnOnSecondFactorRequestObject{})
				if err != nil {
					t.Error(err)
				}
				on, ok := response.(api.TurnOnSecondFactor200JSONResponse)
				shown[i] = on.RecoveryCodes
				return ok
			})
			f.wantOneSetOfCodes(round, n, append(shown[0], shown[1]...))
		}
	})
}

// addPasskey stores a passkey for a domain.
func (f *factorFixture) addPasskey(rpID string, flags int64) {
	f.t.Helper()
	id := newID()
	must(f.t, f.Store.Write(f.t.Context(), func(q *db.Queries) error {
		return q.InsertPasskey(f.t.Context(), db.InsertPasskeyParams{
			ID: id, AccountID: f.accountID, RpID: rpID, CredentialID: id[:], PublicKey: []byte{1}, Flags: flags, Name: "p", CreatedAt: f.now,
		})
	}))
}
