package contract

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/financelime/authorization/test/harness"
)

// body is a valid body of an operation, and the names of its string fields.
type body struct {
	operation
	json   string
	fields []string
}

func bodies() []body {
	return []body{
		{operation{http.MethodPost, "/v1/user/signup"}, `{"email":"a@example.com","inviteCode":"c","language":"en"}`, []string{"email", "inviteCode", "language"}},
		{operation{http.MethodPost, "/v1/user/password"}, `{"email":"a@example.com"}`, []string{"email"}},
		{operation{http.MethodPost, "/v1/oauth/create"}, `{"email":"a@example.com","password":"p","clientID":"c","device":{"platform":"x"}}`, []string{"email", "password", "clientID", "device"}},
		{operation{http.MethodPut, "/v1/oauth/refresh"}, `{"refreshToken":"a.b.c"}`, []string{"refreshToken"}},
		{operation{http.MethodPut, "/v1/user/password"}, `{"currentPassword":"p","newPassword":"q"}`, []string{"currentPassword", "newPassword"}},
		{operation{http.MethodPost, "/v1/user/email"}, `{"newEmail":"a@example.com"}`, []string{"newEmail"}},
		{operation{http.MethodPost, "/v1/oauth/step_up"}, `{"password":"p"}`, []string{"password"}},
		{operation{http.MethodPut, "/v1/user/totp"}, `{"code":"123456"}`, []string{"code"}},
		{operation{http.MethodPost, "/v1/oauth/second_factor"}, `{"ticket":"a.b.c","code":"123456"}`, []string{"ticket", "code"}},
		{operation{http.MethodPost, "/v1/user/passkey/add"}, `{"ceremony":"a.b.c","name":"n","credential":{"id":"AA","rawId":"AA","type":"public-key","response":{"clientDataJSON":"e30"}}}`, []string{"ceremony", "name", "credential"}},
		{operation{http.MethodPut, "/v1/user/passkey/" + someSession}, `{"name":"n"}`, []string{"name"}},
		{operation{http.MethodPost, "/v1/oauth/passkey"}, `{"ceremony":"a.b.c","clientID":"c","credential":{"id":"AA","rawId":"AA","type":"public-key","response":{"clientDataJSON":"e30"}},"device":{"platform":"x"}}`, []string{"ceremony", "clientID", "device"}},
		{operation{http.MethodDelete, "/v1/session/remove"}, `{"sessionID":"x"}`, []string{"sessionID"}},
		{operation{http.MethodPost, unknownPageLink + "?rid=" + rid()}, `{"newPassword":"q"}`, []string{"newPassword"}},
	}
}

// hostile returns invalid variants of a valid body.
func hostile(good body) map[string]string {
	first := good.fields[0]
	bad := map[string]string{
		"empty":              "",
		"white space":        " \r\n\t",
		"null":               "null",
		"array":              "[" + good.json + "]",
		"string":             `"x"`,
		"number":             "1",
		"no fields":          "{}",
		"cut off":            good.json[:len(good.json)-1],
		"two objects":        good.json + good.json,
		"trailing text":      good.json + " x",
		"trailing comma":     strings.TrimSuffix(good.json, "}") + ",}",
		"BOM":                "\ufeff" + good.json,
		"duplicate key":      strings.TrimSuffix(good.json, "}") + `,"` + first + `":"b@example.com"}`,
		"escaped duplicate":  strings.TrimSuffix(good.json, "}") + fmt.Sprintf(`,"\u%04x%s":"b@example.com"}`, first[0], first[1:]),
		"case duplicate":     strings.TrimSuffix(good.json, "}") + `,"` + strings.ToUpper(first) + `":"b@example.com"}`,
		"wrong case":         strings.Replace(good.json, `"`+first+`"`, `"`+strings.ToUpper(first)+`"`, 1),
		"unknown key":        strings.TrimSuffix(good.json, "}") + `,"role":"admin"}`,
		"mass assignment":    strings.TrimSuffix(good.json, "}") + `,"id":"1","confirmed":true}`,
		"__proto__":          strings.TrimSuffix(good.json, "}") + `,"__proto__":{"x":1}}`,
		"comment":            "/* x */" + good.json,
		"single quotes":      strings.ReplaceAll(good.json, `"`, `'`),
		"NaN":                strings.Replace(good.json, `":`, `":NaN,"x":`, 1),
		"UTF-16":             "\xff\xfe{\x00}\x00",
		"deep":               strings.Repeat(`{"a":`, 9) + "1" + strings.Repeat("}", 9),
		"very deep":          strings.Repeat("[", 8000) + strings.Repeat("]", 8000),
		"many keys":          "{" + strings.TrimSuffix(strings.Repeat(`"":0,`, 3000), ",") + "}",
		"a form":             first + "=a%40example.com",
		"a bad escape":       strings.Replace(good.json, `":"`, `":"\x`, 1),
		"a huge number":      `{"` + first + `":1e999999999}`,
		"an object as value": `{"` + first + `":{"$gt":""}}`,
	}
	for _, field := range good.fields {
		for name, value := range map[string]string{
			"null": "null", "number": "1", "bool": "true", "array": "[]", "list": `["a@example.com","b@example.com"]`, "1e400": "1e400",
			"NUL": `"a\u0000@example.com"`, "raw NUL": "\"a\x00\"", "lone surrogate": `"\ud800"`, "wrong surrogates": `"\udc00\ud800"`,
			"FF": "\"\xff\"", "overlong": "\"\xc0\x80\"", "CESU": "\"\xed\xa0\x80\"", "beyond Unicode": "\"\xf4\x90\x80\x80\"",
			"truncated": "\"\xe2\x82\"", "raw newline": "\"a\nb\"", "very long": `"` + strings.Repeat("a", 13_000) + `"`,
		} {
			bad[field+" is "+name] = replaceValue(good.json, field, value)
		}
	}
	if strings.HasPrefix(good.path, "/l/") { // its field is optional
		delete(bad, "no fields")
	}
	for _, field := range good.fields {
		bad["without "+field] = strings.Replace(good.json, `"`+field+`"`, `"x`+field+`"`, 1)
	}
	return bad
}

