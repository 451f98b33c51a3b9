package timing

import (
	"bytes"
	crand "crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/api/client"
	"github.com/financelime/authorization/test/authenticator"
	"github.com/financelime/authorization/test/harness"
)

const (
	// tolerance is how far the AUC may be from 0.5 for kinds that must not be distinguishable.
	tolerance = 0.03

	// unequal is how far the AUC must be from 0.5 for kinds with known different times.
	unequal = 0.2
)

// full reports whether times are checked, as with `make timing`. Otherwise the tests send a few requests of each kind and compare only the
// responses. TestHiddenAccounts of test/contract compares the rows that they write.
var full = os.Getenv("FINANCELIME_FULL") != ""

// pairs returns the number of pairs of requests for each case.
func pairs(t *testing.T) int {
	t.Helper()
	if n, err := strconv.Atoi(os.Getenv("TIMING_PAIRS")); err == nil {
		return n
	}
	if full {
		return 5000
	}
	return 3
}

// build builds the service like a release.
func build(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "financelime-auth")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", binary, "./cmd/financelime-auth")
	cmd.Dir = filepath.Join("..", "..")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return binary
}

// fixture is a service with an account in each state.
type fixture struct {
	t    *testing.T
	s    *harness.Service
	http *http.Client
	code string

	active, disabled, pending string // addresses
	secondFactor              string // the address of a user whose login needs a second factor
	passwords                 map[string]string
	token                     string // of the user who requests another address
	key                       *authenticator.Passkey
}

func newFixture(t *testing.T, binary string, contract *harness.Contract, engine string, settings ...string) *fixture {
	t.Helper()
	settings = append([]string{"AUTH_LOG_LEVEL=warn"}, settings...)
	transport := &http.Transport{MaxConnsPerHost: 1}
	t.Cleanup(transport.CloseIdleConnections)
	f := &fixture{
		t: t, s: harness.New(t, binary, contract, engine, settings...), http: &http.Client{Transport: transport, Timeout: time.Minute},
		passwords: make(map[string]string),
	}
	f.s.Env = append(f.s.Env, "AUTH_LOG_LEVEL=info") // because the harness reads the address from the log
	f.s.Run(t)
	f.code = f.s.Invite(t, 1_000_000)
	f.active, f.disabled, f.pending = f.join(), f.join(), f.address()
	f.s.Exec(t, "UPDATE account SET disabled_at = created_at WHERE email = $1", f.disabled)
	f.secondFactor = f.join()
	f.s.Exec(t, "UPDATE account SET second_factor_since = created_at WHERE email = $1", f.secondFactor)
	f.s.Exec(t, "INSERT INTO recovery_code (code_hash, account_id, created_at) SELECT $1, id, created_at FROM account WHERE email = $2", []byte("x"), f.secondFactor)
	f.send("signup", f.signUp(f.pending))
	f.s.WaitMails(t, f.pending, 1)
	return f
}

func (f *fixture) address() string {
	return "p" + strings.ReplaceAll(uuid.NewString(), "-", "") + "@example.com"
}

// join creates a user who has logged in, and returns the address.
func (f *fixture) join() string {
	f.t.Helper()
	email := f.address()
	f.send("signup", f.signUp(email))
	link := f.s.WaitMails(f.t, email, 1)[0].Link(f.t)
	response, err := f.http.Get(f.s.URL + link.RequestURI())
	if err != nil {
		f.t.Fatal(err)
	}
	_ = response.Body.Close()
	password := f.s.WaitMails(f.t, email, 2)[0].Password(f.t)
	f.passwords[email] = password
	if status, _ := f.send("login", f.login(email, password)); status != http.StatusOK {
		f.t.Fatalf("log in: %d", status)
	}
	return email
}

func (f *fixture) signUp(email string) string {
	return fmt.Sprintf(`{"email":%q,"inviteCode":%q,"language":"en"}`, email, f.code)
}

// signUpToChoose is signUp with choosePassword.
func (f *fixture) signUpToChoose(email string) string {
	return strings.TrimSuffix(f.signUp(email), "}") + `,"choosePassword":true}`
}

func (f *fixture) login(email, password string) string {
	return fmt.Sprintf(`{"email":%q,"password":%q,"clientID":"timing","device":{}}`, email, password)
}

// authenticate begins a session of a new user, whose requests for another address need a recent login.
func (f *fixture) authenticate() {
	f.t.Helper()
	email := f.join()
	api := harness.API{T: f.t, Client: f.s.API}
	r := api.Login(client.CreateAccessTokenRequest{Email: email, Password: f.passwords[email], ClientID: "timing"})
	if r.StatusCode() != http.StatusOK {
		f.t.Fatalf("log in: %d", r.StatusCode())
	}
	f.token = r.JSON200.AccessToken
}

