package hostile

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// ignoredHeaders must not affect any response. Other products had vulnerabilities with the first value of each.
var ignoredHeaders = []struct{ name, value string }{
	{"Host", "evil.example"}, {"Host", "evil.example:99999"}, {"Host", "[::1]"}, {"Host", "localhost"}, {"Host", strings.Repeat("a", 5000)}, {"Host", ""},
	{"X-Forwarded-Host", "evil.example"}, {"X-Forwarded-Proto", "http"}, {"X-Forwarded-Proto", "javascript"}, {"X-Forwarded-Port", "0"}, {"X-Forwarded-Prefix", "//evil.example"}, {"X-Forwarded-Server", "evil.example"},
	{"X-Host", "evil.example"}, {"Forwarded", "for=10.0.0.1;host=evil.example;proto=http"}, {"Forwarded", `for="[2001:db8::1]:80", for=_hidden;by=unknown`}, {"Forwarded", ";;=,"},
	{"X-Original-Url", "/v1/version"}, {"X-Rewrite-Url", "/v1/version"}, {"X-Original-Method", "DELETE"}, {"X-Http-Method-Override", "DELETE"}, {"X-Http-Method", "DELETE"}, {"X-Method-Override", "GET"},
	{"X-Forwarded-For", "10.0.0.1"}, {"X-Forwarded-For", strings.TrimSuffix(strings.Repeat("10.0.0.1, ", 1000), ", ")}, {"X-Forwarded-For", ", ,"}, {"X-Forwarded-For", "unknown"}, {"X-Forwarded-For", "10.0.0.1:80"},
	{"X-Forwarded-For", "[::1]:1"}, {"X-Forwarded-For", "::ffff:10.0.0.1"}, {"X-Forwarded-For", "FE80::1%eth0"}, {"X-Forwarded-For", "64:ff9b::10.0.0.1"}, {"X-Forwarded-For", "167772161"}, {"X-Forwarded-For", "012.0.0.1"},
	{"X-Forwarded-For", "' OR 1=1--"}, {"X_Forwarded_For", "10.0.0.1"}, {"X-Real-Ip", "10.0.0.1"}, {"X-Client-Ip", "10.0.0.1"}, {"True-Client-Ip", "10.0.0.1"}, {"Cf-Connecting-Ip", "10.0.0.1"}, {"Client-Ip", "10.0.0.1"}, {"Via", "1.1 canary"},
	{"User-Agent", "<script>canary</script>"}, {"User-Agent", strings.Repeat("u", 5000)}, {"User-Agent", "\xff\xfecanary"}, {"User-Agent", "() { :;}; echo canary"}, {"User-Agent", "${jndi:ldap://127.0.0.1/canary}"},
	{"Accept-Language", "../../../etc/passwd"}, {"Accept-Language", strings.Repeat("de,", 1500)}, {"Accept-Language", "\xff\xfe"}, {"Accept-Language", "de;q=NaN"}, {"Accept-Language", "*"}, {"Accept-Charset", "utf-7"}, {"Accept-Encoding", "gzip, br, zstd, *"},
	{"Referer", "https://evil.example/canary"}, {"Origin", "https://evil.example"}, {"Origin", "null"}, {"Cookie", strings.Repeat("a=;", 1500)}, {"Cookie", "authorization=canary; sid=canary"}, {"Purpose", "prefetch"}, {"Sec-Purpose", "prefetch"},
	{"Sec-Fetch-Site", "cross-site"}, {"Upgrade-Insecure-Requests", "1"}, {"If-Modified-Since", "canary"}, {"If-Match", "*"}, {"Range", "bytes=0-"}, {"Range", "bytes=" + strings.Repeat("0-0,", 1000)}, {"Te", "trailers"}, {"Dnt", "1"},
	{"X-Auth-User-Id", "canary"}, {"X-Auth-Session-Id", "canary"}, {"X-User", "admin"}, {"X-Api-Version", "-1"}, {"Traceparent", "00-canary"}, {"Content-Language", "canary"}, {"Content-Md5", "canary"}, {"Max-Forwards", "0"},
	{"Access-Control-Request-Method", "DELETE"}, {"Proxy-Authorization", "Basic canary"}, {"Proxy", "http://127.0.0.1:1"}, {"X-Request-Id", "canary"}, {"Request_id", "canary-underscore"}, {"Last-Event-Id", "canary"},
}

// invalidRequestIDs are malformed. No response and no log may contain them.
var invalidRequestIDs = []string{
	"canary!", "canary with space", "canary;drop", "canary\xff", "canary-\u00e4\u00e4", "canary<script>", `canary"quoted"`, "canary{{.}}", "canary%0d%0a", "canary\\n", strings.Repeat("canary", 22), "canary", "", "canary,other-1",
	"canary\tid-of-a-kind", "canary'--", "canary|pipe", strings.Repeat("canary", 1000),
}

