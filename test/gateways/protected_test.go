//go:build gateways

package gateways

import (
	"bufio"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/test/harness"
)

// TestProtected checks that requests reach the upstream behind each gateway only with a valid access token.
func TestProtected(t *testing.T) {
	t.Parallel()
	for _, r := range recipes() {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			s := newFixture(t, r)
			p := newPerson(t, s).join()
			c := &upstreamClient{person: p, plain: plainClient(t)}
			c.checkAccepted()
			c.checkIdentityHeaders()
			c.checkStepUp()
			c.checkRequestID()
			c.checkRejected()
			if !r.exactPaths {
				c.checkMethods()
				c.checkPaths()
			}
			c.checkPathSpellings()
			c.checkUpstreamResponses()
			c.checkEndedSession()
			c.checkServiceUnavailable()
		})
	}
}

// upstreamClient calls the protected upstream.
type upstreamClient struct {
	*person

	plain *http.Client // does not validate responses: the upstream has another contract
}

// plainClient returns a client that sends from clientAddr, without keep-alive and without following redirects.
func plainClient(t testing.TB) *http.Client {
	t.Helper()
	return &http.Client{
		Timeout: time.Minute,
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext:       (&net.Dialer{LocalAddr: &net.TCPAddr{IP: clientAddr.AsSlice()}}).DialContext,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

const protectedPath = "/api/orders"

// visit sends a request with a marker in its query. It returns the response, its body and the requests that the upstream received.
func (c *upstreamClient) visit(method, target string, header http.Header, body string) (*http.Response, string, []received) {
	c.t.Helper()
	marker := "mark-" + uuid.NewString()
	separator := "?"
	if strings.Contains(target, "?") {
		separator = "&"
	}
	response, content := harness.Send(c.t, c.plain, method, "http://"+c.s.addr+target+separator+marker+"=1", header, body)
	return response, content, c.s.upstream.find(marker)
}

func (c *upstreamClient) token() http.Header {
	return http.Header{"Authorization": {"Bearer " + c.session.AccessToken}, "Request-Id": {rid()}}
}

// wantRejected fails the test unless the gateway rejects the request without passing it to the upstream.
func (c *upstreamClient) wantRejected(what string, header http.Header, statuses ...int) {
	c.t.Helper()
	response, body, got := c.visit(http.MethodGet, protectedPath, header, "")
	if c.s.own401 {
		statuses = append(statuses, 403) // Envoy, if the audience is wrong
	}
	if !slices.Contains(statuses, response.StatusCode) || len(got) != 0 {
		c.t.Errorf("%s: status %d, want %v; the upstream received %d requests\n%s", what, response.StatusCode, statuses, len(got), body)
	}
}

func (c *upstreamClient) checkAccepted() {
	for _, scheme := range []string{"Bearer ", "bearer ", "BEARER "} {
		if c.s.name == "envoy" && scheme != "Bearer " {
			continue // Envoy compares case-sensitively; clients write it like this
		}
		header := c.token()
		header.Set("Authorization", scheme+c.session.AccessToken)
		response, body, got := c.visit(http.MethodGet, protectedPath, header, "")
		if response.StatusCode != 200 || body != "200 of the upstream" || len(got) != 1 {
			c.t.Fatalf("%q: %d %s, the upstream received %d requests", scheme, response.StatusCode, body, len(got))
		}
	}
}

// checkIdentityHeaders checks that the upstream receives the user and the client IP, and none of the forged headers.
func (c *upstreamClient) checkIdentityHeaders() {
	claims := decode(c.t, strings.Split(c.session.AccessToken, ".")[1])
	want := map[string]string{
		"X-Auth-User-Id": claims["sub"].(string), "X-Auth-Session-Id": c.session.SessionID, "X-Auth-Client-Id": claims["client_id"].(string),
		"X-Auth-Acr": "aal1", "X-Auth-Time": fmt.Sprint(claims["auth_time"]), "X-Forwarded-For": clientAddr.String(),
	}
	honest, forged := c.token(), c.token()
	maps.Copy(forged, spoofed())
	if !c.s.otherHeaders {
		forged["X-Auth-Roles"] = []string{"spoofed admin"}
	}
	for what, header := range map[string]http.Header{"honest": honest, "forged": forged} {
		response, body, got := c.visit(http.MethodGet, protectedPath, header, "")
		if response.StatusCode != 200 || len(got) != 1 {
			c.t.Errorf("%s: %d %s", what, response.StatusCode, body)
			continue
		}
		for name, value := range want {
			if got := got[0].header.Values(name); len(got) != 1 || got[0] != value {
				c.t.Errorf("%s: the upstream received %s %q, want %q", what, name, got, value)
			}
		}
		for name, values := range got[0].header {
			if all := fmt.Sprint(values); strings.Contains(all, "spoofed") || strings.Contains(all, "203.0.113.6") {
				c.t.Errorf("%s: the upstream received a forged header: %s %q", what, name, values)
			}
		}
		if got := got[0].header.Values("Authorization"); len(got) != 0 {
			c.t.Errorf("%s: the upstream received the token", what)
		}
	}

	// A proxy removes the headers that Connection names. This must not remove the headers that the gateway sets.
	for _, name := range []string{"x-auth-user-id", "X-Auth-Session-Id", "X-Auth-Acr", "x-auth-time", "x-forwarded-for", "request-id"} {
		header := c.token()
		header["Connection"] = []string{"close, " + name}
		_, _, got := c.visit(http.MethodGet, protectedPath, header, "")
		for _, a := range got {
			if got := a.header.Get(name); name != "request-id" && got != want[http.CanonicalHeaderKey(name)] {
				c.t.Errorf("Connection: %s removed the header: the upstream received %q", name, got)
			}
		}
	}
}

// checkStepUp checks that the upstream receives when the user last authenticated: from the session where the gateway asks the service, and
// from the access token where it does not.
func (c *upstreamClient) checkStepUp() {
	signed := fmt.Sprint(decode(c.t, strings.Split(c.session.AccessToken, ".")[1])["auth_time"])
	c.s.service.AgeAuthentications(c.t, time.Hour)
	seconds, err := strconv.ParseInt(signed, 10, 64)
	c.must(err)
	stored := strconv.FormatInt(seconds-3600, 10)
	_, _, got := c.visit(http.MethodGet, protectedPath, c.token(), "")
	if want := map[bool]string{true: stored, false: signed}[c.s.online]; len(got) != 1 || got[0].header.Get("X-Auth-Time") != want {
		c.t.Errorf("an hour after the login: the upstream received %v, want %s", got, want)
	}
	proven := c.calls().StepUp(c.session.AccessToken, c.password)
	c.want("step up", proven.StatusCode(), 200)
	c.session.AccessToken = proven.JSON200.AccessToken
	if now := fmt.Sprint(decode(c.t, strings.Split(c.session.AccessToken, ".")[1])["auth_time"]); now == stored {
		c.t.Errorf("after the step-up, auth_time is still %s", now)
	}
	c.checkIdentityHeaders()
}

// checkRequestID checks that a valid request-id reaches the upstream, and the service if the gateway calls it, and that a malformed one
// reaches neither.
func (c *upstreamClient) checkRequestID() {
	header := c.token()
	_, _, got := c.visit(http.MethodGet, protectedPath, header, "")
	id := header.Get("request-id")
	if len(got) != 1 || got[0].header.Get("request-id") != id {
		c.t.Errorf("the upstream did not receive the request-id: %v", got)
	}
	if c.s.online && !c.s.serviceLogs(id) {
		c.t.Error("the gateway's request to the service does not have the request-id")
	}
	for _, malformed := range [][]string{nil, {""}, {"short"}, {"with space in it"}, {"semi;colon"}, {strings.Repeat("a", 200)}, {rid(), rid()}} {
		header := c.token()
		header["Request-Id"] = malformed
		response, body, got := c.visit(http.MethodGet, protectedPath, header, "")
		made := ""
		if len(got) == 1 {
			made = got[0].header.Get("request-id")
		}
		switch {
		case c.s.passesRequestIDs && response.StatusCode == 200:
		case c.s.rejectsRequestIDs && strings.Join(malformed, "") == "" && response.StatusCode == 200 && made == "": // a missing one is not malformed
		case (c.s.rejectsRequestIDs || len(malformed) > 1) && response.StatusCode == 400 && len(got) == 0:
		case response.StatusCode == 200 && len(made) >= 8 && len(made) <= 128 && !slices.Contains(malformed[min(1, len(malformed)):], made):
		default:
			c.t.Errorf("request-id %q: %d %s; the upstream received %q", malformed, response.StatusCode, body, made)
		}
	}
}

func (c *upstreamClient) checkRejected() {
	good := c.session.AccessToken
	spoof := spoofed()
	c.wantRejected("no token", nil, 401)
	c.wantRejected("no token, and headers that only a gateway sets", spoof, 401)
	for what, value := range map[string]string{
		"an empty header": "", "no token after Bearer": "Bearer ", "Basic": "Basic " + good, "two tokens": "Bearer " + good + "," + good,
		"a refresh token": "Bearer " + c.session.RefreshToken,
	} {
		c.wantRejected(what, http.Header{"Authorization": {value}}, 401)
	}
	for what, token := range badTokens(c.t, c.s.service, good) {
		header := http.Header{"Authorization": {"Bearer " + token}}
		c.wantRejected(what, header, 401)
		maps.Copy(header, spoof)
		c.wantRejected(what+", and headers that only a gateway sets", header, 401)
	}
	for what, values := range map[string][]string{
		"two headers": {"Bearer " + good, "Bearer " + good}, "a good one and a bad one": {"Bearer " + good, "Bearer x"},
		"a bad one and a good one": {"Bearer x", "Bearer " + good},
	} {
		if c.s.firstHeader && strings.HasSuffix(values[0], good) {
			continue
		}
		c.wantRejected(what, http.Header{"Authorization": values}, 400, 401)
	}
	c.wantRejected("a token in a cookie", http.Header{"Cookie": {"authorization=" + good}}, 401)
	response, _, got := c.visit(http.MethodGet, protectedPath+"?access_token="+good+"&authorization="+good, nil, "")
	if response.StatusCode != 401 || len(got) != 0 {
		c.t.Errorf("a token in the query: %d", response.StatusCode)
	}
	if c.s.own401 {
		return
	}
	header := http.Header{"Request-Id": {rid()}}
	response, body, _ := c.visit(http.MethodGet, protectedPath, header, "")
	if body = strings.TrimSpace(body); response.Header.Get("Content-Type") != "application/json" || body != `{"code":401,"message":"401 Unauthorized"}` ||
		response.Header.Get("WWW-Authenticate") != "Bearer" || response.Header.Get("request-id") != header.Get("request-id") {
		c.t.Errorf("the 401 is not in the service's format: %v %s", response.Header, body)
	}
}

// checkMethods checks that with every method a token is required, and that the body reaches the upstream.
func (c *upstreamClient) checkMethods() {
	for _, method := range []string{
		http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions, "PROPFIND",
	} {
		body := ""
		if method != http.MethodGet && method != http.MethodHead {
			body = strings.Repeat("body ", 8000)
		}
		header := c.token()
		header.Set("X-Http-Method-Override", "GET")
		response, _, got := c.visit(method, protectedPath, header, body)
		if response.StatusCode != 200 || len(got) != 1 || got[0].method != method || got[0].body != body {
			c.t.Errorf("%s: %d, received %d times", method, response.StatusCode, len(got))
		}
		header.Del("Authorization")
		response, _, got = c.visit(method, protectedPath, header, body[:min(len(body), 500)])
		if response.StatusCode != 401 || len(got) != 0 {
			c.t.Errorf("%s without a token: %d, received %d times", method, response.StatusCode, len(got))
		}
	}
}

// checkPaths checks that paths reach the upstream unchanged.
func (c *upstreamClient) checkPaths() {
	for _, target := range []string{"/api/", "/api/a%2Fb", "/api/a%20b?x=%2F%20&y", "/api/%D0%B6/%25", "/api/a//b", "/api/a;b=c/@:!$&'()*+,", "/api/a.b/..c"} {
		response, _, got := c.visit(http.MethodGet, target, c.token(), "")
		if response.StatusCode != 200 || len(got) != 1 || !strings.HasPrefix(got[0].target, target) {
			c.t.Errorf("%s: %d, received as %v", target, response.StatusCode, got)
		}
	}
}

// checkPathSpellings checks that no spelling of a path reaches the upstream without a token, and that with a token none is changed.
func (c *upstreamClient) checkPathSpellings() {
	for _, target := range []string{
		"/api/orders", "//api/orders", "/api//orders", "///api/orders", "/./api/orders", "/api/./orders", "/v1/../api/orders", "/v1/%2e%2e/api/orders",
		"/v1/..%2fapi/orders", "/v1/..%2Fapi%2Forders", "/api/../api/orders", "/api/%2e%2e/api/orders", "/api/%2e%2e/v1/version", "/api/..%2fv1/version",
		"/%61pi/orders", "/%2561pi/orders", "/api%2forders", "/api%2Forders", "/API/orders", "/Api/orders", "/api;x=1/orders", "/api/;/orders", "/api",
		"/api%00/orders", "/api/orders%00", "/api\\orders", "\\api\\orders", "/api/orders#x", "/api?/orders", "/v1/version?/api/orders", "/v1/version;/api/orders",
		"/v1/version/../../api/orders", "/docs/..%2f..%2fapi/orders", "/u/../api/orders", "/.well-known/../api/orders", "/api/orders/..;/", "/..;/api/orders",
		"http://127.0.0.1/api/orders", "http://other.example.test/api/orders", "*", "/_financelime_verify", "/api/orders/%2e%2e/%2e%2e/v1/oauth/verify",
	} {
		for _, method := range []string{"GET", "POST", "OPTIONS"} {
			for _, token := range []string{"", c.session.AccessToken} {
				marker := "mark-" + uuid.NewString()
				status := c.raw(method, target, token, marker)
				got := c.s.upstream.find(marker)
				if token == "" && len(got) != 0 {
					c.t.Errorf("%s %s: status %d without a token, and the upstream received %v", method, target, status, got)
				}
				for _, a := range got {
					if !c.s.sameTarget(target, a.target) {
						c.t.Errorf("%s %s was received as %s", method, target, a.target)
					}
				}
			}
		}
	}
}

// sameTarget reports whether the target that the upstream received is the one that was sent. The gateway may remove the host, and may
// keep, escape or cut off an invalid #.
func (r *recipe) sameTarget(sent, got string) bool {
	for _, host := range []string{"http://127.0.0.1", "http://other.example.test"} {
		sent, got = strings.TrimPrefix(sent, host), strings.TrimPrefix(got, host)
	}
	if r.decodes {
		decode := strings.NewReplacer("%2e", ".", "%2f", "%2F", "%61", "a")
		sent, got = decode.Replace(sent), decode.Replace(got)
	}
	return got == sent || got == strings.ReplaceAll(sent, "#", "%23") || got == strings.TrimSuffix(sent, "#x")
}

// raw sends a request that no client library would send. It returns the status, or 0 if the connection was closed without a response.
func (c *upstreamClient) raw(method, target, token, marker string) int {
	c.t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: clientAddr.AsSlice()}, Timeout: 10 * time.Second}
	connection, err := dialer.DialContext(c.t.Context(), "tcp", c.s.addr)
	if err != nil {
		c.t.Fatal(err)
	}
	defer connection.Close()
	_ = connection.SetDeadline(time.Now().Add(30 * time.Second))
	lines := method + " " + target + " HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nx-mark: " + marker + "\r\n" +
		"X-Original-URL: /v1/version\r\nX-Rewrite-URL: /v1/version\r\nX-Forwarded-Uri: /v1/version\r\nX-Forwarded-Method: GET\r\n"
	if token != "" {
		lines += "Authorization: Bearer " + token + "\r\n"
	}
	if _, err := connection.Write([]byte(lines + "\r\n")); err != nil {
		return 0
	}
	response, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil {
		return 0
	}
	_ = response.Body.Close()
	return response.StatusCode
}