// replaceValue sets a field of a flat JSON object (or one whose last field is an object) to another value.
func replaceValue(json, field, value string) string {
	before, after, _ := strings.Cut(json, `"`+field+`":`)
	end := strings.Index(after, `,"`)
	if strings.HasPrefix(after, "{") || end < 0 {
		return before + `"` + field + `":` + value + "}"
	}
	return before + `"` + field + `":` + value + after[end:]
}

// TestBadBodies expects 400 BAD_PARAMETERS and no change for invalid bodies, on every operation with a body.
func TestBadBodies(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		p := newPerson(t, s).join(s.Invite(t, 1))
		p.login()
		before := s.Snapshot(t)
		for _, good := range bodies() {
			for name, bad := range hostile(good) {
				response, answer := send(t, s, good.method, good.path, withToken(p), bad)
				wantFailure(t, good.path+": "+name, response, answer, 400, "BAD_PARAMETERS")
			}
			for _, contentType := range [][]string{
				nil, {""}, {"text/plain"}, {"application/x-www-form-urlencoded"}, {"multipart/form-data; boundary=x"}, {"application/xml"},
				{"application/json; charset=utf-16"}, {"application/json; charset=latin1"}, {"application/json;;"}, {"application/merge-patch+json"},
				{"application/json", "text/plain"}, {"text/json"},
			} {
				header := withToken(p)
				header["Content-Type"] = contentType
				response, answer := send(t, s, good.method, good.path, header, good.json)
				wantFailure(t, fmt.Sprintf("%s: content type %q", good.path, contentType), response, answer, 400, "BAD_PARAMETERS")
			}
			header := withToken(p)
			header.Set("Content-Encoding", "gzip")
			response, answer := send(t, s, good.method, good.path, header, "\x1f\x8b\x08\x00\x00\x00\x00\x00")
			wantFailure(t, good.path+": gzip", response, answer, 400, "BAD_PARAMETERS")
		}
		if after := s.Snapshot(t); after != before {
			t.Errorf("bad input has changed the database:\n%s\n\n%s", before, after)
		}
		if n := len(s.Mails(t)); n != 2 {
			t.Errorf("bad input has sent mail: %d mails, want 2", n)
		}
		for _, contentType := range []string{"application/json", "Application/JSON", `application/json; charset="UTF-8"`, "application/json;charset=utf-8"} {
			header := withToken(p)
			header.Set("Content-Type", contentType)
			response, _ := send(t, s, http.MethodDelete, "/v1/session/remove", header, `{"sessionID":"unknown"}`)
			wantStatus(t, contentType, response.StatusCode, 204)
		}
	})
}

