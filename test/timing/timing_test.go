package timing

import (
	"bytes"
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

	"github.com/financelime/authorization/test/harness"
)

const (
	// tolerance is how far from a coin the classifier may be.
	tolerance = 0.03

	// unequal is how far it must be where the answers are known to take different times.
	unequal = 0.2
)

// full is whether times are judged: `make timing`. Otherwise the requests are made and their answers compared, a few of each kind;
// what shows then that the work is the same is the rows that it leaves: test/contract, TestHiddenAccounts.
var full = os.Getenv("FINANCELIME_FULL") != ""

// pairs of requests of each case.
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

// build builds the service as it is shipped.
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

// world is a service with somebody in each state.
type world struct {
	t    *testing.T
	s    *harness.Service
	http *http.Client
	code string

	active, disabled, pending string // addresses
}

func newWorld(t *testing.T, binary string, contract *harness.Contract, engine string, settings ...string) *world {
	t.Helper()
	settings = append([]string{"AUTH_LOG_LEVEL=warn"}, settings...)
	transport := &http.Transport{MaxConnsPerHost: 1}
	t.Cleanup(transport.CloseIdleConnections)
	w := &world{
		t: t, s: harness.New(t, binary, contract, engine, settings...), http: &http.Client{Transport: transport, Timeout: time.Minute},
	}
	w.s.Env = append(w.s.Env, "AUTH_LOG_LEVEL=info") // which says where the service listens
	w.s.Run(t)
	w.code = w.s.Invite(t, 1_000_000)
	w.active, w.disabled, w.pending = w.join(), w.join(), w.address()
	w.s.Exec(t, "UPDATE account SET disabled_at = created_at WHERE email = $1", w.disabled)
	w.send("signup", w.signUp(w.pending))
	w.s.WaitMails(t, w.pending, 1)
	return w
}

func (w *world) address() string {
	return "p" + strings.ReplaceAll(uuid.NewString(), "-", "") + "@example.com"
}

// join makes somebody who has logged in.
func (w *world) join() string {
	w.t.Helper()
	email := w.address()
	w.send("signup", w.signUp(email))
	link := w.s.WaitMails(w.t, email, 1)[0].Link(w.t)
	response, err := w.http.Get(w.s.URL + link.RequestURI())
	if err != nil {
		w.t.Fatal(err)
	}
	_ = response.Body.Close()
	password := w.s.WaitMails(w.t, email, 2)[0].Password(w.t)
	if status, _ := w.send("login", w.login(email, password)); status != http.StatusOK {
		w.t.Fatalf("log in: %d", status)
	}
	return email
}

func (w *world) signUp(email string) string {
	return fmt.Sprintf(`{"email":%q,"inviteCode":%q,"language":"en"}`, email, w.code)
}

func (w *world) login(email, password string) string {
	return fmt.Sprintf(`{"email":%q,"password":%q,"clientID":"timing","device":{}}`, email, password)
}

func (w *world) reset(email string) string { return fmt.Sprintf(`{"email":%q}`, email) }