// addPasskey adds a passkey to a new user.
func (f *fixture) addPasskey() {
	f.t.Helper()
	f.authenticate()
	api := harness.API{T: f.t, Client: f.s.API}
	began := api.BeginPasskey(f.token)
	if began.StatusCode() != http.StatusOK {
		f.t.Fatalf("begin to add a passkey: %d", began.StatusCode())
	}
	f.key = harness.NewPasskey(f.t, "https://auth.example.test", began.JSON200.Options)
	r := api.AddPasskey(f.token, client.AddPasskeyRequest{
		Ceremony: began.JSON200.Ceremony, Name: "timing", Credential: harness.Register(f.t, f.key, began.JSON200.Options.Challenge),
	})
	if r.StatusCode() != http.StatusCreated {
		f.t.Fatalf("add a passkey: %d", r.StatusCode())
	}
}

// forgedPasskey returns a login with a wrong signature, by the user's passkey or by one that nobody has.
func (f *fixture) forgedPasskey(known bool) string {
	f.t.Helper()
	began := harness.API{T: f.t, Client: f.s.API}.BeginPasskeyLogin()
	if began.StatusCode() != http.StatusOK {
		f.t.Fatalf("begin a login with a passkey: %d", began.StatusCode())
	}
	key := f.key.Copy()
	key.ForgeNext = true
	if !known {
		key.ID, key.UserHandle = make([]byte, len(key.ID)), make([]byte, len(key.UserHandle))
		_, _ = crand.Read(key.ID) // never fails
		_, _ = crand.Read(key.UserHandle)
	}
	body, err := json.Marshal(client.PasskeyLogInRequest{
		Ceremony: began.JSON200.Ceremony, Credential: harness.Assert(f.t, key, began.JSON200.Options.Challenge), ClientID: "timing",
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return string(body)
}

func (f *fixture) newEmail(email string) string { return fmt.Sprintf(`{"newEmail":%q}`, email) }

func (f *fixture) reset(email string) string { return fmt.Sprintf(`{"email":%q}`, email) }

// send makes one request, and returns the status and the time until the response was complete.
func (f *fixture) send(operation, body string) (status int, took time.Duration) {
	f.t.Helper()
	path := map[string]string{"signup": "/v1/user/signup", "login": "/v1/oauth/create", "reset": "/v1/user/password", "email": "/v1/user/email", "passkey": "/v1/oauth/passkey"}[operation]
	request, err := http.NewRequestWithContext(f.t.Context(), http.MethodPost, f.s.URL+path, bytes.NewBufferString(body))
	if err != nil {
		f.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Request-Id", uuid.NewString())
	if operation == "email" {
		request.Header.Set("Authorization", "Bearer "+f.token)
	}
	began := time.Now()
	response, err := f.http.Do(request)
	if err != nil {
		f.t.Fatal(err)
	}
	_, err = io.Copy(io.Discard, response.Body)
	took = time.Since(began)
	if err := response.Body.Close(); err != nil {
		f.t.Fatal(err)
	}
	if err != nil {
		f.t.Fatal(err)
	}
	return response.StatusCode, took
}

// kind returns the body of a request.
type kind func() string

// measure makes n requests of each kind in random order. The pause between two requests is for the work that the service does after the
// response.
func (f *fixture) measure(operation string, n int, pause time.Duration, kinds [2]kind) (times [2][]time.Duration, statuses [2]int) {
	f.t.Helper()
	const block = 10
	for begin := 0; begin < n; begin += block {
		size := min(block, n-begin)
		for _, i := range rand.Perm(2 * size) {
			which := i % 2
			status, took := f.send(operation, kinds[which]())
			times[which] = append(times[which], took)
			if statuses[which] != 0 && statuses[which] != status {
				f.t.Fatalf("%s: %d after %d", operation, status, statuses[which])
			}
			statuses[which] = status
			time.Sleep(pause)
		}
	}
	return times, statuses
}

// timingCase compares two kinds of request to one operation.
type timingCase struct {
	operation, name string
	kinds           [2]kind
	status          [2]int
	differ          bool // the times are known to differ, and the AUC must show it
	hidden          bool // with AUTH_HIDE_ACCOUNTS
}

func (f *fixture) cases() []timingCase {
	free := func() string { return f.signUp(f.address()) }
	freeToChoose := func() string { return f.signUpToChoose(f.address()) }
	takenToChoose := func() string { return f.signUpToChoose(f.active) }
	newFree := func() string { return f.newEmail(f.address()) }
	newTaken := func() string { return f.newEmail(f.active) }
	unknown := func() string { return f.reset(f.address()) }
	wrong := func(email string) kind {
		return func() string { return f.login(email, "k3v9-0a1b-2c3d-4e5f-6g7h-8j9k-mnpq") }
	}
	signUp := func(email string) kind { return func() string { return f.signUp(email) } }
	reset := func(email string) kind { return func() string { return f.reset(email) } }
	refused, accepted := [2]int{404, 404}, [2]int{204, 204}
	unknownLogin := func() string { return f.login(f.address(), "k3v9-0a1b-2c3d-4e5f-6g7h-8j9k-mnpq") }
	knownPasskey := func() string { return f.forgedPasskey(true) }
	unknownPasskey := func() string { return f.forgedPasskey(false) }
	unsigned := func() string { return strings.Replace(f.forgedPasskey(true), `"ceremony":"`, `"ceremony":"x`, 1) }
	malformed := func() string { return f.login("nobody", "x") }
	return []timingCase{
		{"login", "wrong password, unknown address", [2]kind{wrong(f.active), unknownLogin}, refused, false, true},
		{"login", "wrong password, unconfirmed account", [2]kind{wrong(f.active), wrong(f.pending)}, refused, false, true},
		{"login", "wrong password, disabled account", [2]kind{wrong(f.active), wrong(f.disabled)}, refused, false, true},
		{"login", "wrong password, account with a second factor", [2]kind{wrong(f.active), wrong(f.secondFactor)}, refused, false, true},
		{"signup", "free address, taken address", [2]kind{free, signUp(f.active)}, accepted, false, true},
		{"signup", "free address, address of a pending sign-up", [2]kind{free, signUp(f.pending)}, accepted, false, true},
		{"signup", "free address, taken address, with choosePassword", [2]kind{freeToChoose, takenToChoose}, accepted, false, true},
		{"reset", "known address, unknown address", [2]kind{reset(f.active), unknown}, accepted, false, true},
		{"reset", "address of a pending sign-up, unknown address", [2]kind{reset(f.pending), unknown}, accepted, false, true},
		{"reset", "address of a disabled account, unknown address", [2]kind{reset(f.disabled), unknown}, accepted, false, true},
		{"email", "free new address, taken new address", [2]kind{newFree, newTaken}, accepted, false, true},
		{"passkey", "known passkey, unknown passkey", [2]kind{knownPasskey, unknownPasskey}, refused, false, true},
		// Cases in which the AUC must show a difference.
		{"passkey", "known passkey, no ceremony", [2]kind{knownPasskey, unsigned}, refused, true, true},
		{"signup", "free address, taken address, not hidden", [2]kind{free, signUp(f.active)}, [2]int{204, 409}, true, false},
		{"reset", "known address, unknown address, not hidden", [2]kind{reset(f.active), unknown}, [2]int{204, 404}, true, false},
		{"login", "wrong password, malformed address", [2]kind{wrong(f.active), malformed}, [2]int{404, 400}, true, false},
	}
}

// TestResponseTimesDoNotRevealAccounts checks that the time of one response does not reveal whether an address has an account, or its state
// (ASVS 6.3.8).
func TestResponseTimesDoNotRevealAccounts(t *testing.T) {
	binary := build(t)
	contract, err := harness.NewContract()
	if err != nil {
		t.Fatal(err)
	}
	for _, engine := range []string{harness.SQLite, harness.Postgres} {
		for _, hidden := range []bool{true, false} {
			f := newFixture(t, binary, contract, engine, fmt.Sprintf("AUTH_HIDE_ACCOUNTS=%t", hidden))
			for _, c := range f.cases() {
				if c.hidden == hidden {
					t.Run(engine+"/"+c.operation+"/"+c.name, func(t *testing.T) { f.check(t, c) })
				}
			}
		}
	}
}

func (f *fixture) check(t *testing.T, c timingCase) {
	n, pause := pairs(t), time.Duration(0)
	if c.operation != "login" && c.operation != "passkey" {
		pause = 10 * time.Millisecond
	}
	if c.differ {
		n = min(n, 500)
	}
	switch c.operation {
	case "email":
		f.authenticate()
	case "passkey":
		f.addPasskey()
	}
	f.measure(c.operation, min(n, 20), pause, c.kinds) // warms up connections and caches
	times, statuses := f.measure(c.operation, n, pause, c.kinds)
	if statuses != c.status {
		t.Errorf("statuses %v, want %v", statuses, c.status)
	}
	auc := AUC(times[0], times[1])
	t.Logf("AUC %.3f over %d pairs, medians %s and %s", auc, n, Median(times[0]), Median(times[1]))
	off := math.Abs(auc - 0.5)
	switch {
	case !full:
	case c.differ && off < unequal:
		t.Errorf("the AUC does not show the known difference: %.3f", auc)
	case !c.differ && off > tolerance:
		t.Errorf("the AUC shows a difference: %.3f", auc)
	}
}
