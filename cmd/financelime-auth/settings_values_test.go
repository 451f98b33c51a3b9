package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// settingValue is a value of a setting, and what it must become: refused, or the value as text.
type settingValue struct{ flag, value, want string }

func checkValues(t *testing.T, values []settingValue) {
	t.Helper()
	all := everySetting(t)
	for _, c := range values {
		s := all[slices.IndexFunc(all, func(s setting) bool { return s.flag == c.flag })]
		loaded, err := load(t, "--"+c.flag+"="+c.value)
		if c.want == refused {
			if err == nil {
				t.Errorf("%s=%q was accepted", s.env, c.value)
			} else if !strings.HasPrefix(err.Error(), s.env) {
				t.Errorf("%s=%q: %v", s.env, c.value, err)
			}
			continue
		}
		if got := strings.TrimSpace(fmt.Sprint(s.value(loaded))); err != nil || got != c.want {
			t.Errorf("%s=%q is %s, want %s: %v", s.env, c.value, got, c.want, err)
		}
	}
}

// TestAddressValues checks addresses and URLs that have no host, port or path. Go would accept an empty host as all addresses, and an
// empty port as any port.
func TestAddressValues(t *testing.T) {
	t.Parallel()
	checkValues(t, []settingValue{
		{"admin-addr", "", refused},
		{"admin-addr", ":", refused},
		{"admin-addr", "127.0.0.1:", refused},
		{"admin-addr", "127.0.0.1", refused},
		{"admin-addr", "8081", refused},
		{"admin-addr", "127.0.0.1:http", refused},
		{"admin-addr", "127.0.0.1:-1", refused},
		{"admin-addr", "127.0.0.1:65536", refused},
		{"admin-addr", "::1:8081", refused},
		{"admin-addr", ":8081", ":8081"}, // for the probes of a container; the mailbox still accepts loopback only
		{"admin-addr", "[::1]:0", "[::1]:0"},
		{"http-addr", "", refused},
		{"http-addr", ":", refused},
		{"database-url", "sqlite:", refused},
		{"database-url", "sqlite://", refused},
		{"database-url", "sqlite:?mode=ro", refused},
		{"database-url", "sqlite::memory:", refused},
		{"mail-url", "file:", refused},
		{"mail-url", "http://localhost", refused},
	})
}

// TestListValues checks lists: entries are trimmed, and an empty entry is refused.
func TestListValues(t *testing.T) {
	t.Parallel()
	checkValues(t, []settingValue{
		{"client-ids", "web, ios", "[web ios]"},
		{"client-ids", " web ,\tios ", "[web ios]"},
		{"client-ids", "my app", "[my app]"},
		{"client-ids", ",", refused},
		{"client-ids", "web,,ios", refused},
		{"client-ids", "web, ,ios", refused},
		{"client-ids", `"web,ios"`, refused},
		{"client-ids", "web,\r", "[web]"},
		{"client-ids", strings.Repeat("x", 65), refused},
		{"trusted-proxies", "10.0.0.1, 10.1.0.0/16", "[10.0.0.1 10.1.0.0/16]"},
		{"trusted-proxies", "10.0.0.1;10.0.0.2", refused},
	})
}

// TestIssuerValues checks issuer and audience. They are compared byte by byte, so they are not converted.
func TestIssuerValues(t *testing.T) {
	t.Parallel()
	checkValues(t, []settingValue{
		{"token-issuer", "https://auth.example.com\r", "https://auth.example.com"},
		{"token-issuer", "https://auth.example.com/", "https://auth.example.com/"}, // the slash stays
		{"token-issuer", "https://auth example.com", refused},
		{"token-issuer", "https://b\u00fccher.example", refused},
		{"token-issuer", "https://auth.example.com<", refused},
		{"token-audience", "a: b", refused},
	})
}

// TestPublicURLValues checks that the public URL is converted to its canonical form, or refused.
func TestPublicURLValues(t *testing.T) {
	t.Parallel()
	checkValues(t, []settingValue{
		{"public-url", "https://b\u00fccher.example", "https://xn--bcher-kva.example"},
		{"public-url", "https://B\u00dcCHER.example:8443/Pfad/", "https://xn--bcher-kva.example:8443/Pfad"},
		{"public-url", "https://\u043f\u0440\u0438\u043c\u0435\u0440.\u0440\u0444", "https://xn--e1afmkfd.xn--p1ai"},
		{"public-url", "https://b\u00fccher\u3002example", "https://xn--bcher-kva.example"},
		{"public-url", "https://b%C3%BCcher.example", "https://xn--bcher-kva.example"},
		{"public-url", "HTTPS://Auth.Example.com/", "https://auth.example.com"},
		{"public-url", "https://[2001:DB8::1]:8443", "https://[2001:db8::1]:8443"},
		{"public-url", "https://auth.example.com/b\u00fccher", refused},
		{"public-url", "https://b\u00fcch_er.example", refused},
		{"public-url", "https://auth..example.com", refused},
		{"public-url", "https://auth.example.com:0", refused},
		{"public-url", "https://auth.example.com:70000", refused},
		{"public-url", "https://auth.example.com:", refused},
		{"public-url", "https://auth.example.com\\evil", refused},
		{"public-url", "https://user@auth.example.com", refused},
		{"public-url", "https:///path", refused},
	})
}

