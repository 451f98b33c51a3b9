//go:build gateways

package gateways

import (
	"bufio"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// What is behind a gateway is reached with a valid access token, and by nobody else.
func TestProtected(t *testing.T) {
	t.Parallel()
	for _, r := range recipes() {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, r)
			p := newPerson(t, s).join()
			v := &visitor{person: p, plain: plainClient(t)}
			v.comesThrough()
			v.isWhoTheTokenSays()
			v.keepsItsName()
			v.isRefused()
			if !r.namesOnly {
				v.anyMethod()
				v.anyPath()
			}
			v.anySpelling()
			v.upstreamAnswersItself()
			v.sessionEnds()
			v.serviceIsAway()
		})
	}
}

// visitor calls the protected upstream.
type visitor struct {
	*person

	plain *http.Client // not judged: the upstream has another contract
}

// plainClient comes from clientAddr, keeps no connection and follows no redirect.
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

// visit makes a marked request with the header, and returns its answer and what the upstream got of it.
func (v *visitor) visit(method, target string, header http.Header, body string) (*http.Response, string, []asked) {
	v.t.Helper()
	mark := "mark-" + uuid.NewString()
	separator := "?"
	if strings.Contains(target, "?") {
		separator = "&"
	}
	response, content := send(v.t, v.plain, "http://"+v.s.addr, method, target+separator+mark+"=1", header, body)
	return response, content, v.s.upstream.find(mark)
}

func (v *visitor) token() http.Header {
	return http.Header{"Authorization": {"Bearer " + v.session.AccessToken}, "Request-Id": {rid()}}
}

// refused fails the test unless the request was turned away, and the upstream has not heard of it.
func (v *visitor) refused(what string, header http.Header, statuses ...int) {
	v.t.Helper()
	response, body, arrived := v.visit(http.MethodGet, protectedPath, header, "")
	if v.s.plainRefusal {
		statuses = append(statuses, 403) // Envoy for a token that is another audience's
	}
	if !slices.Contains(statuses, response.StatusCode) || len(arrived) != 0 {
		v.t.Errorf("%s: status %d, want %v; the upstream got %d requests\n%s", what, response.StatusCode, statuses, len(arrived), body)
	}
}

func (v *visitor) comesThrough() {
	for _, scheme := range []string{"Bearer ", "bearer ", "BEARER "} {
		if v.s.name == "envoy" && scheme != "Bearer " {
			continue // compares letter by letter; no client writes it otherwise
		}
		header := v.token()
		header.Set("Authorization", scheme+v.session.AccessToken)
		response, body, arrived := v.visit(http.MethodGet, protectedPath, header, "")
		if response.StatusCode != 200 || body != "200 of the upstream" || len(arrived) != 1 {
			v.t.Fatalf("%q: %d %s, the upstream got %d requests", scheme, response.StatusCode, body, len(arrived))
		}
	}
}

