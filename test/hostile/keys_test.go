package hostile

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// secretNames are the fields and parameters whose value is a secret or an ID.
var secretNames = []string{"password", "inviteCode", "refreshToken", "sessionID", "confirmationKey", "linkKey"}

// alteredKeys returns changes of a key. None of them may be accepted instead of the key.
func alteredKeys(key string) map[string]string {
	return map[string]string{
		"one shorter": key[:len(key)-1], "one longer": key + "A", "without the first": key[1:], "half": key[:len(key)/2], "80 of it": key[:min(80, len(key)-1)], "twice": key + key,
		"the first letter": key[:1], "letter case swapped": swapCase(key), "upper case": strings.ToUpper(key) + "\u200b", "in the other base64": swapAlphabet(key),
		"padded": key + "=", "padded twice": key + "==", "a NUL at the end": key + "\x00", "a line feed at the end": key + "\n", "CRLF at the end": key + "\r\n", "a space at the end": key + " ",
		"a space before": " " + key, "wrapped as mail does": key[:20] + "=\r\n" + key[20:], "wrapped": key[:20] + "\n" + key[20:], "a BOM before": "\ufeff" + key, "ZWSP inside": key[:9] + "\u200b" + key[9:],
		"percent-encoded": "%" + fmt.Sprintf("%02x", key[0]) + key[1:], "percent-encoded twice": "%25" + fmt.Sprintf("%02x", key[0]) + key[1:], "quoted": `"` + key + `"`, "in braces": "{" + key + "}",
		"a URN": "urn:uuid:" + key, "a wildcard": key[:len(key)-1] + "*", "a pattern": key[:len(key)-1] + "_", "a percent": key[:4] + "%", "a comma list": key + "," + key, "full-width": fullWidth(key),
		"one letter changed": changeLetter(key, len(key)/2), "the last letter changed": changeLetter(key, 1), "a query at the end": key + "?x=1", "a fragment at the end": key + "#x",
		"a path parameter at the end": key + ";a=b", "an extension at the end": key + ".json", "a slash at the end": key + "/", "up and down": "x/../" + key, "a dot before": "./" + key,
	}
}

func swapCase(s string) string {
	swapped := strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z':
			return r - 32
		case 'A' <= r && r <= 'Z':
			return r + 32
		}
		return r
	}, s)
	return swapped
}

// swapAlphabet converts base64url to standard base64.
func swapAlphabet(s string) string {
	swapped := strings.NewReplacer("-", "+", "_", "/").Replace(s)
	if swapped == s { // no character differs between the two alphabets
		return s + "+/"
	}
	return swapped
}

// fullWidth replaces ASCII characters by their full-width forms.
func fullWidth(s string) string {
	return strings.Map(func(r rune) rune { return r - '!' + '\uff01' }, s)
}

// changeLetter replaces one character of a key by another one of the same kind. The position is counted from the end.
func changeLetter(s string, fromEnd int) string {
	changed := []byte(s)
	switch c := &changed[len(s)-fromEnd]; {
	case '0' <= *c && *c <= '8', 'a' <= *c && *c <= 'y', 'A' <= *c && *c <= 'Y':
		*c++
	case *c == '9':
		*c = '0'
	default:
		*c = 'a'
	}
	return string(changed)
}

// keyAttacks returns altered values of every secret and ID of the operation.
func keyAttacks(t *testing.T, op operation) []attack {
	t.Helper()
	var all []attack
	for _, name := range secretNames {
		if slices.Contains(op.fields(), name) {
			for i, how := range slices.Sorted(maps.Keys(alteredKeys(strings.Repeat("k", 43)))) {
				if name == "password" && !full && i%4 != 0 { // each needs a password hash
					continue
				}
				all = append(all, attack{name: name + " " + how, request: func(env *environment) request {
					v := op.valuesFor(env, name)
					v[name] = alteredKeys(env.accepted[name])[how]
					return op.request(t, v)
				}})
			}
		}
		for _, p := range op.parameters {
			if p.Name == name && p.In == openapi3.ParameterInPath {
				all = append(all, op.alteredInPath(t, name)...)
			}
		}
	}
	return all
}

func (op operation) alteredInPath(t *testing.T, name string) []attack {
	t.Helper()
	var all []attack
	for how := range sorted(alteredKeys(strings.Repeat("k", 43))) {
		for _, escape := range []struct {
			how string
			of  func(string) string
		}{
			{"escaped", url.PathEscape},
			{"escaped twice", func(s string) string { return url.PathEscape(url.PathEscape(s)) + "%25" }},
			{"every byte escaped", escapeAll},
		} {
			all = append(all, attack{name: name + " " + how + ", " + escape.how, want: notFound(op), request: func(env *environment) request {
				v := op.valuesFor(env, name)
				r := op.request(t, v)
				r.target = op.targetWith(func(p *openapi3.Parameter) string {
					if p.Name == name {
						return escape.of(alteredKeys(v[name])[how])
					}
					return url.QueryEscape(v[p.Name])
				})
				return r
			}})
		}
	}
	return all
}

// notFound returns the statuses of an operation whose path has an unknown ID or key.
func notFound(op operation) []int {
	if op.method == "DELETE" {
		return []int{204, 400, 404}
	}
	return []int{400, 404}
}

// escapeAll percent-encodes every byte.
func escapeAll(s string) string {
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, "%%%02X", s[i])
	}
	return b.String()
}