// checkUpstreamResponses checks that the gateway does not treat a response of the upstream as its own.
func (c *upstreamClient) checkUpstreamResponses() {
	for _, status := range []int{400, 401, 403, 404, 500, 503} {
		response, body, _ := c.visit(http.MethodGet, fmt.Sprintf("%s?status=%d", protectedPath, status), c.token(), "")
		if response.StatusCode != status || body != fmt.Sprintf("%d of the upstream", status) {
			c.t.Errorf("the upstream's %d was received as %d %s", status, response.StatusCode, body)
		}
		if got := response.Header.Get("WWW-Authenticate"); status == http.StatusForbidden && got != needsAuthentication {
			c.t.Errorf("the upstream's 403 was received with WWW-Authenticate %q", got)
		}
	}
}

// checkEndedSession checks that a gateway that calls the service rejects the token immediately when the session ends. With a gateway that
// verifies tokens itself, the token stays valid until it expires, as the contract documents.
func (c *upstreamClient) checkEndedSession() {
	header := c.token()
	c.want("end the session", c.revokeByPath(c.session.SessionID), 204)
	response, body, got := c.visit(http.MethodGet, protectedPath, header, "")
	switch {
	case c.s.online && (response.StatusCode != 401 || len(got) != 0):
		c.t.Errorf("the session has ended: %d %s", response.StatusCode, body)
	case !c.s.online && (response.StatusCode != 200 || len(got) != 1):
		c.t.Errorf("the token has not expired: %d %s", response.StatusCode, body)
	}
	c.login()
	c.checkAccepted()
}

// checkServiceUnavailable checks that without the service a gateway that calls it rejects all requests, and that a gateway that verifies
// tokens itself still works.
func (c *upstreamClient) checkServiceUnavailable() {
	c.s.service.Kill(c.t)
	response, body, got := c.visit(http.MethodGet, protectedPath, c.token(), "")
	switch {
	case c.s.online && (response.StatusCode < c.s.unavailable || len(got) != 0):
		c.t.Errorf("the service is unavailable: %d %s", response.StatusCode, body)
	case !c.s.online && (response.StatusCode != 200 || len(got) != 1):
		c.t.Errorf("the gateway does not need the service: %d %s", response.StatusCode, body)
	}
	c.wantRejected("no token, without the service", nil, 401, 500, 502, 503, 504)
}
