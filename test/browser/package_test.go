//go:build browser

package browser

import (
	"cmp"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/financelime/authorization/test/harness"
)

// TestPackageInChromium tests clients/typescript in tabs that share localStorage. The steps are in package/package.test.mjs.
func TestPackageInChromium(t *testing.T) {
	t.Parallel()
	chromium, err := exec.LookPath(cmp.Or(os.Getenv("CHROMIUM"), "chromium"))
	if err != nil {
		t.Fatalf("%v: run these tests with `make test-browser`", err)
	}
	source := filepath.Join("..", "..", "clients", "typescript")
	build := exec.CommandContext(t.Context(), "npm", "run", "--silent", "build")
	build.Dir = source
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: run these tests with `make test-browser`\n%s", err, out)
	}
	app := httptest.NewServer(appPages(source))
	t.Cleanup(app.Close)
	s := harness.Start(t, binary, contract, harness.SQLite, "AUTH_CORS_ORIGINS="+app.URL)
	const email = "tabs@example.com"
	password := s.JoinUser(t, email)
	gateway := newGateway(t, s)
	node(t, filepath.Join("package", "package.test.mjs"),
		"CHROMIUM="+chromium, "PUBLIC_URL="+gateway.service.URL, "HTTP_ADDR="+strings.TrimPrefix(gateway.service.URL, "http://"),
		"ADMIN_URL="+s.Admin, "PAGES_URL="+app.URL, "APP_URL="+app.URL, "FAULTS_URL=none", "INVITE_CODE=none", "CONTROL_URL="+gateway.control.URL,
		"USER_EMAIL="+email, "USER_PASSWORD="+password)
}

// appPages serves an app that imports the package, without a bundler.
func appPages(source string) http.Handler {
	const page = `<!doctype html><html lang="en"><title>App</title><link rel="icon" href="data:,">
<script type="importmap">{"imports": {"@financelime/authorization": "/package/index.js", "openapi-fetch": "/openapi-fetch/index.mjs"}}</script>
<script type="module">window.lib = await import("@financelime/authorization");</script>`
	javascript := func(prefix, dir string) http.Handler {
		files := http.StripPrefix(prefix, http.FileServer(http.Dir(filepath.Join(source, dir))))
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/javascript")
			files.ServeHTTP(w, r)
		})
	}
	mux := http.NewServeMux()
	mux.Handle("/package/", javascript("/package/", "dist"))
	mux.Handle("/openapi-fetch/", javascript("/openapi-fetch/", filepath.Join("node_modules", "openapi-fetch", "dist")))
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte(page))
	})
	return mux
}

// gateway is a reverse proxy in front of the service that counts refreshes, and can hold their responses back. Each response is validated.
type gateway struct {
	service, control *httptest.Server

	mu    sync.Mutex // guards the fields below
	count int
	held  chan struct{} // not nil: responses wait until it is closed
}

func newGateway(t *testing.T, s *harness.Service) *gateway {
	t.Helper()
	target, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{}
	g.service = httptest.NewServer(&httputil.ReverseProxy{
		Rewrite:        func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport:      validated{s.HTTP.Transport},
		ModifyResponse: g.afterResponse,
		ErrorLog:       log.New(io.Discard, "", 0), // tabs close while they wait
	})
	g.control = httptest.NewServer(http.HandlerFunc(g.serveControl))
	t.Cleanup(func() {
		g.release()
		g.control.Close()
		g.service.Close()
	})
	return g
}

// validated is a transport that validates every response but those of preflight requests, which openapi.yaml does not define.
type validated struct{ next http.RoundTripper }

func (v validated) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodOptions {
		return http.DefaultTransport.RoundTrip(r)
	}
	return v.next.RoundTrip(r)
}

// afterResponse counts a refresh. The service has exchanged the token; a held response is lost if the tab closes.
func (g *gateway) afterResponse(response *http.Response) error {
	if response.Request.Method != http.MethodPut {
		return nil
	}
	g.mu.Lock()
	g.count++
	held := g.held
	g.mu.Unlock()
	if held != nil {
		select {
		case <-held:
		case <-response.Request.Context().Done():
		}
	}
	return nil
}

func (g *gateway) release() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.held != nil {
		close(g.held)
		g.held = nil
	}
}

// serveControl returns and resets the count (/count, /reset), and holds and releases responses (/hold, /release).
func (g *gateway) serveControl(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/release" {
		g.release()
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	switch r.URL.Path {
	case "/count":
		_, _ = w.Write([]byte(strconv.Itoa(g.count)))
	case "/reset":
		g.count = 0
	case "/hold":
		g.held = make(chan struct{})
	}
}