// isWhoTheTokenSays: the upstream is told who comes, from where, and nothing that the client made up.
func (v *visitor) isWhoTheTokenSays() {
	claims := decode(v.t, strings.Split(v.session.AccessToken, ".")[1])
	want := map[string]string{
		"X-Auth-User-Id": claims["sub"].(string), "X-Auth-Session-Id": v.session.SessionID, "X-Auth-Client-Id": claims["client_id"].(string),
		"X-Forwarded-For": clientAddr.String(),
	}
	plain, lying := v.token(), v.token()
	maps.Copy(lying, spoofed())
	if !v.s.otherNames {
		lying["X-Auth-Roles"] = []string{"spoofed admin"}
	}
	for what, header := range map[string]http.Header{"honest": plain, "lying": lying} {
		response, body, arrived := v.visit(http.MethodGet, protectedPath, header, "")
		if response.StatusCode != 200 || len(arrived) != 1 {
			v.t.Errorf("%s: %d %s", what, response.StatusCode, body)
			continue
		}
		for name, value := range want {
			if got := arrived[0].header.Values(name); len(got) != 1 || got[0] != value {
				v.t.Errorf("%s: the upstream got %s %q, want %q", what, name, got, value)
			}
		}
		for name, values := range arrived[0].header {
			if all := fmt.Sprint(values); strings.Contains(all, "spoofed") || strings.Contains(all, "203.0.113.6") {
				v.t.Errorf("%s: the upstream got what the client made up: %s %q", what, name, values)
			}
		}
		if got := arrived[0].header.Values("Authorization"); len(got) != 0 {
			v.t.Errorf("%s: the upstream got the token", what)
		}
	}

	// Headers that Connection names end at the next hop: that must not take away what the gateway says.
	for _, name := range []string{"x-auth-user-id", "X-Auth-Session-Id", "x-forwarded-for", "request-id"} {
		header := v.token()
		header["Connection"] = []string{"close, " + name}
		_, _, arrived := v.visit(http.MethodGet, protectedPath, header, "")
		for _, a := range arrived {
			if got := a.header.Get(name); name != "request-id" && got != want[http.CanonicalHeaderKey(name)] {
				v.t.Errorf("Connection: %s took it away: the upstream got %q", name, got)
			}
		}
	}
}

// keepsItsName: a well-formed request-id reaches the upstream, and the service where that is asked; a malformed one reaches nobody.
func (v *visitor) keepsItsName() {
	header := v.token()
	_, _, arrived := v.visit(http.MethodGet, protectedPath, header, "")
	id := header.Get("request-id")
	if len(arrived) != 1 || arrived[0].header.Get("request-id") != id {
		v.t.Errorf("the request-id did not arrive: %v", arrived)
	}
	if v.s.asks && !v.s.serviceLogs(id) {
		v.t.Error("the service was not asked under the request's name")
	}
	for _, malformed := range [][]string{nil, {""}, {"short"}, {"with space in it"}, {"semi;colon"}, {strings.Repeat("a", 200)}, {rid(), rid()}} {
		header := v.token()
		header["Request-Id"] = malformed
		response, body, arrived := v.visit(http.MethodGet, protectedPath, header, "")
		made := ""
		if len(arrived) == 1 {
			made = arrived[0].header.Get("request-id")
		}
		switch {
		case v.s.passesNames && response.StatusCode == 200:
		case v.s.refusesNames && strings.Join(malformed, "") == "" && response.StatusCode == 200 && made == "": // none is not malformed
		case (v.s.refusesNames || len(malformed) > 1) && response.StatusCode == 400 && len(arrived) == 0:
		case response.StatusCode == 200 && len(made) >= 8 && len(made) <= 128 && !slices.Contains(malformed[min(1, len(malformed)):], made):
		default:
			v.t.Errorf("request-id %q: %d %s; the upstream got %q", malformed, response.StatusCode, body, made)
		}
	}
}

func (v *visitor) isRefused() {
	good := v.session.AccessToken
	spoof := spoofed()
	v.refused("no token", nil, 401)
	v.refused("no token, and headers that only a gateway sets", spoof, 401)
	for what, value := range map[string]string{
		"an empty header": "", "no token after Bearer": "Bearer ", "Basic": "Basic " + good, "two tokens": "Bearer " + good + "," + good,
		"a refresh token": "Bearer " + v.session.RefreshToken,
	} {
		v.refused(what, http.Header{"Authorization": {value}}, 401)
	}
	for what, token := range badTokens(v.t, v.s.service, good) {
		header := http.Header{"Authorization": {"Bearer " + token}}
		v.refused(what, header, 401)
		maps.Copy(header, spoof)
		v.refused(what+", and headers that only a gateway sets", header, 401)
	}
	for what, values := range map[string][]string{
		"two headers": {"Bearer " + good, "Bearer " + good}, "a good one and a bad one": {"Bearer " + good, "Bearer x"},
		"a bad one and a good one": {"Bearer x", "Bearer " + good},
	} {
		if v.s.firstHeader && strings.HasSuffix(values[0], good) {
			continue
		}
		v.refused(what, http.Header{"Authorization": values}, 400, 401)
	}
	v.refused("a token in a cookie", http.Header{"Cookie": {"authorization=" + good}}, 401)
	response, _, arrived := v.visit(http.MethodGet, protectedPath+"?access_token="+good+"&authorization="+good, nil, "")
	if response.StatusCode != 401 || len(arrived) != 0 {
		v.t.Errorf("a token in the query: %d", response.StatusCode)
	}
	if v.s.plainRefusal {
		return
	}
	header := http.Header{"Request-Id": {rid()}}
	response, body, _ := v.visit(http.MethodGet, protectedPath, header, "")
	if body = strings.TrimSpace(body); response.Header.Get("Content-Type") != "application/json" || body != `{"code":401,"message":"401 Unauthorized"}` ||
		response.Header.Get("WWW-Authenticate") != "Bearer" || response.Header.Get("request-id") != header.Get("request-id") {
		v.t.Errorf("a refusal is in the service's form, but: %v %s", response.Header, body)
	}
}