// pathValues are neither IDs nor keys. They are sent in the request target as they are.
var pathValues = []string{
	"%20", "%00", "a%00", "%0a", "%0d%0aX:%20canary", "%2e", "%2e%2e", "%2e%2e%2f", "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "..%5c", "..;", "%252e%252e%252f", "..%c0%af", "%c0%ae%c0%ae", "%ff", "%ed%a0%80",
	"%u002e", "%zz", "%", "%1", "*", "me", "0", "-1", "1;--", "'%20OR%201=1--canary", "%27%20OR%201=1--", "null", "undefined", "NaN", "true", "[]", "{}", "%7Bid%7D", "$ne", "a,b", "a;b=c", "a&b", "a+b", "a=b", "@", "~", "!",
	"019AAF6E-9C2B-7C41-8B1E-2F60A4A9D1C7", "%7B019aaf6e-9c2b-7c41-8b1e-2f60a4a9d1c7%7D", "urn:uuid:019aaf6e-9c2b-7c41-8b1e-2f60a4a9d1c7", "00000000-0000-0000-0000-000000000000", "019aaf6e9c2b7c418b1e2f60a4a9d1c7",
	"ffffffff-ffff-ffff-ffff-ffffffffffff", "%D9%A1%D9%A2", "%EF%BC%90", "%E2%80%AE", "%F0%9F%98%80", "a%2fb", "a%5cb", "a%3fb", "a%23b", "a%25b", "a\\b", "a\"b", "<canary>", "a|b", "a^b", "a`b", "a{b", "con", "aux.txt", ".git", ".env",
	"x.js", "docs.js%00.css", "docs.js.map", "DOCS.JS", "server.go", "page.html", "a\xffb", "\u00e9", strings.Repeat("a", 128), strings.Repeat("a", 129), strings.Repeat("a", 3000), strings.Repeat("%41", 1000), strings.Repeat("../", 1000),
	strings.Repeat("a/", 1000), strings.Repeat(".", 3000),
}

// similarPaths returns variants of a path that a proxy or a router could treat as the path.
func similarPaths(path string) map[string]string {
	return map[string]string{
		"a leading slash": "/" + path, "a slash at the end": path + "/", "slashes inside": strings.ReplaceAll(path, "/", "//"), "a dot at the end": path + ".", "a dot segment": "/." + path,
		"up and down": "/x/.." + path, "up and down, escaped": "/x/%2e%2e" + path, "up and down, as in Tomcat": "/x/..;" + path, "a path parameter": path + ";a=b", "a path parameter at the start": "/;a=b" + path,
		"upper case": strings.ToUpper(path), "a backslash": `/\` + path[1:], "an escaped slash": "/%2f" + strings.ReplaceAll(path[1:], "/", "%2f"), "an escaped letter": fmt.Sprintf("/%%%02x%s", path[1], path[2:]), "a space at the end": path + "%20",
		"a NUL at the end": path + "%00", "a line feed at the end": path + "%0a", "an escaped query": path + "%3fx=1", "an extension": path + ".json", "a bad escape": path + "%zz", "full-width": "/\uff56" + path[2:], "a BOM": "/%ef%bb%bf" + path[1:],
	}
}

// pathAttacks returns invalid path and query parameters, and variants of the path of an operation.
func pathAttacks(t *testing.T, op operation) []attack {
	t.Helper()
	var all []attack
	for _, p := range op.parameters {
		if p.In != openapi3.ParameterInPath && p.In != openapi3.ParameterInQuery {
			continue
		}
		for _, raw := range pathValues {
			if p.In == openapi3.ParameterInQuery && !op.malformedInQuery(p, raw) {
				continue
			}
			all = append(all, attack{name: fmt.Sprintf("%s is %.60q", p.Name, raw), want: []int{204, 400, 401, 403, 404, 414}, request: func(env *environment) request {
				v := op.valuesFor(env, p.Name)
				r := op.request(t, v)
				r.target = op.targetWith(func(q *openapi3.Parameter) string {
					if q.Name == p.Name {
						return raw
					}
					return url.QueryEscape(v.of(q.Name, q.Example, q.Schema.Value))
				})
				return r
			}})
		}
	}
	for how := range sorted(similarPaths("/v1")) {
		all = append(all, attack{name: "the path with " + how, want: []int{204, 400, 401, 403, 404, 405}, request: func(env *environment) request {
			r := op.request(t, env.rejected)
			path, query, _ := strings.Cut(r.target, "?")
			r.target = similarPaths(path)[how] + "?" + query
			return r
		}})
	}
	for _, query := range []string{"limit=-1", "limit=1e9", "limit=1;--", "limit=0", "cursor=canary", "sort=id;DROP%20TABLE%20account", "a[]=1&a[]=2", "access_token=canary", "email=canary@example.com", "_method=DELETE", "callback=f", "%00=%00",
		"x=" + strings.Repeat("y", 3000), strings.Repeat("a=b&", 700), "rid2=%zz", "debug=true", "__proto__[x]=1", ";", "&&&", "="} {
		all = append(all, op.variant(t, fmt.Sprintf("the query %.40q", query), func(_ *environment, r *request) {
			separator := "?"
			if strings.Contains(r.target, "?") {
				separator = "&"
			}
			r.target += separator + query
		}))
	}
	return all
}

// malformedInQuery reports whether a raw value is invalid for a query parameter.
func (op operation) malformedInQuery(p *openapi3.Parameter, raw string) bool {
	text, err := url.QueryUnescape(raw)
	return err != nil || p.Schema.Value.VisitJSON(text) != nil
}
