package contract

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/api/client"
	"github.com/financelime/authorization/test/harness"
)

// series has the values of /metrics by series name with labels.
type series map[string]float64

// sum adds up the series of a name whose labels contain all given texts, such as `state="due"`.
func (s series) sum(name string, labels ...string) (total float64) {
	for key, value := range s {
		own, rest, _ := strings.Cut(key, "{")
		fits := own == name
		for _, label := range labels {
			fits = fits && strings.Contains(rest, label)
		}
		if fits {
			total += value
		}
	}
	return total
}

// scrape reads /metrics and returns the values and the names of the metrics.
func scrape(t testing.TB, s *harness.Service) (values series, names []string) {
	t.Helper()
	response, err := http.Get(s.Admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK || !strings.HasPrefix(response.Header.Get("Content-Type"), "text/plain; version=0.0.4") {
		t.Fatalf("/metrics: %s, %s", response.Status, response.Header.Get("Content-Type"))
	}
	values = make(series)
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		line := lines.Text()
		if described, isType := strings.CutPrefix(line, "# TYPE "); isType {
			name, _, _ := strings.Cut(described, " ")
			names = append(names, name)
		}
		if strings.HasPrefix(line, "#") {
			continue
		}
		at := strings.LastIndex(line, " ")
		value, err := strconv.ParseFloat(line[at+1:], 64)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		values[line[:at]] = value
	}
	return values, names
}

// proofs records which metrics have changed.
type proofs struct {
	t   *testing.T
	s   *harness.Service
	of  map[string]bool
	was series
}

func newProofs(t *testing.T, s *harness.Service) *proofs {
	t.Helper()
	was, _ := scrape(t, s)
	return &proofs{t: t, s: s, of: make(map[string]bool), was: was}
}

// before stores the values that later ones are compared with.
func (p *proofs) before() { p.was, _ = scrape(p.t, p.s) }

// until waits until ok accepts the value of a metric; was is its value before.
func (p *proofs) until(what, name string, labels []string, ok func(was, is float64) bool) {
	p.t.Helper()
	p.of[familyOf(name)] = true
	deadline := time.Now().Add(time.Minute)
	for {
		now, _ := scrape(p.t, p.s)
		was, is := p.was.sum(name, labels...), now.sum(name, labels...)
		if ok(was, is) {
			return
		}
		if time.Now().After(deadline) {
			p.t.Errorf("%s: %s%v was %v and is %v", what, name, labels, was, is)
			return
		}
		time.Sleep(20 * time.Millisecond) // between two looks
	}
}

// familyOf returns the metric that a series of a histogram belongs to.
func familyOf(name string) string {
	return strings.TrimSuffix(strings.TrimSuffix(name, "_count"), "_sum")
}

func (p *proofs) grows(what, name string, labels ...string) {
	p.t.Helper()
	p.until(what, "financelime_auth_"+name, labels, func(was, is float64) bool { return is > was })
}

func (p *proofs) is(what string, value float64, name string, labels ...string) {
	p.t.Helper()
	p.until(what, "financelime_auth_"+name, labels, func(_, is float64) bool { return is == value })
}

