//go:build browser

// Package browser tests the built service's pages in Chromium: the API reference, the confirmation pages, the local mailbox.
// The steps are in the *.test.mjs files; `make test-browser` installs what they need and runs them.
package browser

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/financelime/authorization/impl/link"
	"github.com/financelime/authorization/impl/page"
	"github.com/financelime/authorization/test/harness"
)

var (
	binary   string
	contract *harness.Contract
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	flag.Parse()
	dir, err := os.MkdirTemp("", "financelime-auth-")
	if err != nil {
		return fail(err)
	}
	defer os.RemoveAll(dir)
	if binary, err = harness.Build(dir); err != nil {
		return fail(err)
	}
	if contract, err = harness.NewContract(); err != nil {
		return fail(err)
	}
	return m.Run()
}

func fail(err error) int {
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// Every file of steps has its own service. Its mailed links begin with the host name that Chromium resolves to it.
func TestInChromium(t *testing.T) {
	t.Parallel()
	chromium, err := exec.LookPath(cmp.Or(os.Getenv("CHROMIUM"), "chromium"))
	if err != nil {
		t.Fatalf("%v: run these tests with `make test-browser`", err)
	}
	files, err := filepath.Glob("*.test.mjs")
	if err != nil || len(files) == 0 {
		t.Fatalf("no steps to take: %v", err)
	}
	app := httptest.NewServer(http.HandlerFunc(anyApp))
	t.Cleanup(app.Close)
	appURL := app.URL + "/log%20in?from=mail&lang=en#/welcome"
	pages := httptest.NewServer(anyPage(appURL))
	t.Cleanup(pages.Close)
	for _, file := range files {
		t.Run(strings.TrimSuffix(file, ".test.mjs"), func(t *testing.T) {
			t.Parallel()
			publicURL, settings := "http://auth.example.test", []string{"AUTH_HIDE_ACCOUNTS=true"}
			switch file {
			case "app.test.mjs":
				settings = append(settings, "AUTH_APP_URL="+appURL)
			case "dev.test.mjs":
				publicURL, settings = "http://auth.localhost", []string{"AUTH_DEV=true"}
			case "account.test.mjs": // the mailed links lead back to the page
				publicURL = "http://auth.localhost"
				settings = append(settings, "AUTH_APP_URL="+publicURL+"/account")
			case "account-factors.test.mjs":
				publicURL = "http://auth.localhost"
			case "account-failures.test.mjs":
				publicURL, settings = "http://auth.localhost", []string{"AUTH_LIMITS=on", "AUTH_LIMIT_LOGIN_ACCOUNT=5/1h"}
			case "failures.test.mjs":
				settings = append(settings, "AUTH_LIMITS=on")
			}
			s := harness.Start(t, binary, contract, harness.SQLite, append(settings, "AUTH_PUBLIC_URL="+publicURL)...)
			faults := httptest.NewServer(&faults{db: s.DB(t)})
			t.Cleanup(faults.Close)
			node(t, file,
				"CHROMIUM="+chromium, "PUBLIC_URL="+publicURL, "HTTP_ADDR="+strings.TrimPrefix(s.URL, "http://"),
				"ADMIN_URL="+s.Admin, "PAGES_URL="+pages.URL, "APP_URL="+appURL, "FAULTS_URL="+faults.URL, "INVITE_CODE="+s.Invite(t, 1000))
		})
	}
}

// linkPage renders a page about a link of /l/, and reports whether it is the name of one.
func linkPage(pages *page.Renderer, language, name string) (shown page.Page, ok bool) {
	kind, rest, _ := strings.Cut(name, "_")
	about := page.Link{Purpose: link.Purpose(rest), Email: "user@example.com", Address: "new.user@example.com", MinLength: 15}
	err := error(nil)
	switch kind {
	case "open":
		shown, err = pages.Open(page.HTML, language, about)
	case "used":
		shown, err = pages.Used(page.HTML, language, about)
	case "refused":
		shown, err = pages.Refused(page.HTML, language, about, page.Known)
	case "link":
		status, _ := strconv.Atoi(rest)
		shown = pages.Failure(page.HTML, language, page.Failure{Status: status, OpensPage: true, RequestID: "request-1", RetryAfter: time.Minute})
	default:
		return shown, false
	}
	return shown, err == nil
}

// anyPage serves every page of impl/page, at /LANGUAGE/STATUS and /LANGUAGE/PURPOSE: a click cannot cause most of the failures. Below
// /app the pages lead to an app. The pages about links of /l/ are at /LANGUAGE/open_PURPOSE, /LANGUAGE/used_PURPOSE,
// /LANGUAGE/refused_PURPOSE and /LANGUAGE/link_STATUS.
func anyPage(appURL string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		path, pages := r.URL.Path, page.NewRenderer("Financelime", "")
		if rest, ok := strings.CutPrefix(path, "/app/"); ok {
			path, pages = rest, page.NewRenderer("Financelime", appURL)
		}
		language, name, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
		if shown, is := linkPage(pages, language, name); is {
			_ = shown.Send(w)
			return
		}
		status, err := strconv.Atoi(name)
		if err != nil {
			confirmed, err := pages.Confirmed(page.HTML, language, link.Purpose(name))
			if err != nil {
				http.Error(w, err.Error(), http.StatusNotFound)
				return
			}
			_ = confirmed.Send(w)
			return
		}
		_ = pages.Failure(page.HTML, language, page.Failure{Status: status, RequestID: "request-1", RetryAfter: time.Minute}).Send(w)
	}
}

