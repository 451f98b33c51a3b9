//go:build browser

package browser

import (
	"cmp"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/api/client"
	"github.com/financelime/authorization/test/harness"
	"github.com/financelime/authorization/test/testca"
)

const (
	appHost   = "app.example.test"
	appOrigin = "https://" + appHost
)

// bff is an app with a backend for frontend of deploy/bff: nginx with TLS, server.mjs or bff.js, and the service behind a hop.
type bff struct {
	s         *harness.Service
	toBFF     *hop // from nginx to server.mjs; nil with njs
	toService *hop // from the backend for frontend to the service
	addr      string
	app       string       // the directory of the page
	http      *http.Client // connects to nginx from clientAddr, whatever the host
	keys      []string     // of the certificates that Chromium accepts
	ca        *testca.Authority
	email     string
	password  string
}

// clientAddr is the address of the clients of the Go tests: one that is no trusted proxy.
var clientAddr = netip.MustParseAddr("127.0.0.2")

// variants are the two forms of the recipe.
var variants = []string{"node", "njs"}

func startBFF(t *testing.T, variant string) *bff {
	t.Helper()
	b := &bff{ca: testca.New(t), addr: harness.FreeAddr(t)}
	serviceAddr := harness.FreeAddr(t) // fixed, so that the service can stop and start again
	b.s = harness.Start(t, binary, contract, harness.SQLite, "AUTH_HTTP_ADDR="+serviceAddr, "AUTH_PUBLIC_URL="+appOrigin,
		"AUTH_TRUSTED_PROXIES=127.0.0.1/32")
	b.toService = startHop(t, "http://"+serviceAddr)
	if variant == "node" {
		b.toBFF = startHop(t, "http://"+startNode(t, appOrigin, b.toService.URL))
	}
	b.startNginx(t, variant)
	b.signUp(t)
	return b
}

// startNode runs server.mjs and returns its address.
func startNode(t *testing.T, origin, serviceURL string) string {
	t.Helper()
	addr := harness.FreeAddr(t)
	host, port, _ := net.SplitHostPort(addr)
	cmd := exec.Command("node", recipe("server.mjs"))
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "APP_ORIGIN=" + origin, "SERVICE_URL=" + serviceURL, "HOST=" + host, "PORT=" + port}
	log := new(harness.Buffer)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("server.mjs: %v\n%s", err, log)
		}
		if t.Failed() {
			t.Logf("log of server.mjs:\n%s", log)
		}
		if strings.Contains(log.String(), "eyJ") {
			t.Errorf("a token is in the log of server.mjs:\n%s", log)
		}
	})
	for deadline := time.Now().Add(30 * time.Second); !strings.Contains(log.String(), "listening on"); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("server.mjs does not listen:\n%s", log)
		}
	}
	return addr
}

func recipe(name string) string { return filepath.Join("..", "..", "deploy", "bff", name) }

// startNginx runs nginx with the files of deploy/bff, in which it changes only what an operator changes too.
func (b *bff) startNginx(t *testing.T, variant string) {
	t.Helper()
	dir := t.TempDir()
	b.app = t.TempDir()
	for _, file := range []string{"bff/index.html", "bff/app.mjs", recipe("session.mjs")} {
		copyFile(t, file, filepath.Join(b.app, filepath.Base(file)))
	}
	certificate, key := b.certificate(t, dir, appHost)
	serviceAddr := strings.TrimPrefix(b.toService.URL, "http://")
	changes := [][2]string{
		{"listen              443 ssl http2;", "listen " + b.addr + " ssl http2;"},
		{"/etc/ssl/certs/app.example.com.pem", certificate},
		{"/etc/ssl/private/app.example.com.key", key},
		{"/var/www/app", b.app},
		{"/etc/nginx/financelime", dir},
		{"127.0.0.1:8080", serviceAddr},
		{"127.0.0.1:8081", "127.0.0.1:1"}, // changed below, if there is server.mjs
		{"app.example.com", appHost},
		{"    include " + dir + "/bff-node.conf;", "    include " + dir + "/bff-" + variant + ".conf;"},
	}
	directives := "load_module /usr/lib/nginx/modules/ngx_http_js_module.so;"
	if b.toBFF != nil {
		changes[6][1], directives = strings.TrimPrefix(b.toBFF.URL, "http://"), ""
	}
	files := []string{"nginx.conf", "bff-node.conf", "bff-njs.conf", "bff.js"}
	texts := make(map[string]string)
	for _, change := range changes {
		found := false
		for _, name := range files {
			if texts[name] == "" {
				texts[name] = read(t, recipe(name))
			}
			found = found || strings.Contains(texts[name], change[0])
			texts[name] = strings.ReplaceAll(texts[name], change[0], change[1])
		}
		if !found {
			t.Fatalf("no file of deploy/bff contains %q", change[0])
		}
	}
	for name, text := range texts {
		write(t, filepath.Join(dir, name), text)
	}
	types := "types { text/html html; text/javascript mjs; }\n"
	harness.RunNginx(t, b.addr, directives, types+"include "+filepath.Join(dir, "nginx.conf")+";\n")
	b.http = &http.Client{Transport: b.transport(t)}
}

