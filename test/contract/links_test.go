package contract

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/financelime/authorization/test/harness"
)

// TestEncodedLinks expects a link with percent-encoded letters to be the same link (RFC 3986 section 2.3).
func TestEncodedLinks(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		code := s.Invite(t, 10)
		for name, encode := range map[string]func(key string) string{
			"the first letter": func(key string) string { return fmt.Sprintf("%%%02X%s", key[0], key[1:]) },
			"in small letters": func(key string) string { return fmt.Sprintf("%%%02x%s", key[0], key[1:]) },
			"the last letter":  func(key string) string { return fmt.Sprintf("%s%%%02X", key[:len(key)-1], key[len(key)-1]) },
			"every letter": func(key string) string {
				return regexp.MustCompile(`.`).ReplaceAllStringFunc(key, func(c string) string { return fmt.Sprintf("%%%02X", c[0]) })
			},
		} {
			p := newPerson(t, s)
			p.want("sign up", p.signUp(code).StatusCode(), 204)
			path := p.mail().Link(t).RequestURI()
			key, query, _ := strings.Cut(strings.TrimPrefix(path, "/u/"), "?")
			for _, other := range []string{key[:len(key)-1] + "%2F", "%25" + encode(key)[1:], key + "%00"} {
				response, _ := send(t, s, http.MethodGet, "/u/"+other+"?"+query, nil, "")
				wantStatus(t, name+", another link", response.StatusCode, 404)
			}
			response, _ := send(t, s, http.MethodGet, "/u/"+encode(key)+"?"+query, nil, "")
			wantStatus(t, name, response.StatusCode, 200)
		}
	})
}

// TestPageOfALimit expects the page of a 429 to say when the link can be opened again, like Retry-After, in both languages.
func TestPageOfALimit(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, binary, contract, harness.SQLite, "AUTH_LIMITS=on", "AUTH_LIMIT_LINK_SOURCE=2/1h")
	guess := "/u/" + strings.Repeat("A", 43) + "?rid=" + rid()
	for range 2 {
		send(t, s, http.MethodGet, guess, nil, "")
	}
	for language, want := range map[string]string{"en": "in 30\u00a0minutes\\.", "ru": "через 30\u00a0минут\\."} {
		for _, accept := range []string{"text/html", "text/plain"} {
			response, body := send(t, s, http.MethodGet, guess, http.Header{"Accept": {accept}, "Accept-Language": {language}}, "")
			if response.StatusCode != 429 || !regexp.MustCompile(want).MatchString(body) || strings.Contains(body, "fault") {
				t.Errorf("%s, %s: %d, Retry-After %s:\n%s", language, accept, response.StatusCode, response.Header.Get("Retry-After"), body)
			}
		}
	}
}