// TestMetricsMove expects every metric to change when what it measures happens, and no metric that this test does not know.
func TestMetricsMove(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.New(t, binary, contract, engine,
			"AUTH_JWKS_MAX_AGE=1s", "AUTH_SHUTDOWN_DELAY=5s", "AUTH_MAIL_TIMEOUT=1s",
			"AUTH_LIMITS=on", "AUTH_LIMIT_LINK_SOURCE=2/1h", "AUTH_LIMIT_LOGIN_SOURCE=100000/1m")
		if engine == harness.Postgres {
			database, err := url.Parse(s.DatabaseURL)
			if err != nil {
				t.Fatal(err)
			}
			query := database.Query()
			query.Set("pool_max_conns", "2")
			query.Set("search_path", "public,pg_catalog") // for proveSkew: its clock is found before PostgreSQL's own
			s.Exec(t, "CREATE TABLE test_clock AS SELECT interval '0 s' AS ahead")
			s.Exec(t, "CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql "+
				"AS 'SELECT pg_catalog.clock_timestamp() + ahead FROM public.test_clock'")
			database.RawQuery = query.Encode()
			s.Env = append(s.Env, "AUTH_DATABASE_URL="+database.String())
		}
		s.Run(t)
		p := newProofs(t, s)

		p.is("from the start", 1, "build_info", `engine="`+engine+`"`, `version="v`)
		p.is("from the start", 1, "ready")
		p.is("from the start", 1, "database_up")
		p.is("from the start", map[string]float64{harness.SQLite: 8, harness.Postgres: 2}[engine], "database_pool_connections_limit")
		p.until("from the start", "financelime_auth_password_hash_slots", nil, func(_, is float64) bool { return is >= 1 })
		p.until("from the start", "financelime_auth_password_hash_queue_places", nil, func(_, is float64) bool { return is >= 16 })

		provePerson(p)
		proveSkew(p, engine)
		proveKeys(p)
		proveLoad(p)
		proveLimits(p)
		proveMail(p)
		proveOutage(p, engine)

		s.Signal(t, syscall.SIGTERM)
		p.is("while it stops", 0, "ready")
		if body := readyz(t, s); !strings.Contains(body, "stopping") {
			t.Errorf("readyz says %q while it stops", body)
		}

		_, names := scrape(t, s)
		if err := s.WaitExit(t, time.Minute); err != nil {
			t.Error(err)
		}
		for _, name := range names {
			if strings.HasPrefix(name, "go_") || strings.HasPrefix(name, "process_") { // of the library
				continue
			}
			if !p.of[name] {
				t.Errorf("%s: nothing proves that it moves", name)
			}
			delete(p.of, name)
		}
		for name := range p.of {
			t.Errorf("%s is not there any more", name)
		}
	})
}

// provePerson signs up, logs in and refreshes.
func provePerson(p *proofs) {
	somebody := newPerson(p.t, p.s).join(p.s.Invite(p.t, 1))
	somebody.login()
	somebody.refresh()
	p.grows("a sign-up", "http_requests_total", `operation="signup"`, `status="204"`)
	p.grows("a login", "http_request_duration_seconds_count", `operation="create_access_token"`)
	p.grows("a sign-up", "accounts")
	p.grows("a login", "sessions")
	p.grows("a login", "password_hashes_total")
	p.grows("a link", "mail_attempts_total", `kind="signup_link"`, `outcome="sent"`)
	p.grows("a password", "mail_attempts_total", `kind="password"`, `outcome="sent"`)
	p.grows("a login", "database_statement_duration_seconds_count", `statement="GetAccountByEmail"`)
	p.grows("a sign-up", "database_transaction_duration_seconds_count", `kind="transaction"`)
	p.grows("a refresh", "database_transaction_duration_seconds_count", `kind="write"`)
	p.grows("a mail", "log_events_total", `event="mail.sent"`)
	if _, isSQLite := p.was["financelime_auth_database_writer_depth"]; isSQLite {
		p.grows("a sign-up", "database_writer_commits_total")
		p.grows("a sign-up", "database_writer_transactions_total")
	}
}

// proveSkew sets the clock of PostgreSQL forward and back.
func proveSkew(p *proofs, engine string) {
	if engine == harness.SQLite {
		return // SQLite has no clock of its own
	}
	const skew = "financelime_auth_database_clock_skew_seconds"
	about := func(want float64) func(_, is float64) bool {
		return func(_, is float64) bool { return is != 0 && math.Abs(is-want) < 0.5 }
	}
	clock := func(ahead string) { p.s.Exec(p.t, "UPDATE test_clock SET ahead = CAST($1 AS interval)", ahead) }
	p.until("one machine", skew, nil, about(0))
	clock("5 s")
	p.until("the database is ahead", skew, nil, about(-5))
	clock("-10 min")
	p.until("the database is behind", skew, nil, about(600))
	clock("0 s")
	p.until("the clocks are right", skew, nil, about(0))
}

// proveKeys rotates the signing keys.
func proveKeys(p *proofs) {
	p.before()
	if _, err := p.s.Command(p.t.Context(), "keys", "rotate"); err != nil {
		p.t.Fatal(err)
	}
	p.is("a rotation", 2, "signing_keys")
	p.until("a rotation", "financelime_auth_signing_key_rotation_timestamp_seconds", nil, func(was, is float64) bool { return is < was })
	p.grows("a rotation", "signing_key_active_timestamp_seconds")
	p.grows("time", "signing_keys_read_timestamp_seconds")
	p.is("no user has TOTP", 0, "totp_secrets_outdated") // TestChangeOfSecretWithTOTP proves that it moves
}

