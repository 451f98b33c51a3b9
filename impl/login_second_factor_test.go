package impl

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/reqinfo"
	"github.com/financelime/authorization/impl/token"
	"github.com/financelime/authorization/test/dbtest"
)

// recorder records the names of statements and transactions.
type recorder struct {
	mu    sync.Mutex
	names []string
}

func (r *recorder) hook(ctx context.Context, name string) (context.Context, func(error)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.names = append(r.names, name)
	return ctx, func(error) {}
}

// take returns what was recorded since the last call.
func (r *recorder) take() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	names := strings.Join(r.names, " ")
	r.names = nil
	return names
}

// The login of a user without a second factor, and every refresh, runs the same statements as before there were second factors.
func TestSecondFactorsCostOthersNothing(t *testing.T) {
	t.Parallel()
	dbtest.EachEngine(t, func(t *testing.T, url string) {
		w := newSkewedReplicas(t, url)
		s := w.services[0]
		var r recorder
		s.Store.SetQueryHook(r.hook)
		const reserve = "GetAccountByEmail GetRateLimit GetLoginFailure GetRateLimit GetLoginFailure transaction LockRateLimit LockLoginFailure CountLoginAttempts InsertLoginAttempt "
		w.want("log in", w.login(0, "198.51.100.1", rightPassword), 200)
		if got, want := r.take(), reserve+"transaction RecordLogin DeleteLoginAttempt DeleteLoginFailures LastRefreshedAt InsertSession DeleteExcessSessions "+
			"TouchDevice"; got != want {
			t.Errorf("a login:\n%s\nwant\n%s", got, want)
		}
		w.want("a wrong password", w.login(0, "198.51.100.1", "wrong"), 404)
		if got, want := r.take(), reserve+"transaction LockRateLimit UpdateRateLimit LockLoginFailure UpdateLoginFailure DeleteLoginAttempt"; got != want {
			t.Errorf("a wrong password:\n%s\nwant\n%s", got, want)
		}
		session := w.sessions()[0]
		refresh, err := s.Refresh.Token(session.ID, session.Generation, session.RefreshedAt)
		must(t, err)
		r.take()
		ctx := reqinfo.NewContext(t.Context(), &reqinfo.Info{RequestID: uuid.NewString(), Addr: netip.MustParseAddr("198.51.100.1")})
		response, err := s.RefreshAccessToken(ctx, api.RefreshAccessTokenRequestObject{Body: &api.RefreshAccessTokenRequest{RefreshToken: refresh}})
		if _, ok := response.(api.RefreshAccessToken200JSONResponse); err != nil || !ok {
			t.Errorf("a refresh: %+v, %v", response, err)
		}
		if got, want := r.take(), "write RotateSession"; got != want {
			t.Errorf("a refresh:\n%s\nwant\n%s", got, want)
		}
	})
}

// sessions returns the user's sessions, also those that have expired.
func (w *skewedReplicas) sessions() []db.Session {
	w.t.Helper()
	q := w.services[0].Store.Read()
	account, err := q.GetAccountByEmail(w.t.Context(), w.email)
	must(w.t, err)
	sessions, err := q.ListStoredSessions(w.t.Context(), db.ListStoredSessionsParams{AccountID: account.ID, MaxRows: 100})
	must(w.t, err)
	return sessions
}

func (w *skewedReplicas) session(id uuid.UUID) db.Session {
	w.t.Helper()
	session, err := w.services[0].Store.Read().GetSession(w.t.Context(), id)
	must(w.t, err)
	return session
}

// A login by password beside the turning on of the second factor either ends with the other sessions or is asked for the factor.
func TestRaceLoginBesideTurningOn(t *testing.T) {
	t.Parallel()
	dbtest.EachEngine(t, func(t *testing.T, url string) {
		w := newSkewedReplicas(t, url)
		account, err := w.services[0].Store.Read().GetAccountByEmail(t.Context(), w.email)
		must(t, err)
		began := time.Now()
		w.want("log in", w.login(0, "198.51.100.1", rightPassword), 200)
		asked, alone := 0, time.Since(began)
		for round := range 100 {
			must(t, w.turnOn(account.ID, false))
			var statuses [2]int
			var running sync.WaitGroup
			for i := range statuses {
				running.Go(func() { statuses[i] = w.login(i, "198.51.100.1", rightPassword) })
			}
			running.Go(func() {
				time.Sleep(alone * time.Duration(round) / 50) // spreads the rounds over two logins at a time, however slow
				if err := w.turnOn(account.ID, true); err != nil {
					t.Error(err)
				}
			})
			running.Wait()
			for _, status := range statuses {
				switch status {
				case 200:
				case 403:
					asked++
				default:
					t.Errorf("round %d: %d", round, status)
				}
			}
			if n := len(w.sessions()); n != 0 {
				t.Fatalf("round %d: %d sessions by a password alone, statuses %v", round, n, statuses)
			}
		}
		if asked == 0 || asked == 200 {
			t.Errorf("%d of 200 logins were asked for a second factor: the race has one order only", asked)
		}
	})
}