// certificate writes a certificate for a host and its key.
func (b *bff) certificate(t *testing.T, dir, host string) (certificate, key string) {
	t.Helper()
	config := b.tls(t, host)
	der, err := x509.MarshalPKCS8PrivateKey(config.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	certificate, key = filepath.Join(dir, host+".pem"), filepath.Join(dir, host+".key")
	write(t, certificate, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: config.Certificates[0].Certificate[0]})))
	write(t, key, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	return certificate, key
}

// tls returns the configuration of a server whose certificate Chromium accepts.
func (b *bff) tls(t *testing.T, host string) *tls.Config {
	t.Helper()
	config := b.ca.Server(t, host, time.Hour)
	leaf, err := x509.ParseCertificate(config.Certificates[0].Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
	b.keys = append(b.keys, base64.StdEncoding.EncodeToString(hash[:]))
	return config
}

func (b *bff) transport(t *testing.T) *http.Transport {
	t.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(read(t, b.ca.File))) {
		t.Fatal("no certificate authority")
	}
	dialer := &net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(clientAddr, 0))}
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		DialContext:     dialTo(dialer, b.addr),
	}
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}

// signUp creates the user.
func (b *bff) signUp(t *testing.T) {
	t.Helper()
	b.email = "p" + uuid.NewString() + "@example.com"
	api := harness.API{T: t, Client: b.s.API}
	invite := b.s.Invite(t, 1)
	if r := api.SignUp(client.SignUpRequest{Email: b.email, InviteCode: invite, Language: "en"}); r.StatusCode() != http.StatusNoContent {
		t.Fatalf("sign-up: %s", r.Body)
	}
	link := b.s.WaitMails(t, b.email, 1)[0].Link(t)
	harness.Send(t, b.s.HTTP, http.MethodGet, b.s.URL+link.RequestURI(), http.Header{"Accept": {"text/html"}}, "")
	b.password = b.s.WaitMails(t, b.email, 2)[0].Password(t)
}

// startAttacker serves empty pages of another origin.
func (b *bff) startAttacker(t *testing.T, host string) string {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, "<!doctype html><title>Attacker</title><h1>Attacker</h1>")
	}))
	server.TLS = b.tls(t, host)
	server.StartTLS()
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "https://")
}

// startDev serves the app without TLS, as a development server does, with its own server.mjs. It returns the origin.
func (b *bff) startDev(t *testing.T) string {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	origin := "http://localhost:" + port
	mux := http.NewServeMux()
	mux.Handle("/bff/", httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: startNode(t, origin, b.toService.URL)}))
	mux.HandleFunc("/favicon.ico", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.Handle("/", http.FileServer(http.Dir(b.app)))
	server.Config.Handler = mux
	server.Start()
	t.Cleanup(server.Close)
	return origin
}

// startControl lets the steps stop and start the service.
func (b *bff) startControl(t *testing.T) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /stop", func(http.ResponseWriter, *http.Request) { b.s.Kill(t) })
	mux.HandleFunc("POST /start", func(http.ResponseWriter, *http.Request) { b.s.Run(t) })
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