// TestAppURLValues checks that the app's URL is one that a mail can carry and a page can link to, and that users enter no password on
// a page that anyone on the way can change.
func TestAppURLValues(t *testing.T) {
	t.Parallel()
	const host = "https://app.example.com"
	checkValues(t, []settingValue{
		{"app-url", "", ""},
		{"app-url", host, host},
		{"app-url", host + "/", host + "/"},
		{"app-url", "HTTPS://App.Example.com/Log/In/", host + "/Log/In/"},
		{"app-url", host + ":8443/login?from=mail&lang=en", host + ":8443/login?from=mail&lang=en"},
		{"app-url", host + "?from=mail", host + "?from=mail"},
		{"app-url", host + "/#/login?from=mail", host + "/#/login?from=mail"}, // an app that keeps its routes in the fragment
		{"app-url", host + "#", host + "#"},
		{"app-url", host + "/a%20b%C3%BC", host + "/a%20b%C3%BC"},
		{"app-url", "https://b\u00fccher.example/b\u00fccher?q=\u00fc#\u00fc", "https://xn--bcher-kva.example/b%C3%BCcher?q=%C3%BC#%C3%BC"},
		{"app-url", "https://\u043f\u0440\u0438\u043c\u0435\u0440.\u0440\u0444/\u0432\u0445\u043e\u0434", "https://xn--e1afmkfd.xn--p1ai/%D0%B2%D1%85%D0%BE%D0%B4"},
		{"app-url", "https://b%C3%BCcher.example/x", "https://xn--bcher-kva.example/x"},
		{"app-url", "http://localhost:3000/login", "http://localhost:3000/login"},
		{"app-url", "http://LOCALHOST:3000", "http://localhost:3000"},
		{"app-url", "http://app.localhost", "http://app.localhost"},
		{"app-url", "http://127.0.0.1:5173/", "http://127.0.0.1:5173/"},
		{"app-url", "http://[::1]:5173", "http://[::1]:5173"},
		{"app-url", host + "/" + strings.Repeat("a", 1000), host + "/" + strings.Repeat("a", 1000)},
		{"app-url", host + "/" + strings.Repeat("a", 1001), refused},
		{"app-url", host + "/" + strings.Repeat("\u00fc", 200), refused}, // 1200 characters when they are encoded
		{"app-url", "http://app.example.com", refused},
		{"app-url", "http://0.0.0.0:3000", refused}, // an address to listen on, not to open
		{"app-url", "http://localhost.example.com", refused},
		{"app-url", "http://127.0.0.1.example.com", refused},
		{"app-url", "http://localhost@app.example.com", refused},
		{"app-url", "https://user@app.example.com", refused},
		{"app-url", "https://user:hunter2@app.example.com", refused},
		{"app-url", "https://@app.example.com", refused},
		{"app-url", "app.example.com", refused},
		{"app-url", "/login", refused},
		{"app-url", "//app.example.com", refused},
		{"app-url", "https:app.example.com", refused},
		{"app-url", "https:///login", refused},
		{"app-url", "myapp://login", refused},
		{"app-url", "javascript:alert(1)", refused},
		{"app-url", "data:text/html,x", refused},
		{"app-url", "https://app.example.com\\@evil.example", refused},
		{"app-url", "https://app_.b\u00fccher.example", refused},
		{"app-url", "https://app.example.com:0", refused},
		{"app-url", "https://app.example.com:", refused},
		{"app-url", host + "/a b", refused},
		{"app-url", host + "/\u00a0", refused},
		{"app-url", host + `/"onmouseover="x`, refused},
		{"app-url", host + "/<b>", refused},
		{"app-url", host + "/?a=%zz", refused},
		{"app-url", host + "/?a=%4", refused},
		{"app-url", host + "/#%", refused},
		{"app-url", host + "/#a#b", refused},
		{"app-url", host + "/\\evil.example", refused},
		{"app-url", host + "/a\r\nBcc: x@y.example", refused},
	})
}