// turnOn turns the second factor on, which ends all sessions, or off.
func (w *skewedReplicas) turnOn(accountID uuid.UUID, on bool) error {
	ctx := context.WithoutCancel(w.t.Context())
	now := time.Now()
	return w.services[0].Store.InTx(ctx, func(q *db.Queries) error {
		if _, err := q.LockAccount(ctx, accountID); err != nil {
			return fmt.Errorf("lock the account: %w", err)
		}
		since := &now
		if !on {
			since = nil
		}
		if err := q.SetSecondFactorSince(ctx, db.SetSecondFactorSinceParams{Since: since, ID: accountID}); err != nil {
			return fmt.Errorf("set the second factor: %w", err)
		}
		_, err := q.DeleteOtherSessions(ctx, db.DeleteOtherSessionsParams{AccountID: accountID, Keep: uuid.Nil})
		return err
	})
}

// A step-up by password beside the turning on of the second factor does not lower the session.
func TestRaceStepUpBesideTurningOn(t *testing.T) {
	t.Parallel()
	dbtest.EachEngine(t, func(t *testing.T, url string) {
		w := newSkewedReplicas(t, url)
		s, session := w.services[0], w.sessions()[0]
		claims := token.Claims{AccountID: session.AccountID, SessionID: session.ID}
		ctx := token.NewContext(context.WithoutCancel(t.Context()), claims)
		turn := func(since *time.Time, methods ...string) error {
			return s.Store.InTx(ctx, func(q *db.Queries) error {
				if _, err := q.LockAccount(ctx, claims.AccountID); err != nil {
					return err
				}
				if err := q.SetSecondFactorSince(ctx, db.SetSecondFactorSinceParams{Since: since, ID: claims.AccountID}); err != nil {
					return err
				}
				now, text := s.Clock.Now(), token.FormatMethods(methods...)
				_, err := q.RecordAuthentication(ctx, db.RecordAuthenticationParams{
					ID: claims.SessionID, AccountID: claims.AccountID, AuthenticatedAt: &now, Methods: &text, RemoteAddr: "198.51.100.1",
					CreatedAfter: now.Add(-s.SessionMaxAge), RefreshedAfter: now.Add(-s.RefreshTTL),
				})
				return err
			})
		}
		began := time.Now()
		w.want("log in", w.login(0, "198.51.100.1", rightPassword), 200)
		plain, refused, alone := rightPassword, 0, time.Since(began)
		for round := range 100 {
			must(t, turn(nil, token.Password))
			var response api.StepUpSessionResponseObject
			var running sync.WaitGroup
			running.Go(func() {
				var err error
				ctx := reqinfo.NewContext(ctx, &reqinfo.Info{RequestID: uuid.NewString(), Addr: netip.MustParseAddr("198.51.100.1")})
				if response, err = s.StepUpSession(ctx, api.StepUpSessionRequestObject{Body: &api.StepUpSessionRequest{Password: &plain}}); err != nil {
					t.Error(err)
				}
			})
			running.Go(func() {
				time.Sleep(alone * time.Duration(round) / 60) // spreads the rounds over a step-up, which takes about as long as a login
				now := s.Clock.Now()
				if err := turn(&now, token.Password, token.OneTimePassword, token.MultiFactor); err != nil {
					t.Error(err)
				}
			})
			running.Wait()
			if _, ok := response.(api.StepUpSession403JSONResponse); ok {
				refused++
			}
			if methods := authentication(w.session(session.ID)).Methods; !slices.Contains(methods, token.MultiFactor) {
				t.Fatalf("round %d: the session has %v", round, methods)
			}
		}
		if refused == 0 || refused == 100 {
			t.Errorf("%d of 100 step-ups were refused: the race has one order only", refused)
		}
	})
}