// The steps are the same for both forms of the recipe, except that only server.mjs has a memory.
func TestBackendForFrontend(t *testing.T) {
	t.Parallel()
	chromium, err := exec.LookPath(cmp.Or(os.Getenv("CHROMIUM"), "chromium"))
	if err != nil {
		t.Fatalf("%v: run these tests with `make test-browser`", err)
	}
	for _, variant := range variants {
		t.Run(variant, func(t *testing.T) {
			t.Parallel()
			b := startBFF(t, variant)
			const sameSite, crossSite = "evil.example.test", "attacker.test"
			hosts := fmt.Sprintf("MAP localhost 127.0.0.1, MAP %s %s, MAP %s %s, ", sameSite, b.startAttacker(t, sameSite), crossSite, b.startAttacker(t, crossSite))
			settings := []string{
				"CHROMIUM=" + chromium, "PUBLIC_URL=" + appOrigin, "HTTP_ADDR=" + b.addr, "ADMIN_URL=" + b.s.Admin, "INVITE_CODE=none",
				"APP_URL=" + appOrigin, "FAULTS_URL=none",
				"PAGES_URL=" + b.startControl(t), "HOSTS=" + hosts, "CERTIFICATE_KEYS=" + strings.Join(b.keys, ","), "EMAIL=" + b.email,
				"PASSWORD=" + b.password, "SERVICE_URL=" + b.s.URL, "TO_SERVICE=" + b.toService.URL, "VARIANT=" + variant,
				"SAME_SITE=https://" + sameSite, "CROSS_SITE=https://" + crossSite,
			}
			if b.toBFF != nil {
				settings = append(settings, "TO_BFF="+b.toBFF.URL, "DEV_ORIGIN="+b.startDev(t))
			}
			node(t, filepath.Join("bff", "steps.test.mjs"), settings...)
		})
	}
}

// post sends what the page sends, with changed headers. A header without a value is removed.
func (b *bff) post(t *testing.T, method, path, body string, changes ...string) (*http.Response, string) {
	t.Helper()
	header := http.Header{"Origin": {appOrigin}, "Sec-Fetch-Site": {"same-origin"}, "Content-Type": {"application/json"}}
	for _, change := range changes {
		name, value, _ := strings.Cut(change, ": ")
		header.Del(name)
		if value != "" {
			header.Set(name, value)
		}
	}
	return harness.Send(t, b.http, method, appOrigin+path, header, body)
}

func (b *bff) login(t *testing.T, changes ...string) (session client.AccessTokenResponse, cookie string) {
	t.Helper()
	body := fmt.Sprintf(`{"email":%q,"password":%q,"clientID":"app","device":{}}`, b.email, b.password)
	r, text := b.post(t, http.MethodPost, "/bff/login", body, changes...)
	if r.StatusCode != http.StatusOK {
		t.Fatalf("login: %d %s", r.StatusCode, text)
	}
	parse(t, text, &session)
	return session, mustMatchCookie(t, r)
}

// cookieForm is the only form of the cookie that holds a token.
var cookieForm = regexp.MustCompile(`^(__Host-refresh=[\w.-]+); Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=2592000$`)

func mustMatchCookie(t *testing.T, r *http.Response) string {
	t.Helper()
	cookies := r.Header.Values("Set-Cookie")
	if len(cookies) != 1 || !cookieForm.MatchString(cookies[0]) {
		t.Fatalf("cookies: %q", cookies)
	}
	return cookieForm.FindStringSubmatch(cookies[0])[1]
}