// anyMethod: whatever the method, the token decides, and the body arrives.
func (v *visitor) anyMethod() {
	for _, method := range []string{
		http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions, "PROPFIND",
	} {
		body := ""
		if method != http.MethodGet && method != http.MethodHead {
			body = strings.Repeat("body ", 8000)
		}
		header := v.token()
		header.Set("X-Http-Method-Override", "GET")
		response, _, arrived := v.visit(method, protectedPath, header, body)
		if response.StatusCode != 200 || len(arrived) != 1 || arrived[0].method != method || arrived[0].body != body {
			v.t.Errorf("%s: %d, arrived %d times", method, response.StatusCode, len(arrived))
		}
		header.Del("Authorization")
		response, _, arrived = v.visit(method, protectedPath, header, body[:min(len(body), 500)])
		if response.StatusCode != 401 || len(arrived) != 0 {
			v.t.Errorf("%s without a token: %d, arrived %d times", method, response.StatusCode, len(arrived))
		}
	}
}

// anyPath: what is written in a path arrives as it is written.
func (v *visitor) anyPath() {
	for _, target := range []string{"/api/", "/api/a%2Fb", "/api/a%20b?x=%2F%20&y", "/api/%D0%B6/%25", "/api/a//b", "/api/a;b=c/@:!$&'()*+,", "/api/a.b/..c"} {
		response, _, arrived := v.visit(http.MethodGet, target, v.token(), "")
		if response.StatusCode != 200 || len(arrived) != 1 || !strings.HasPrefix(arrived[0].target, target) {
			v.t.Errorf("%s: %d, arrived as %v", target, response.StatusCode, arrived)
		}
	}
}

// anySpelling: no spelling of a path reaches the upstream without a token, and none arrives changed with one.
func (v *visitor) anySpelling() {
	for _, target := range []string{
		"/api/orders", "//api/orders", "/api//orders", "///api/orders", "/./api/orders", "/api/./orders", "/v1/../api/orders", "/v1/%2e%2e/api/orders",
		"/v1/..%2fapi/orders", "/v1/..%2Fapi%2Forders", "/api/../api/orders", "/api/%2e%2e/api/orders", "/api/%2e%2e/v1/version", "/api/..%2fv1/version",
		"/%61pi/orders", "/%2561pi/orders", "/api%2forders", "/api%2Forders", "/API/orders", "/Api/orders", "/api;x=1/orders", "/api/;/orders", "/api",
		"/api%00/orders", "/api/orders%00", "/api\\orders", "\\api\\orders", "/api/orders#x", "/api?/orders", "/v1/version?/api/orders", "/v1/version;/api/orders",
		"/v1/version/../../api/orders", "/docs/..%2f..%2fapi/orders", "/u/../api/orders", "/.well-known/../api/orders", "/api/orders/..;/", "/..;/api/orders",
		"http://127.0.0.1/api/orders", "http://other.example.test/api/orders", "*", "/_financelime_verify", "/api/orders/%2e%2e/%2e%2e/v1/oauth/verify",
	} {
		for _, method := range []string{"GET", "POST", "OPTIONS"} {
			for _, token := range []string{"", v.session.AccessToken} {
				mark := "mark-" + uuid.NewString()
				status := v.raw(method, target, token, mark)
				arrived := v.s.upstream.find(mark)
				if token == "" && len(arrived) != 0 {
					v.t.Errorf("%s %s: status %d without a token, and the upstream got %v", method, target, status, arrived)
				}
				for _, a := range arrived {
					if !v.s.sameTarget(target, a.target) {
						v.t.Errorf("%s %s arrived as %s", method, target, a.target)
					}
				}
			}
		}
	}
}