// anyApp is the app that users come back to. It shows what it learns of where they come from.
func anyApp(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprintf(w, `<!DOCTYPE html><html lang="en"><title>The app</title><link rel="icon" href="data:,"><main><h1>The app</h1><p id="referer">%s</p></main></html>`,
		html.EscapeString(cmp.Or(strings.Join(r.Header.Values("Referer"), " "), "none")))
}

// faults breaks the service's database, and repairs it: POST /locked, /broken, /none. POST /aged makes the last authentication of every
// session eleven minutes older.
type faults struct {
	db *sql.DB

	mu     sync.Mutex
	repair func(context.Context) error // nil if there is no fault
}

func (f *faults) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.set(r.Context(), strings.TrimPrefix(r.URL.Path, "/")); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (f *faults) set(ctx context.Context, fault string) error {
	if f.repair != nil {
		if err := f.repair(ctx); err != nil {
			return err
		}
		f.repair = nil
	}
	switch fault {
	case "none":
		return nil
	case "aged":
		_, err := f.db.ExecContext(ctx, "UPDATE session SET authenticated_at = authenticated_at - ?", (11 * time.Minute).Microseconds())
		return err
	case "broken": // a table is missing: 500
		_, err := f.db.ExecContext(ctx, "ALTER TABLE confirmation RENAME TO confirmation_away")
		f.repair = func(ctx context.Context) error {
			_, err := f.db.ExecContext(ctx, "ALTER TABLE confirmation_away RENAME TO confirmation")
			return err
		}
		return err
	case "locked": // another process writes without end: 503
		conn, err := f.db.Conn(context.WithoutCancel(ctx))
		if err != nil {
			return err
		}
		_, err = conn.ExecContext(ctx, "BEGIN IMMEDIATE")
		f.repair = func(ctx context.Context) error {
			_, err := conn.ExecContext(ctx, "ROLLBACK")
			return errors.Join(err, conn.Close())
		}
		return err
	}
	return fmt.Errorf("unknown fault %q", fault)
}

// node runs the steps in a file. Its report is shown when they fail, and with -v.
func node(t *testing.T, file string, settings ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "node", "--test-reporter=spec", file)
	cmd.Env = append(os.Environ(), settings...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // it then ends its Chromium
	cmd.WaitDelay = 30 * time.Second
	report, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, report)
	}
	t.Logf("%s", report)
	if !everyStepTaken.Match(report) {
		t.Error("some steps were skipped, or there are none")
	}
}

var everyStepTaken = regexp.MustCompile(`ℹ tests [1-9]\d*\nℹ suites \d+\nℹ pass \d+\nℹ fail 0\nℹ cancelled 0\nℹ skipped 0\nℹ todo 0\n`)