// send makes one request, and returns its status and how long the whole answer took.
func (w *world) send(operation, body string) (status int, took time.Duration) {
	w.t.Helper()
	path := map[string]string{"signup": "/v1/user/signup", "login": "/v1/oauth/create", "reset": "/v1/user/password"}[operation]
	request, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, w.s.URL+path, bytes.NewBufferString(body))
	if err != nil {
		w.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Request-Id", uuid.NewString())
	began := time.Now()
	response, err := w.http.Do(request)
	if err != nil {
		w.t.Fatal(err)
	}
	_, err = io.Copy(io.Discard, response.Body)
	took = time.Since(began)
	if err := response.Body.Close(); err != nil {
		w.t.Fatal(err)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return response.StatusCode, took
}

// kind makes the body of a request.
type kind func() string

// measure makes n requests of each kind, in an order that tells neither what comes next nor what came before. A pause
// between two lets the service end what the answer did not wait for.
func (w *world) measure(operation string, n int, pause time.Duration, kinds [2]kind) (times [2][]time.Duration, statuses [2]int) {
	w.t.Helper()
	const block = 10
	for begin := 0; begin < n; begin += block {
		size := min(block, n-begin)
		for _, i := range rand.Perm(2 * size) {
			which := i % 2
			status, took := w.send(operation, kinds[which]())
			times[which] = append(times[which], took)
			if statuses[which] != 0 && statuses[which] != status {
				w.t.Fatalf("%s: %d after %d", operation, status, statuses[which])
			}
			statuses[which] = status
			time.Sleep(pause)
		}
	}
	return times, statuses
}

// timingCase is two kinds of request to one operation.
type timingCase struct {
	operation, name string
	kinds           [2]kind
	status          [2]int
	differ          bool // they are known to, and the classifier must find it
	hides           bool // in a service with AUTH_HIDE_ACCOUNTS
}

func (w *world) cases() []timingCase {
	fresh := func() string { return w.signUp(w.address()) }
	unknown := func() string { return w.reset(w.address()) }
	wrong := func(email string) kind {
		return func() string { return w.login(email, "k3v9-0a1b-2c3d-4e5f-6g7h-8j9k-mnpq") }
	}
	signUp := func(email string) kind { return func() string { return w.signUp(email) } }
	reset := func(email string) kind { return func() string { return w.reset(email) } }
	refused, accepted := [2]int{404, 404}, [2]int{204, 204}
	nobody := func() string { return w.login(w.address(), "k3v9-0a1b-2c3d-4e5f-6g7h-8j9k-mnpq") }
	malformed := func() string { return w.login("nobody", "x") }
	return []timingCase{
		{"login", "wrong password, unknown address", [2]kind{wrong(w.active), nobody}, refused, false, true},
		{"login", "wrong password, unconfirmed account", [2]kind{wrong(w.active), wrong(w.pending)}, refused, false, true},
		{"login", "wrong password, disabled account", [2]kind{wrong(w.active), wrong(w.disabled)}, refused, false, true},
		{"signup", "free address, taken address", [2]kind{fresh, signUp(w.active)}, accepted, false, true},
		{"signup", "free address, address of a pending sign-up", [2]kind{fresh, signUp(w.pending)}, accepted, false, true},
		{"reset", "known address, unknown address", [2]kind{reset(w.active), unknown}, accepted, false, true},
		{"reset", "address of a pending sign-up, unknown address", [2]kind{reset(w.pending), unknown}, accepted, false, true},
		{"reset", "address of a disabled account, unknown address", [2]kind{reset(w.disabled), unknown}, accepted, false, true},
		// Where the classifier must see something.
		{"signup", "free address, taken address, not hidden", [2]kind{fresh, signUp(w.active)}, [2]int{204, 409}, true, false},
		{"reset", "known address, unknown address, not hidden", [2]kind{reset(w.active), unknown}, [2]int{204, 404}, true, false},
		{"login", "wrong password, no address", [2]kind{wrong(w.active), malformed}, [2]int{404, 400}, true, false},
	}
}

// Nobody tells from the time of one answer whether an address has an account, or in which state it is (ASVS 6.3.8).
func TestAnswersTakeTheSameTime(t *testing.T) {
	binary := build(t)
	contract, err := harness.NewContract()
	if err != nil {
		t.Fatal(err)
	}
	for _, engine := range []string{harness.SQLite, harness.Postgres} {
		for _, hides := range []bool{true, false} {
			w := newWorld(t, binary, contract, engine, fmt.Sprintf("AUTH_HIDE_ACCOUNTS=%t", hides))
			for _, c := range w.cases() {
				if c.hides == hides {
					t.Run(engine+"/"+c.operation+"/"+c.name, func(t *testing.T) { w.judge(t, c) })
				}
			}
		}
	}
}

func (w *world) judge(t *testing.T, c timingCase) {
	n, pause := pairs(t), time.Duration(0)
	if c.operation != "login" {
		pause = 10 * time.Millisecond
	}
	if c.differ {
		n = min(n, 500)
	}
	w.measure(c.operation, min(n, 20), pause, c.kinds) // connections, caches
	times, statuses := w.measure(c.operation, n, pause, c.kinds)
	if statuses != c.status {
		t.Errorf("statuses %v, want %v", statuses, c.status)
	}
	auc := AUC(times[0], times[1])
	t.Logf("AUC %.3f over %d pairs, medians %s and %s", auc, n, Median(times[0]), Median(times[1]))
	off := math.Abs(auc - 0.5)
	switch {
	case !full:
	case c.differ && off < unequal:
		t.Errorf("the classifier does not see a difference that is there: %.3f", auc)
	case !c.differ && off > tolerance:
		t.Errorf("the classifier tells the two apart: %.3f", auc)
	}
}