// proveLoad sends more logins than can be hashed.
func proveLoad(p *proofs) {
	p.before()
	ctx, cancel := context.WithCancel(p.t.Context())
	var busy sync.WaitGroup
	for range 80 {
		busy.Go(func() {
			for ctx.Err() == nil {
				r, err := p.s.API.CreateAccessTokenWithResponse(ctx, &client.CreateAccessTokenParams{RequestID: rid()},
					client.CreateAccessTokenRequest{Email: uuid.NewString() + "@example.com", Password: "wrong-password", ClientID: "test_v1"})
				if err == nil && r.StatusCode() != http.StatusNotFound && r.StatusCode() != http.StatusServiceUnavailable {
					p.t.Errorf("a login: %d", r.StatusCode())
				}
			}
		})
	}
	p.grows("load", "http_requests_in_flight")
	p.grows("load", "password_hash_slots_busy")
	p.grows("load", "password_hash_queue_depth")
	p.grows("load", "password_hash_refusals_total")
	p.grows("load", "database_pool_connections", `state="used"`)
	p.grows("load", "database_pool_waits_total")
	p.grows("load", "database_pool_wait_seconds_total")
	cancel()
	busy.Wait()
	p.is("peace", 0, "http_requests_in_flight")
	p.is("peace", 0, "password_hash_slots_busy")
	p.is("peace", 0, "password_hash_queue_depth")
	p.until("peace", "financelime_auth_database_pool_connections", []string{`state="idle"`}, func(_, is float64) bool { return is >= 1 })
}

func proveLimits(p *proofs) {
	for range 3 {
		send(p.t, p.s, http.MethodGet, "/u/"+strings.Repeat("A", 43)+"?rid="+rid(), nil, "")
	}
	p.grows("guesses", "limit_refusals_total", `limit="link-source"`)
}

// proveMail puts a file where the directory of the mails should be.
func proveMail(p *proofs) {
	p.before()
	folder := filepath.Join(p.s.Dir, "data", "mail")
	if err := os.Rename(folder, folder+".away"); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(folder, nil, 0o600); err != nil {
		p.t.Fatal(err)
	}
	waiting := newPerson(p.t, p.s)
	waiting.want("sign up", waiting.signUp(p.s.Invite(p.t, 1)).StatusCode(), 204)
	p.is("no folder", 0, "mail_relay_up")
	p.grows("no folder", "mail_queue_mails", `state=`)
	p.grows("no folder", "mail_queue_oldest_age_seconds", `state=`)
	p.grows("no folder", "mail_attempts_total", `outcome="requeued"`)
	if err := os.Remove(folder); err != nil {
		p.t.Fatal(err)
	}
	if err := os.Rename(folder+".away", folder); err != nil {
		p.t.Fatal(err)
	}
	p.is("the folder is back", 1, "mail_relay_up")
	p.is("the folder is back", 0, "mail_queue_mails")
}

// proveOutage makes the database unavailable: another connection holds SQLite's write lock, or PostgreSQL is read-only.
func proveOutage(p *proofs, engine string) {
	p.before()
	var back func()
	if engine == harness.SQLite {
		back = lockSQLite(p.t, p.s)
	} else {
		back = makeReadOnly(p.t, p.s)
	}
	answer := ""
	for until := time.Now().Add(2 * time.Second); !strings.Contains(answer, "database does not respond") && time.Now().Before(until); {
		answer = readyz(p.t, p.s)
	}
	if !strings.Contains(answer, "database does not respond") {
		p.t.Errorf("readyz says %q without a database", answer)
	}
	p.is("no database", 0, "database_up")
	p.grows("no database", "database_errors_total", `error="unavailable"`)
	if engine == harness.SQLite {
		p.grows("no database", "database_writer_depth")
	}
	back()
	began := time.Now()
	for answer = ""; !strings.HasPrefix(answer, "ready") && time.Since(began) < 10*time.Second; {
		answer = readyz(p.t, p.s)
	}
	if took := time.Since(began); !strings.HasPrefix(answer, "ready") {
		p.t.Errorf("readyz says %q %s after the return of the database", answer, took)
	}
	p.is("the database is back", 1, "database_up")
}

// lockSQLite holds the write lock while requests wait for it.
func lockSQLite(t *testing.T, s *harness.Service) (back func()) {
	t.Helper()
	conn, err := s.DB(t).Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	execute(t, conn, "BEGIN IMMEDIATE")
	code := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer close(code)
		for ctx.Err() == nil { // each waits until it gets 503
			_, _ = s.API.UserPasswordResetWithResponse(ctx, &client.UserPasswordResetParams{RequestID: rid()},
				client.RequestUserPasswordResetRequest{Email: "nobody@example.com"})
		}
	}()
	return func() {
		execute(t, conn, "ROLLBACK")
		cancel()
		<-code
	}
}