// sameTarget tells whether a target arrived as it was sent: without the host that it may have, and with a # that does not belong
// there as it is, escaped or cut off.
func (r *recipe) sameTarget(sent, arrived string) bool {
	for _, host := range []string{"http://127.0.0.1", "http://other.example.test"} {
		sent, arrived = strings.TrimPrefix(sent, host), strings.TrimPrefix(arrived, host)
	}
	if r.decodes {
		decode := strings.NewReplacer("%2e", ".", "%2f", "%2F", "%61", "a")
		sent, arrived = decode.Replace(sent), decode.Replace(arrived)
	}
	return arrived == sent || arrived == strings.ReplaceAll(sent, "#", "%23") || arrived == strings.TrimSuffix(sent, "#x")
}

// raw sends what no client library would, and returns the status; 0 when the connection was closed without one.
func (v *visitor) raw(method, target, token, mark string) int {
	v.t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: clientAddr.AsSlice()}, Timeout: 10 * time.Second}
	connection, err := dialer.DialContext(v.t.Context(), "tcp", v.s.addr)
	if err != nil {
		v.t.Fatal(err)
	}
	defer connection.Close()
	_ = connection.SetDeadline(time.Now().Add(30 * time.Second))
	lines := method + " " + target + " HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nx-mark: " + mark + "\r\n" +
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

// upstreamAnswersItself: what the upstream answers is not taken for an answer of the gateway.
func (v *visitor) upstreamAnswersItself() {
	for _, status := range []int{400, 401, 403, 404, 500, 503} {
		response, body, _ := v.visit(http.MethodGet, fmt.Sprintf("%s?answer=%d", protectedPath, status), v.token(), "")
		if response.StatusCode != status || body != fmt.Sprintf("%d of the upstream", status) {
			v.t.Errorf("the upstream's %d came as %d %s", status, response.StatusCode, body)
		}
	}
}

// sessionEnds: a gateway that asks sees it at once. One that verifies by itself lets the token live on until it expires, as the
// contract says of access tokens.
func (v *visitor) sessionEnds() {
	header := v.token()
	v.want("end the session", v.endByPath(v.session.SessionID), 204)
	response, body, arrived := v.visit(http.MethodGet, protectedPath, header, "")
	switch {
	case v.s.asks && (response.StatusCode != 401 || len(arrived) != 0):
		v.t.Errorf("the session has ended: %d %s", response.StatusCode, body)
	case !v.s.asks && (response.StatusCode != 200 || len(arrived) != 1):
		v.t.Errorf("the token has not expired: %d %s", response.StatusCode, body)
	}
	v.login()
	v.comesThrough()
}

// serviceIsAway: a gateway that asks lets nobody through then; one that verifies by itself goes on.
func (v *visitor) serviceIsAway() {
	v.s.service.Kill(v.t)
	response, body, arrived := v.visit(http.MethodGet, protectedPath, v.token(), "")
	switch {
	case v.s.asks && (response.StatusCode < v.s.away || len(arrived) != 0):
		v.t.Errorf("nobody could be asked: %d %s", response.StatusCode, body)
	case !v.s.asks && (response.StatusCode != 200 || len(arrived) != 1):
		v.t.Errorf("nobody needs to be asked: %d %s", response.StatusCode, body)
	}
	v.refused("no token, without the service", nil, 401, 500, 502, 503, 504)
}