func TestBackendForFrontendRefusesRequests(t *testing.T) {
	t.Parallel()
	for _, variant := range variants {
		t.Run(variant, func(t *testing.T) {
			t.Parallel()
			b := startBFF(t, variant)
			_, cookie := b.login(t)
			for _, c := range []struct {
				name, method, path, body, change string
				status                           int
			}{
				{"another path", "POST", "/bff/other", "{}", "", 404},
				{"a path in another form", "POST", "/bff/refresh/", "{}", "", 404},
				{"a path with two slashes", "POST", "/bff//refresh", "{}", "", 404},
				{"GET", "GET", "/bff/refresh", "", "", 405},
				{"HEAD", "HEAD", "/bff/logout", "", "", 405},
				{"a preflight request", "OPTIONS", "/bff/login", "", "Access-Control-Request-Method: POST", 405},
				{"no origin", "POST", "/bff/refresh", "{}", "Origin: ", 403},
				{"an unknown origin", "POST", "/bff/refresh", "{}", "Origin: null", 403},
				{"the origin of a subdomain", "POST", "/bff/logout", "{}", "Origin: https://a." + appHost, 403},
				{"the origin without TLS", "POST", "/bff/login", "{}", "Origin: http://" + appHost, 403},
				{"from the same site", "POST", "/bff/refresh", "{}", "Sec-Fetch-Site: same-site", 403},
				{"from another site", "POST", "/bff/refresh", "{}", "Sec-Fetch-Site: cross-site", 403},
				{"a form", "POST", "/bff/logout", "a=b", "Content-Type: application/x-www-form-urlencoded", 415},
				{"text", "POST", "/bff/refresh", "{}", "Content-Type: text/plain", 415},
				{"a type that begins like JSON", "POST", "/bff/refresh", "{}", "Content-Type: application/jsonp", 415},
				{"no type", "POST", "/bff/refresh", "{}", "Content-Type: ", 415},
				{"a large body", "POST", "/bff/login", `{"a":"` + strings.Repeat("a", 17_000) + `"}`, "", 413},
			} {
				changes := []string{"Cookie: " + cookie}
				if c.change != "" {
					changes = append(changes, c.change)
				}
				r, text := b.post(t, c.method, c.path, c.body, changes...)
				if r.StatusCode != c.status || r.Header.Get("Set-Cookie") != "" || r.Header.Get("Access-Control-Allow-Origin") != "" {
					t.Errorf("%s: status %d, want %d: %v %s", c.name, r.StatusCode, c.status, r.Header, text)
				}
			}
			if n := b.toService.seen(); n != 1 {
				t.Errorf("%d requests reached the service, want only the login", n)
			}
			if r, text := b.post(t, http.MethodPost, "/bff/refresh", "{}", "Cookie: a=b; "+cookie); r.StatusCode != http.StatusOK {
				t.Errorf("after all that, a refresh: %d %s", r.StatusCode, text)
			}
		})
	}
}

func TestBackendForFrontendForwards(t *testing.T) {
	t.Parallel()
	for _, variant := range variants {
		t.Run(variant, func(t *testing.T) {
			t.Parallel()
			b := startBFF(t, variant)
			api := harness.API{T: t, Client: b.s.API}

			session, cookie := b.login(t, "X-Forwarded-For: 203.0.113.9", "Request-Id: from-the-page-1", "Sec-Fetch-Site: ")
			if session.RefreshToken != "" || session.ExpiresIn == nil || *session.ExpiresIn != 600 {
				t.Errorf("the page got %+v", session)
			}
			if !strings.Contains(b.s.Log(), "from-the-page-1") {
				t.Error("the request ID of the page is not in the log of the service")
			}
			sessions := *api.Sessions(session.AccessToken).JSON200
			if len(sessions) != 1 || sessions[0].RemoteAddr != clientAddr.String() {
				t.Errorf("client IP: %+v", sessions)
			}

			r, text := b.post(t, http.MethodPost, "/bff/refresh", "{}", "Cookie: "+cookie, "Request-Id: from-the-page-2")
			if r.StatusCode != http.StatusOK || r.Header.Get("request-id") != "from-the-page-2" || r.Header.Get("Cache-Control") != "no-store" ||
				strings.Contains(text, "refreshToken") {
				t.Errorf("refresh: %d %v %s", r.StatusCode, r.Header, text)
			}
			if next := mustMatchCookie(t, r); next == cookie || strings.Contains(text, strings.TrimPrefix(next, "__Host-refresh=")) {
				t.Errorf("the cookie is %s, the page got %s", next, text)
			}
			if r, _ := b.post(t, http.MethodPost, "/bff/refresh", "{}"); r.StatusCode != http.StatusNotFound {
				t.Errorf("without a cookie: %d", r.StatusCode)
			}
			if r, text := b.post(t, http.MethodPost, "/bff/login", "{"); r.StatusCode != http.StatusBadRequest || !strings.Contains(text, `"body"`) {
				t.Errorf("a login that is not JSON: %d %s", r.StatusCode, text)
			}
			if r, text := b.post(t, http.MethodGet, "/v1/session/list", "", "Cookie: "+cookie, "Request-Id: from-the-page-3",
				"Authorization: Bearer "+session.AccessToken); r.StatusCode != http.StatusOK {
				t.Errorf("the API of the service: %d %s", r.StatusCode, text)
			}
		})
	}
}