// makeReadOnly makes every new database session read-only, and ends the current ones.
func makeReadOnly(t *testing.T, s *harness.Service) (back func()) {
	t.Helper()
	conn, err := s.DB(t).Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var name string
	if err := conn.QueryRowContext(t.Context(), "SELECT current_database()").Scan(&name); err != nil {
		t.Fatal(err)
	}
	const others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
	execute(t, conn, "ALTER DATABASE "+name+" SET default_transaction_read_only = on")
	execute(t, conn, others)
	return func() {
		execute(t, conn, "ALTER DATABASE "+name+" RESET default_transaction_read_only")
		execute(t, conn, others)
	}
}

func execute(t *testing.T, conn *sql.Conn, statement string) {
	t.Helper()
	if _, err := conn.ExecContext(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// readyz returns the response of /readyz.
func readyz(t testing.TB, s *harness.Service) string {
	t.Helper()
	response, err := http.Get(s.Admin + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if ready := response.StatusCode == http.StatusOK; ready != strings.HasPrefix(string(body), "ready") {
		t.Errorf("readyz: %s, %q", response.Status, body)
	}
	return string(body)
}

// TestDashboardAndAlertsUseExistingMetrics expects dashboard and alerts to use only names and labels that the service has, on both engines.
func TestDashboardAndAlertsUseExistingMetrics(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, binary, contract, harness.SQLite)
	somebody := newPerson(t, s).join(s.Invite(t, 1))
	somebody.login()
	values, names := scrape(t, s)
	there := make(map[string]bool)
	for _, name := range names {
		there[name] = true
	}
	for key := range values {
		name, _, _ := strings.Cut(key, "{")
		there[name] = true
	}
	there["financelime_auth_limit_refusals_total"] = true        // exists after the first refusal: TestMetricsMove
	there["financelime_auth_database_clock_skew_seconds"] = true // on PostgreSQL: TestMetricsMove
	ours := regexp.MustCompile(`\bfinancelime_auth_[a-z_]+|\b(?:go|process)_[a-z_]+`)
	for _, file := range []string{"grafana/financelime-auth.json", "prometheus/alerts.yml", "prometheus/alerts_test.yml"} {
		content, err := os.ReadFile(filepath.Join("..", "..", "deploy", file))
		if err != nil {
			t.Fatal(err)
		}
		used := ours.FindAllString(string(content), -1)
		if len(used) < 10 {
			t.Errorf("%s: only %d metrics", file, len(used))
		}
		for _, name := range used {
			if !there[name] {
				t.Errorf("%s: there is no %s", file, name)
			}
		}
	}
}

// TestAlertsHaveRunbooksAndTests expects for every alert a runbook in docs/monitoring.md and tests of when it fires and when not.
func TestAlertsHaveRunbooksAndTests(t *testing.T) {
	t.Parallel()
	read := func(path ...string) string {
		content, err := os.ReadFile(filepath.Join(append([]string{"..", ".."}, path...)...))
		if err != nil {
			t.Fatal(err)
		}
		return string(content)
	}
	rules, tests, guide := read("deploy", "prometheus", "alerts.yml"), read("deploy", "prometheus", "alerts_test.yml"), read("docs", "monitoring.md")
	alerts := regexp.MustCompile(`(?m)^ +- alert: (\w+)$`).FindAllStringSubmatch(rules, -1)
	if len(alerts) < 10 {
		t.Fatalf("only %d alerts", len(alerts))
	}
	for _, alert := range alerts {
		name := alert[1]
		if !strings.Contains(guide, "\n### "+name+"\n") {
			t.Errorf("%s: docs/monitoring.md does not say what to do", name)
		}
		if !strings.Contains(rules, "docs/monitoring.md#"+strings.ToLower(name)+"\n") {
			t.Errorf("%s: no link to its runbook", name)
		}
		checks := regexp.MustCompile(fmt.Sprintf(`(?m)alertname: %s\n +exp_alerts: *(\[\])?`, name)).FindAllStringSubmatch(tests, -1)
		fires, quiet := false, false
		for _, check := range checks {
			quiet = quiet || check[1] == "[]"
			fires = fires || check[1] == ""
		}
		if !fires || !quiet {
			t.Errorf("%s: tested when it fires: %t, when it does not: %t", name, fires, quiet)
		}
	}
}