func withToken(p *person) http.Header {
	header := jsonHeader()
	header.Set("Accept", "application/json") // for failures that may be pages
	header.Set("Authorization", "Bearer "+p.session.AccessToken)
	return header
}

// TestBadAddresses expects 400 for invalid addresses and for those that could become another recipient, header or route.
func TestBadAddresses(t *testing.T) {
	t.Parallel()
	bad := []string{
		"a@b.com,c@d.com", "Foo <a@b.com>", "<a@b.com>", "a@b.com (x)", `\"a b\"@b.com`, `\"x@evil.com x\"@internal.domain`,
		"a@[127.0.0.1]", "a@[IPv6:::1]", "a@b", "a@localhost", `a@b.com\r\nBcc:x@y.z`, `a@b.com\n`, `a@b.com\u2028`, `a@b.com\u0085`,
		`a@b.com>\r\nRCPT TO:<x>`, "a@b.com> SIZE=1", "a@b@c.com", ".a@b.com", "a..b@b.com", "a.@b.com", "a@b.com.",
		strings.Repeat("a", 65) + "@b.com", "a@" + strings.Repeat("b", 250) + ".com", "a@" + strings.Repeat("b", 64) + ".com",
		"=?utf-8?q?a=0d=0a?=@b.com", "a!b@c.com", "a%b@c.com", " a@b.com", "a@b.com ", `a@b.com\u00a0`, `\u200ba@b.com`, `\ta@b.com`, "-oQ/tmp@x.com",
		"a\u760d\u760ab@c.com", "a@xn--example-.com", "{{.}}@b.com", "m\u0130ke@b.com", "\u212aelvin@b.com", "a\uff20b.com", "\u202ea@b.com",
		"a@b.123", "@b.com", "a@", "a@-b.com", "a@b_c.com", "a b@c.com",
	}
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		code := s.Invite(t, 1)
		before := s.Snapshot(t)
		for _, address := range bad {
			for path, body := range map[string]string{
				"/v1/user/signup":   `{"email":"` + address + `","inviteCode":"` + code + `","language":"en"}`,
				"/v1/user/password": `{"email":"` + address + `"}`,
				"/v1/oauth/create":  `{"email":"` + address + `","password":"p","clientID":"c","device":{}}`,
			} {
				response, answer := send(t, s, http.MethodPost, path, jsonHeader(), body)
				wantFailure(t, path+" "+address, response, answer, 400, "BAD_PARAMETERS")
			}
		}
		if after := s.Snapshot(t); after != before {
			t.Errorf("a bad address has changed the database:\n%s\n\n%s", before, after)
		}
	})
}

// TestDevices expects limits on what a client sends about its device, and that unusual valid strings are returned unchanged.
func TestDevices(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, binary, contract, harness.SQLite)
	p := newPerson(t, s).join(s.Invite(t, 1))
	login := func(clientID, device string) (*http.Response, string) {
		return send(t, s, http.MethodPost, "/v1/oauth/create", jsonHeader(),
			fmt.Sprintf(`{"email":%q,"password":%q,"clientID":%s,"device":%s}`, p.email, p.password, clientID, device))
	}
	for _, device := range []string{
		"null", "[]", `"x"`, `{"width":-1}`, `{"width":1.5}`, `{"width":1e30}`, `{"width":"1"}`, `{"height":10000000}`, `{"platform":1}`,
		`{"platform":"` + strings.Repeat("x", 129) + `"}`, `{"platform":"a\nb"}`, `{"timezone":"\u001b[31m"}`, `{"language":null}`, `{"os":"x"}`,
	} {
		response, answer := login(`"c"`, device)
		wantFailure(t, device, response, answer, 400, "BAD_PARAMETERS")
	}
	for _, clientID := range []string{`""`, `"\u0007"`, `"ключ"`, `"` + strings.Repeat("c", 65) + `"`} {
		response, answer := login(clientID, "{}")
		wantFailure(t, clientID, response, answer, 400, "BAD_PARAMETERS")
	}
	odd := `<script>alert('x')</script> "\\ ' -- ; 日本語 🦊`
	response, _ := login(`"~ !"`, `{"platform":`+fmt.Sprintf("%q", odd)+`,"width":0,"height":1000000,"timezone":"Europe/Riga","language":"lv"}`)
	wantStatus(t, "an odd platform", response.StatusCode, 200)
	p.login()
	if got := p.sessions()[1].Platform; got != odd {
		t.Errorf("the platform came back as %q, not %q", got, odd)
	}
}