// Only the service can say that a session has ended.
func TestBackendForFrontendKeepsTheCookie(t *testing.T) {
	t.Parallel()
	for _, variant := range variants {
		t.Run(variant, func(t *testing.T) {
			t.Parallel()
			b := startBFF(t, variant)
			session, cookie := b.login(t)
			const html, jsonType = "text/html", "application/json"
			for _, c := range []struct {
				status     int
				kind, body string
				want       int
			}{
				{404, html, "<h1>Not Found</h1>", 503},
				{404, jsonType, `{"message":"no Route matched with those values"}`, 503},
				{404, jsonType, `{"message":"USER_NOT_FOUND"}`, 503},
				{404, jsonType, `{"code":404,"message":"404 Not Found"}`, 404},
				{400, html, "<h1>Bad Request</h1>", 503},
				{400, jsonType, `{"code":400,"message":"BAD_PARAMETERS"}`, 400},
				{400, jsonType, `{"code":400,"message":"BAD_PARAMETERS","parameters":["body"]}`, 400},
				{401, jsonType, `{"code":401,"message":"401 Unauthorized"}`, 401},
				{403, html, "<h1>Forbidden</h1>", 503},
				{429, jsonType, `{"code":429,"message":"429 Too Many Requests"}`, 429},
				{500, jsonType, `{"code":500,"message":"500 Internal Server Error"}`, 500},
				{502, html, "<h1>Bad Gateway</h1>", 503},
				{503, jsonType, `{"code":503,"message":"503 Service Unavailable"}`, 503},
				{504, html, "", 503},
				{200, html, "<h1>Welcome</h1>", 503},
				{200, jsonType, "null", 503},
				{200, jsonType, "[1]", 503},
				{200, jsonType, `{"accessToken":"a"}`, 503},
				{204, "", "", 503},
				{302, html, "", 503},
			} {
				b.toService.setAnswer(c.status, c.kind, c.body)
				r, text := b.post(t, http.MethodPost, "/bff/refresh", "{}", "Cookie: "+cookie)
				if r.StatusCode != c.want || r.Header.Get("Set-Cookie") != "" {
					t.Errorf("%d %s: the page gets %d, want %d: %v %s", c.status, c.body, r.StatusCode, c.want, r.Header, text)
				}
				if c.status == c.want && r.Header.Get("Retry-After") != "7" {
					t.Errorf("%d: Retry-After is %q", c.status, r.Header.Get("Retry-After"))
				}
			}
			b.toService.removeAnswer()
			r, text := b.post(t, http.MethodPost, "/bff/refresh", "{}", "Cookie: "+cookie)
			if r.StatusCode != http.StatusOK || !strings.Contains(text, session.SessionID) {
				t.Errorf("after all that, a refresh: %d %s", r.StatusCode, text)
			}
		})
	}
}

// suspend stops the process until SIGCONT. The signal has its effect a little later.
func suspend(t *testing.T, s *harness.Service) {
	t.Helper()
	s.Signal(t, syscall.SIGSTOP)
	impatient := &http.Client{Timeout: 200 * time.Millisecond}
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/.well-known/jwks.json", nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := impatient.Do(request)
		if err != nil {
			return
		}
		_ = response.Body.Close()
	}
	t.Fatal("the service still responds")
}

// A service that accepts connections but does not respond.
func TestBackendForFrontendTimesOut(t *testing.T) {
	t.Parallel()
	for _, variant := range variants {
		t.Run(variant, func(t *testing.T) {
			t.Parallel()
			b := startBFF(t, variant)
			session, cookie := b.login(t)
			suspend(t, b.s)
			began := time.Now()
			r, text := b.post(t, http.MethodPost, "/bff/refresh", "{}", "Cookie: "+cookie)
			took := time.Since(began)
			b.s.Signal(t, syscall.SIGCONT)
			if r.StatusCode != http.StatusServiceUnavailable || r.Header.Get("Retry-After") != "1" || r.Header.Get("Set-Cookie") != "" {
				t.Errorf("refresh: %d %v %s", r.StatusCode, r.Header, text)
			}
			if took < 9*time.Second || took > 14*time.Second { // session.mjs waits 15 s
				t.Errorf("it took %s", took)
			}
			r, text = b.post(t, http.MethodPost, "/bff/refresh", "{}", "Cookie: "+cookie)
			if r.StatusCode != http.StatusOK || !strings.Contains(text, session.SessionID) {
				t.Errorf("the next refresh: %d %s", r.StatusCode, text)
			}
		})
	}
}

func parse(t *testing.T, text string, to any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), to); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
}
