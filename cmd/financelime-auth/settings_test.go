package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// load reads the settings as the program does.
func load(t *testing.T, args ...string) (Settings, error) {
	t.Helper()
	var cli commands
	parser, err := newParser(t.Context(), &cli, console{io.Discard, io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(append(args, "version")); err != nil {
		return cli.Settings, nameVariable(parser, err)
	}
	return cli.Settings, cli.complete()
}

// setting is one of the annotated struct.
type setting struct {
	field          int
	env, flag      string
	example, other string // a good value, and the default
	kind           textKind
	is             reflect.Type
}

func (s setting) text() bool { return s.is.Kind() == reflect.String }
func (s setting) list() bool { return s.is.Kind() == reflect.Slice }

// everySetting enumerates them, so that a new one is tested without a word here.
func everySetting(t *testing.T) []setting {
	t.Helper()
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const secret = "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA="
	examples := map[string]string{
		"AUTH_TRUSTED_PROXIES": "10.0.0.0/8", "AUTH_CORS_ORIGINS": "https://app.example.com", "AUTH_CLIENT_IDS": "web",
		"AUTH_SECRET": secret, "AUTH_SECRET_PREVIOUS": secret, "AUTH_TOKEN_ISSUER": "https://auth.example.com", "AUTH_TOKEN_AUDIENCE": "api",
		"AUTH_SECRET_FILE": file("secret", secret), "AUTH_SECRET_PREVIOUS_FILE": file("previous", secret),
		"AUTH_DATABASE_URL_FILE": file("database", "sqlite:x.db"), "AUTH_MAIL_URL_FILE": file("mail", "file:x"),
	}
	var all []setting
	fields := reflect.TypeFor[Settings]()
	for i := range fields.NumField() {
		field := fields.Field(i)
		s := setting{
			field: i, env: field.Tag.Get("env"), flag: field.Tag.Get("name"), other: field.Tag.Get("default"),
			kind: textKind(field.Tag.Get("text")), is: field.Type,
		}
		if s.env == "" {
			if field.IsExported() {
				t.Errorf("%s has no environment variable", field.Name)
			}
			continue
		}
		s.example = s.other
		if example, has := examples[s.env]; has {
			s.example = example
		}
		if s.example == "" {
			s.example = "example"
		}
		all = append(all, s)
	}
	return all
}

// What happens to each setting when its value comes out of a file, a script or a form: it is trimmed, refused with its name, or
// taken as it is. Never does it become another value.
func TestEverySettingWithOddText(t *testing.T) { //nolint:paralleltest // it sets the environment
	for _, s := range everySetting(t) {
		inside := func(odd string) string { return s.example[:1] + odd + s.example[1:] }
		good, refused := s.example, "refused"
		unset := refused // an empty text does not stand for a default
		if (s.text() || s.list()) && s.other == "" {
			unset = "" // but for nothing it may
		}
		blank, beyond := refused, refused
		if s.kind.blanks() {
			blank = "taken"
		}
		if s.kind.unicode() {
			beyond = "taken"
		}
		switch s.env {
		case "AUTH_MAIL_URL", "AUTH_DATABASE_URL": // the odd letter stands in the scheme
			inside = func(odd string) string { return s.example + odd + "x" }
		case "AUTH_SECRET_FILE", "AUTH_SECRET_PREVIOUS_FILE", "AUTH_DATABASE_URL_FILE", "AUTH_MAIL_URL_FILE":
			blank, beyond = refused, refused // there is no such file
		case "AUTH_PUBLIC_URL": // nor in a scheme; a host becomes ASCII
			inside = func(odd string) string { return "http://h" + odd + "st" }
			beyond = "http://xn--hst-sna"
		case "AUTH_CORS_ORIGINS":
			beyond = refused // with its form in ASCII
		}
		for _, c := range []struct{ name, value, want string }{
			{"as it is", s.example, good},
			{"blanks around", "  " + s.example + " ", good},
			{"a tab and a line end around", "\t" + s.example + "\r\n", good},
			{"a carriage return after", s.example + "\r", good},
			{"empty", "", unset},
			{"only blanks", " \t ", unset},
			{"only a line end", "\r\n", unset},
			{"double quotes around", `"` + s.example + `"`, refused},
			{"single quotes around", `'` + s.example + `'`, refused},
			{"a byte order mark before", "\ufeff" + s.example, refused},
			{"a carriage return inside", inside("\r"), refused},
			{"a line feed inside", inside("\n"), refused},
			{"a line after", s.example + "\nAUTH_HIDE_ACCOUNTS=true", refused},
			{"a tab inside", inside("\t"), refused},
			{"an escape inside", inside("\x1b"), refused},
			{"a zero-width space inside", inside("\u200b"), refused},
			{"a no-break space inside", inside("\u00a0"), refused},
			{"a right-to-left override inside", inside("\u202e"), refused},
			{"not UTF-8", inside("\xff"), refused},
			{"a blank inside", inside(" "), blank},
			{"a letter beyond ASCII inside", inside("\u00f6"), beyond},
		} {
			t.Run(s.env+"/"+c.name, func(t *testing.T) {
				t.Setenv(s.env, c.value)
				loaded, err := load(t)
				value := reflect.ValueOf(loaded).Field(s.field).Interface()
				switch {
				case c.want == refused:
					if err == nil {
						t.Fatalf("%q became %q", c.value, value)
					}
					if !strings.HasPrefix(err.Error(), s.env) {
						t.Errorf("the error does not begin with the name: %v", err)
					}
					if strings.Contains(s.env, "SECRET") && !strings.HasSuffix(s.env, "_FILE") && strings.Contains(err.Error(), s.example[2:]) {
						t.Errorf("the error shows the secret: %v", err)
					}
				case err != nil:
					t.Fatal(err)
				default:
					want := c.want
					if want == "taken" {
						want = c.value
					}
					t.Setenv(s.env, want)
					if want == "" {
						if err := os.Unsetenv(s.env); err != nil {
							t.Fatal(err)
						}
					}
					if plain, err := load(t); err != nil || !reflect.DeepEqual(value, reflect.ValueOf(plain).Field(s.field).Interface()) {
						t.Errorf("%q became %q, not what %q becomes: %v", c.value, value, want, err)
					}
				}
			})
		}
		t.Run(s.env+"/as a flag", func(t *testing.T) {
			if s.is.Kind() == reflect.Bool {
				return // --hide-accounts has no value to trim
			}
			for _, args := range [][]string{{"--" + s.flag + "= " + s.example + "\t"}, {"--" + s.flag, " " + s.example + " "}} {
				t.Setenv(s.env, s.example)
				want, err := load(t)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.Unsetenv(s.env); err != nil {
					t.Fatal(err)
				}
				got, err := load(t, args...)
				if err != nil || !reflect.DeepEqual(reflect.ValueOf(got).Field(s.field).Interface(), reflect.ValueOf(want).Field(s.field).Interface()) {
					t.Errorf("%q: %v", args, err)
				}
			}
		})
	}
}

// What is in a file may have a byte order mark and line ends around it, and nothing odd inside.
func TestSettingsInFiles(t *testing.T) { //nolint:paralleltest // it sets the environment
	for content, good := range map[string]bool{
		"sqlite:x.db": true, "sqlite:x.db\n": true, "\ufeffsqlite:x.db\r\n": true, "  sqlite:x.db\t\n\n": true,
		"": false, "\n": false, "\ufeff": false, "sqlite:x\r.db": false, "sqlite:x.db\nsqlite:y.db\n": false, `"sqlite:x.db"`: false, "sqlite:\xff": false,
	} {
		path := filepath.Join(t.TempDir(), "url")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Setenv("AUTH_DATABASE_URL_FILE", path)
		s, err := load(t)
		switch {
		case good && (err != nil || s.DatabaseURL != "sqlite:x.db"):
			t.Errorf("%q: %q, %v", content, s.DatabaseURL, err)
		case !good && (err == nil || !strings.HasPrefix(err.Error(), "AUTH_DATABASE_URL_FILE")):
			t.Errorf("%q: %v", content, err)
		}
	}
}

// One value each, what becomes of it, or that it is refused with the variable's name.
func TestSettingValues(t *testing.T) {
	t.Parallel()
	const refused = "refused"
	for _, c := range []struct{ flag, value, want string }{
		// Go takes an empty host for all addresses, and an empty port for any.
		{"admin-addr", "", refused},
		{"admin-addr", ":", refused},
		{"admin-addr", "127.0.0.1:", refused},
		{"admin-addr", "127.0.0.1", refused},
		{"admin-addr", "8081", refused},
		{"admin-addr", "127.0.0.1:http", refused},
		{"admin-addr", "127.0.0.1:-1", refused},
		{"admin-addr", "127.0.0.1:65536", refused},
		{"admin-addr", "::1:8081", refused},
		{"admin-addr", ":8081", ":8081"}, // meant: a container's probes. The mailbox answers on loopback only
		{"admin-addr", "[::1]:0", "[::1]:0"},
		{"http-addr", "", refused},
		{"http-addr", ":", refused},
		{"database-url", "sqlite:", refused},
		{"database-url", "sqlite://", refused},
		{"database-url", "sqlite:?mode=ro", refused},
		{"database-url", "sqlite::memory:", refused},
		{"mail-url", "file:", refused},
		{"mail-url", "http://localhost", refused},

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

		{"token-issuer", "https://auth.example.com\r", "https://auth.example.com"},
		{"token-issuer", "https://auth.example.com/", "https://auth.example.com/"}, // compared byte by byte: as it is
		{"token-issuer", "https://auth example.com", refused},
		{"token-issuer", "https://b\u00fccher.example", refused},
		{"token-issuer", "https://auth.example.com<", refused},
		{"token-audience", "a: b", refused},

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

		{"refresh-token-ttl", "30d", "720h0m0s"},
		{"refresh-token-ttl", "1d12h", "36h0m0s"},
		{"refresh-token-ttl", "30 d", refused},
		{"refresh-token-ttl", "30", refused},
		{"refresh-token-ttl", "1d-1h", refused},
		{"refresh-token-ttl", "-1d", refused},
		{"refresh-token-ttl", "999999d", refused},
		{"mail-from", "nobody", refused},
		{"mail-from", "\u0645\u06cc\u200c\u062e <a@b.example>", "\u0645\u06cc\u200c\u062e <a@b.example>"},
		{"mail-from", "zero\u200bwidth <a@b.example>", refused},
		{"mail-from", `"Acme, Inc." <no-reply@acme.example>`, `"Acme, Inc." <no-reply@acme.example>`},
	} {
		i := slices.IndexFunc(everySetting(t), func(s setting) bool { return s.flag == c.flag })
		s := everySetting(t)[i]
		loaded, err := load(t, "--"+c.flag+"="+c.value)
		if c.want == refused {
			if err == nil {
				t.Errorf("%s=%q is taken", s.env, c.value)
			} else if !strings.HasPrefix(err.Error(), s.env) {
				t.Errorf("%s=%q: %v", s.env, c.value, err)
			}
			continue
		}
		value := reflect.ValueOf(loaded).Field(s.field)
		if got := strings.TrimSpace(sprint(value.Interface())); err != nil || got != c.want {
			t.Errorf("%s=%q is %s, want %s: %v", s.env, c.value, got, c.want, err)
		}
	}
}

func sprint(v any) string {
	if d, is := v.(time.Duration); is {
		return d.String()
	}
	if list, is := v.([]string); is {
		return "[" + strings.Join(list, " ") + "]"
	}
	return reflect.ValueOf(v).String()
}

// An invite's life in days is read, and what is no duration is refused with a sentence.
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