// invalidContentTypes are not application/json in UTF-8.
var invalidContentTypes = []string{
	"", "text/plain", "text/json", "application/xml", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/json; charset=utf-16", "application/json; charset=latin1", "application/json; charset=utf-7",
	"application/json; charset=", "application/json;;", "application/json, text/plain", "application/merge-patch+json", "application/json-patch+json", "application/problem+json", "application/jsonp", "*/*", "application/*", "json", "APPLICATION/JSON5",
	"application/json; charset=utf-8; charset=utf-16", "application/json\xff", "text/plain; application/json", strings.Repeat("a", 3000) + "/json", "application/ld+json", "application/csp-report",
}

// unsupportedMethods are methods of no operation.
var unsupportedMethods = []string{"HEAD", "OPTIONS", "TRACE", "PATCH", "PROPFIND", "SEARCH", "QUERY", "PURGE", "DEBUG", "FOO", "get", "POST2", strings.Repeat("M", 2000)}

// headerAttacks returns forged hosts, methods, client IPs and other headers, and malformed values of every header that the service uses.
func headerAttacks(t *testing.T, op operation) []attack {
	t.Helper()
	var all []attack
	for _, h := range ignoredHeaders {
		all = append(all, op.variant(t, fmt.Sprintf("%s: %.40q", h.name, h.value), func(_ *environment, r *request) { r.header[h.name] = []string{h.value} }))
	}
	set := func(name, value string, want ...int) {
		all = append(all, op.variant(t, fmt.Sprintf("%s: %.40q", name, value), func(_ *environment, r *request) { r.header[name] = []string{value} }).expect(want...))
	}
	if !op.takes("rid") {
		for _, id := range invalidRequestIDs {
			set("Request-Id", id, 400)
		}
		all = append(all, op.variant(t, "two request-ids", func(_ *environment, r *request) {
			r.header["Request-Id"] = []string{"hostile-1-1", "hostile-2-2"}
		}).expect(400))
	}
	for _, accept := range []string{"", "*/*;q=0", "text/html;q=NaN", strings.Repeat("a/b,", 1000), "application/json;q=0.0001, */*;q=1e9", "\xff/\xfe", "image/png", "../../x", "application/xml", `a/b;c="\"`} {
		all = append(all, op.variant(t, fmt.Sprintf("Accept: %.40q", accept), func(_ *environment, r *request) { r.header["Accept"] = []string{accept} }).expect(200, 204, 400, 403, 404, 409))
	}
	for _, tag := range []string{"*", "", "W/", `"`, `W/"canary"`, strings.Repeat(`"a",`, 200), strings.Repeat("a", 1025), "\xff"} {
		all = append(all, op.variant(t, fmt.Sprintf("If-None-Match: %.40q", tag), func(_ *environment, r *request) { r.header["If-None-Match"] = []string{tag} }).expect(200, 204, 304, 400, 403, 404, 409))
	}
	if op.body != nil {
		for _, contentType := range invalidContentTypes {
			set("Content-Type", contentType, 400)
		}
		for _, encoding := range []string{"gzip", "br", "deflate", "identity, gzip", "zstd", "canary"} { // the body itself is not decompressed
			all = append(all, op.variant(t, "Content-Encoding: "+encoding, func(_ *environment, r *request) {
				r.header["Content-Encoding"] = []string{encoding}
				r.body = "\x1f\x8b\x08\x00\x00\x00\x00\x00"
			}).expect(400, 415))
		}
	}
	for _, method := range unsupportedMethods {
		if method != op.method {
			all = append(all, op.variant(t, "the method "+method[:min(9, len(method))], func(_ *environment, r *request) { r.method = method }).expect(404, 405))
		}
	}
	all = append(all, op.malformedHeads(t)...)
	return all
}

// takes reports whether an operation has a parameter.
func (op operation) takes(name string) bool {
	return slices.ContainsFunc(op.parameters, func(p *openapi3.Parameter) bool { return p.Name == name })
}