// TestOriginValues checks that only origins in the form that browsers and apps send are accepted.
func TestOriginValues(t *testing.T) {
	t.Parallel()
	checkValues(t, []settingValue{
		{"cors-origins", "capacitor://localhost", "[capacitor://localhost]"},
		{"cors-origins", "ionic://localhost, tauri://localhost,app://app.example", "[ionic://localhost tauri://localhost app://app.example]"},
		{"cors-origins", "app://.", "[app://.]"},
		{"cors-origins", "app://", "[app://]"},
		{"cors-origins", "chrome-extension://abcdefghijklmnop", "[chrome-extension://abcdefghijklmnop]"},
		{"cors-origins", "http://tauri.localhost", "[http://tauri.localhost]"},
		{"cors-origins", "capacitor://localhost:8100", "[capacitor://localhost:8100]"},
		{"cors-origins", "capacitor://localhost/", refused},
		{"cors-origins", "capacitor:localhost", refused},
		{"cors-origins", "Capacitor://localhost", refused},
		{"cors-origins", "capacitor://*", refused},
		{"cors-origins", "capacitor://user@localhost", refused},
		{"cors-origins", "null", refused},
		{"cors-origins", "*", refused},
		{"cors-origins", "file://", refused},
		{"cors-origins", "data://x", refused},
		{"cors-origins", "https://app.example.com/", refused},
		{"cors-origins", "https://app.example.com:443", refused},
		{"cors-origins", "http://app.example.com:80", refused},
		{"cors-origins", "https://app.example.com:80", "[https://app.example.com:80]"},
		{"cors-origins", "https://App.example.com", refused},
		{"cors-origins", "https://*.example.com", refused},
	})
}

// TestRangeValues checks durations with days, and the ranges of durations and numbers.
func TestRangeValues(t *testing.T) {
	t.Parallel()
	checkValues(t, []settingValue{
		{"refresh-token-ttl", "30d", "720h0m0s"},
		{"refresh-token-ttl", "1d12h", "36h0m0s"},
		{"refresh-token-ttl", "30 d", refused},
		{"refresh-token-ttl", "30", refused},
		{"refresh-token-ttl", "1d-1h", refused},
		{"refresh-token-ttl", "-1d", refused},
		{"refresh-token-ttl", "999999d", refused},
		{"refresh-token-ttl", "3650d", "87600h0m0s"},
		{"refresh-grace", "0s", "0s"},
		{"refresh-grace", "5m", "5m0s"},
		{"refresh-grace", "5m1s", refused},
		{"password-link-ttl", "24h1s", refused},
		{"sessions-per-user", "0", refused},
		{"sessions-per-user", "1", "1"},
		{"sessions-per-user", "10000", "10000"},
		{"sessions-per-user", "10001", refused},
	})
}

// TestMailFromValues checks the sender of emails.
func TestMailFromValues(t *testing.T) {
	t.Parallel()
	checkValues(t, []settingValue{
		{"mail-from", "nobody", refused},
		{"mail-from", "\u0645\u06cc\u200c\u062e <a@b.example>", "\u0645\u06cc\u200c\u062e <a@b.example>"},
		{"mail-from", "zero\u200bwidth <a@b.example>", refused},
		{"mail-from", `"Acme, Inc." <no-reply@acme.example>`, `"Acme, Inc." <no-reply@acme.example>`},
	})
}

// TestDaysOnTheCommandLine checks that --expires accepts days, and that an invalid duration is refused with one sentence.
func TestDaysOnTheCommandLine(t *testing.T) {
	t.Parallel()
	var stderr bytes.Buffer
	if status := run(t.Context(), []string{"invite", "create", "--expires=a month"}, io.Discard, &stderr); status != 1 ||
		!strings.Contains(stderr.String(), `"a month" is not a duration such as 90s, 30m, 720h or 30d`) {
		t.Errorf("status %d: %s", status, stderr.String())
	}
	database := []string{"--database-url=sqlite:" + filepath.Join(t.TempDir(), "a.db"), "--secret=q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA="}
	runs(t, append(database, "migrate")...)
	for life, want := range map[string]time.Duration{"30d": 720 * time.Hour, "1d12h": 36 * time.Hour} {
		var made struct{ Expires time.Time }
		out := runs(t, append(database, "invite", "create", "--expires="+life, "--json")...)
		if err := json.Unmarshal([]byte(out), &made); err != nil || time.Until(made.Expires).Round(time.Hour) != want {
			t.Errorf("%s: %s, %v", life, out, err)
		}
	}
}
