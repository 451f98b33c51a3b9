package main

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
)

// warned loads settings, and returns the names of the warnings and the log.
func warned(t *testing.T, environ []string, args ...string) ([]string, string) {
	t.Helper()
	var cli commands
	parser, err := newParser(t.Context(), &cli, console{io.Discard, io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	command, err := parser.Parse(append(args, "serve"))
	if err != nil {
		t.Fatal(err)
	}
	if err := cli.complete(); err != nil {
		t.Fatal(err)
	}
	cli.inspect(command, environ)
	var out bytes.Buffer
	cli.warn(t.Context(), slog.New(slog.NewJSONHandler(&out, nil)))
	var names []string
	for line := range strings.Lines(out.String()) {
		var event struct{ Level, Msg, Consequence, Variable string }
		if err := json.Unmarshal([]byte(line), &event); err != nil {
			t.Fatal(err)
		}
		if event.Level != "WARN" || event.Consequence == "" && event.Variable == "" {
			t.Errorf("no warning, or without a consequence: %s", line)
		}
		names = append(names, event.Msg)
	}
	return names, out.String()
}

// TestWarnings checks that settings that are valid but probably wrong are logged at startup, and nothing else.
func TestWarnings(t *testing.T) {
	t.Parallel()
	const (
		postgres = "--database-url=postgres://u:hunter2@db/auth"
		smtp     = "--mail-url=smtp://u:hunter2@mail.example.com"
		files    = "--mail-url=file:data/mail"
		public   = "--public-url=https://auth.example.com"
		local    = "settings.public_url_local"
		toFiles  = "settings.mail_to_files"
		exposed  = "settings.mailbox_exposed"
		localApp = "settings.app_url_local"
	)
	for _, c := range []struct {
		args, environ []string
		want          []string
	}{
		{nil, nil, nil}, // no settings
		{[]string{smtp}, nil, []string{local}},
		{[]string{postgres}, nil, []string{local, toFiles}},
		{[]string{postgres, smtp}, nil, []string{local}},
		{[]string{smtp, "--public-url=http://127.0.0.1:9000"}, nil, []string{local}},
		{[]string{smtp, "--public-url=http://[::1]:9000"}, nil, []string{local}},
		{[]string{smtp, "--public-url=http://LOCALHOST.:9000"}, nil, []string{local}},
		{[]string{smtp, "--public-url=http://auth.localhost"}, nil, []string{local}},
		{[]string{smtp, "--public-url=http://0.0.0.0:8080"}, nil, []string{local}},
		{[]string{smtp, public}, nil, nil},
		{[]string{smtp, public, postgres}, nil, nil},
		{[]string{public}, nil, []string{toFiles}},
		{[]string{smtp, public, "--app-url=http://localhost:3000"}, nil, []string{localApp}},
		{[]string{smtp, public, "--app-url=https://[::1]:3000"}, nil, []string{localApp}},
		{[]string{smtp, public, "--app-url=https://app.example.com"}, nil, nil},
		{[]string{smtp, "--app-url=http://localhost:3000"}, nil, []string{local}}, // the links are local, too
		{[]string{"--app-url=http://localhost:3000"}, nil, nil},
		{[]string{"--public-url=http://auth.example.com"}, nil, []string{toFiles}},
		{[]string{public, files}, nil, nil}, // set explicitly
		{[]string{public}, []string{"AUTH_MAIL_URL=file:data/mail"}, nil},
		{[]string{"--admin-addr=:8081"}, nil, nil}, // the mailbox accepts loopback only
		{[]string{"--admin-addr=[::]:8081"}, nil, nil},
		{[]string{"--admin-addr=localhost:8081"}, nil, nil},
		{[]string{"--admin-addr=10.0.0.7:8081"}, nil, []string{exposed}},
		{[]string{"--admin-addr=auth-admin:8081"}, nil, []string{exposed}},
		{[]string{"--admin-addr=10.0.0.7:8081", smtp, public}, nil, nil}, // no mailbox
	} {
		got, out := warned(t, c.environ, c.args...)
		if !slices.Equal(got, c.want) {
			t.Errorf("%q: %v, want %v", c.args, got, c.want)
		}
		if strings.Contains(out, "hunter2") {
			t.Errorf("a secret is in the log: %s", out)
		}
	}
}

// TestUnknownVariables checks that a misspelled variable is logged with the most similar setting, and without its value.
func TestUnknownVariables(t *testing.T) {
	t.Parallel()
	for name, nearest := range map[string]string{
		"AUTH_SECRT":            "AUTH_SECRET",
		"AUTH_SECRETS":          "AUTH_SECRET",
		"AUTH_SECRET_FIEL":      "AUTH_SECRET_FILE",
		"AUTH_MAIL_URI":         "AUTH_MAIL_URL",
		"AUTH_MAILURL":          "AUTH_MAIL_URL",
		"AUTH_DATABSE_URL":      "AUTH_DATABASE_URL",
		"AUTH_PUBLIC_ULR":       "AUTH_PUBLIC_URL",
		"AUTH_TRUSTED_PROXY":    "AUTH_TRUSTED_PROXIES",
		"AUTH_LIMIT_LOGIN_ACC":  "AUTH_LIMIT_LOGIN_ACCOUNT",
		"AUTH_REFRESH_TTL":      "AUTH_REFRESH_TOKEN_TTL",
		"Auth_Secret":           "AUTH_SECRET",
		"\ufeffAUTH_SECRET":     "AUTH_SECRET", // the first line of a file that has a byte order mark
		" AUTH_SECRET":          "AUTH_SECRET",
		"AUTH_SECRET ":          "AUTH_SECRET",
		"export AUTH_SECRET":    "AUTH_SECRET",
		"AUTH-SECRET":           "AUTH_SECRET",
		"auth.public.url":       "AUTH_PUBLIC_URL",
		"auth_public_url":       "AUTH_PUBLIC_URL",
		"AUTH_HTTP_ADDR":        "", // known
		"AUTH_SIGNING_KEY_LIFE": "", // hidden but known
		"PATH":                  "",
		"OAUTH_SECRET":          "",
		"auth_token":            "", // of another program
		"auth-proxy":            "",
	} {
		got, out := warned(t, []string{name + "=hunter2", "HOME=/"})
		if nearest == "" {
			if len(got) > 0 {
				t.Errorf("%s: %s", name, out)
			}
			continue
		}
		if len(got) != 1 || got[0] != "settings.unknown" || !strings.Contains(out, `"variable":"`+name+`","nearest":"`+nearest+`"`) {
			t.Errorf("%s: %s", name, out)
		}
		if strings.Contains(out, "hunter2") {
			t.Errorf("the value is in the log: %s", out)
		}
	}
}