// malformedHeads returns requests with a malformed request line or malformed headers. net/http itself rejects most of them.
func (op operation) malformedHeads(t *testing.T) []attack {
	t.Helper()
	with := func(name string, change func(head string) string, want ...int) attack {
		return attack{name: name, want: want, request: func(env *environment) request {
			r := op.request(t, env.rejected)
			head, _, _ := strings.Cut(r.text(), "\r\n\r\n")
			r.head = change(head) + "\r\n\r\n"
			return r
		}}
	}
	line := func(l string) func(string) string {
		return func(head string) string { return strings.Replace(head, "\r\n", "\r\n"+l+"\r\n", 1) }
	}
	rejected, anyStatus := []int{400, 404, 405, 417, 431}, []int{200, 204, 400, 401, 403, 404, 405, 409, 431}
	return []attack{
		with("two hosts", line("Host: other.example"), 400),
		with("no host", func(head string) string { return strings.Replace(head, "\r\nHost: auth.example.test", "", 1) }, 400),
		with("a bad host", func(head string) string { return strings.Replace(head, "auth.example.test", "a b\x01", 1) }, 400),
		with("the absolute form", func(head string) string { return strings.Replace(head, " /", " http://evil.example/", 1) }, anyStatus...),
		with("the absolute form without a host", func(head string) string { return strings.Replace(head, " /", " gopher:///", 1) }, anyStatus...),
		with("a space in the target", func(head string) string { return strings.Replace(head, " HTTP/", " x HTTP/", 1) }, rejected...),
		with("no version", func(head string) string { return strings.Replace(head, " HTTP/1.1", "", 1) }, rejected...),
		with("HTTP/9.9", func(head string) string { return strings.Replace(head, "HTTP/1.1", "HTTP/9.9", 1) }, 505),
		with("a header without a name", line(": canary"), 400),
		with("a header with a space in its name", line("X Y: canary"), 400),
		with("a header without a colon", line("canary"), 400),
		with("a NUL in a header", line("X-Y: a\x00b"), 400),
		with("ANSI in a header", line("User-Agent: \x1b[31mcanary"), 400),
		with("64 KiB of a header", line("X-Y: "+strings.Repeat("y", 64<<10)), 431),
		with("2,000 headers", line(strings.TrimSuffix(strings.Repeat("X: y\r\n", 2000), "\r\n")), anyStatus...),
		with("64 KiB of headers", line(strings.TrimSuffix(strings.Repeat("X: y\r\n", 11000), "\r\n")), 431),
		with("5,000 cookies", line("Cookie: "+strings.Repeat("a=;", 5000)), anyStatus...),
		with("a target of 64 KiB", func(head string) string {
			return strings.Replace(head, " HTTP/", "?"+strings.Repeat("x", 64<<10)+" HTTP/", 1)
		}, 414, 431),
		with("an unknown expectation", line("Expect: canary"), 417),
	}
}

// badAuthorizations returns values of the header authorization that contain no valid credentials, with any token.
func badAuthorizations(token string) map[string][]string {
	return map[string][]string{
		"none": nil, "empty": {""}, "only the scheme": {"Bearer"}, "only the scheme and a space": {"Bearer "}, "two headers": {"Bearer " + token, "Bearer " + token}, "two tokens": {"Bearer " + token + " " + token},
		"a list": {"Bearer " + token + ", Bearer " + token}, "two spaces": {"Bearer  " + token}, "a tab": {"Bearer\t" + token}, "another scheme": {"Basic " + token}, "DPoP": {"DPoP " + token}, "Token": {"Token " + token}, "a name": {"Bearer token=" + token},
		"quoted": {`Bearer "` + token + `"`}, "in brackets": {"Bearer <" + token + ">"}, "with a colon": {"Bearer: " + token}, "the scheme twice": {"Bearer " + "Bearer " + token}, "null": {"Bearer null"}, "undefined": {"Bearer undefined"}, "star": {"Bearer *"},
	}
}

// tokenLocations returns changes that send a token elsewhere than in the header authorization.
func tokenLocations(token string) map[string]func(*request) {
	header := func(name, value string) func(*request) {
		return func(r *request) { r.header[name] = []string{value} }
	}
	return map[string]func(*request){
		"in the query":                  func(r *request) { r.target += "?access_token=" + token },
		"as authorization in the query": func(r *request) { r.target += "?authorization=Bearer%20" + token },
		"in a cookie":                   header("Cookie", "authorization=Bearer "+token+"; access_token="+token),
		"as X-Authorization":            header("X-Authorization", "Bearer "+token), "as X-Access-Token": header("X-Access-Token", token), "as Proxy-Authorization": header("Proxy-Authorization", "Bearer "+token),
		"as X-Forwarded-Authorization": header("X-Forwarded-Authorization", "Bearer "+token), "as Authorization_": header("Authorization_", "Bearer "+token), "as X-Auth-User-Id": header("X-Auth-User-Id", "019aaf6e-9c2b-7c41-8b1e-2f60a4a9d1c7"),
		"in a trailer": func(r *request) {
			length := fmt.Sprintf("%x", len(r.body))
			r.header["Transfer-Encoding"], r.header["Trailer"] = []string{"chunked"}, []string{"Authorization"}
			body := "0\r\n"
			if r.body != "" {
				body = length + "\r\n" + r.body + "\r\n0\r\n"
			}
			r.body = body + "Authorization: Bearer " + token + "\r\n\r\n"
		},
	}
}

// withHeader returns a change that replaces the values of a header, or deletes the header if there are none.
func withHeader(name string, values []string) func(*environment, *request) {
	return func(_ *environment, r *request) {
		if values == nil {
			delete(r.header, http.CanonicalHeaderKey(name))
			return
		}
		r.header[http.CanonicalHeaderKey(name)] = values
	}
}
