package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDevDefaults checks that --dev changes only defaults: a setting that was given, by flag or variable, keeps its value.
func TestDevDefaults(t *testing.T) { //nolint:paralleltest // it sets the environment
	s, err := load(t, "--dev")
	if err != nil {
		t.Fatal(err)
	}
	if s.HTTPAddr != "127.0.0.1:8080" || s.AdminAddr != "127.0.0.1:8081" || s.DatabaseURL != "sqlite:data/dev/auth.db" || s.MailURL != "file:data/dev/mail" {
		t.Errorf("%s, %s, %s, %s", s.HTTPAddr, s.AdminAddr, s.DatabaseURL, s.MailURL)
	}
	plain, err := load(t)
	if err != nil {
		t.Fatal(err)
	}
	for name, rate := range plain.limits() {
		if got := s.limits()[name]; got.Count != 1000*rate.Count || got.Per != rate.Per {
			t.Errorf("%s is %s, without --dev it is %s", name, got, rate)
		}
	}
	if allows := plain.devOrigins(); allows != nil {
		t.Error("without --dev, origins besides AUTH_CORS_ORIGINS are allowed")
	}
	if s, err = load(t, "--dev", "--dev-expose"); err != nil || s.HTTPAddr != ":8080" || s.AdminAddr != "127.0.0.1:8081" {
		t.Errorf("exposed: %s, %s, %v", s.HTTPAddr, s.AdminAddr, err)
	}

	database := filepath.Join(t.TempDir(), "url")
	if err := os.WriteFile(database, []byte("sqlite:x.db"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AUTH_DEV", "true")
	t.Setenv("AUTH_DATABASE_URL_FILE", database)
	t.Setenv("AUTH_LIMIT_LOGIN_ACCOUNT", "10/1m") // the default
	s, err = load(t, "--limit-mail-address=3/1h", "--mail-url", "file:data/mail", "--http-addr=localhost:8080")
	if err != nil {
		t.Fatal(err)
	}
	if s.DatabaseURL != "sqlite:x.db" || s.MailURL != "file:data/mail" || s.HTTPAddr != "localhost:8080" {
		t.Errorf("%s, %s, %s", s.DatabaseURL, s.MailURL, s.HTTPAddr)
	}
	if s.LoginAccount.Count != 10 || s.MailAddress.Count != 3 {
		t.Errorf("given limits became %s and %s", s.LoginAccount, s.MailAddress)
	}
	if s, err = load(t, "--no-dev"); err != nil || s.Dev || s.MailURL != "file:data/mail" || s.HTTPAddr != ":8080" {
		t.Errorf("--no-dev: %v, %s, %s, %v", s.Dev, s.MailURL, s.HTTPAddr, err)
	}
}

// TestDevValues checks what --dev refuses and allows.
func TestDevValues(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ args, wrong string }{
		{"--public-url=http://localhost:8080", ""},
		{"--public-url=https://localhost", ""},
		{"--public-url=http://auth.localhost:8080", ""},
		{"--public-url=http://127.0.0.1:8080/base", ""},
		{"--public-url=http://[::1]:8080", ""},
		{"--public-url=http://0.0.0.0:8080", "AUTH_PUBLIC_URL"},
		{"--public-url=http://192.168.0.7:8080", "AUTH_PUBLIC_URL"},
		{"--public-url=http://localhost.example.com", "AUTH_PUBLIC_URL"},
		{"--public-url=http://notlocalhost", "AUTH_PUBLIC_URL"},
		{"--public-url=https://auth.example.com --dev-expose", "AUTH_PUBLIC_URL"},
		{"--http-addr=127.0.0.1:1", ""},
		{"--http-addr=[::1]:1", ""},
		{"--http-addr=localhost:1", ""},
		{"--http-addr=:8080", "AUTH_HTTP_ADDR"},
		{"--http-addr=0.0.0.0:1", "AUTH_HTTP_ADDR"},
		{"--http-addr=[::]:1", "AUTH_HTTP_ADDR"},
		{"--http-addr=auth:1", "AUTH_HTTP_ADDR"},
		{"--http-addr=0.0.0.0:1 --dev-expose", ""},
		{"--admin-addr=:8081", "AUTH_ADMIN_ADDR"},
		{"--admin-addr=10.0.0.7:8081", "AUTH_ADMIN_ADDR"},
		{"--admin-addr=auth:8081 --dev-expose", ""},
		{"--mail-url=smtp://localhost:1025", ""},
		{"--mail-url=smtp://127.0.0.1:1025", ""},
		{"--mail-url=smtp://mailpit:1025", ""},
		{"--mail-url=smtp://host.docker.internal:1025", ""},
		{"--mail-url=smtp://u:hunter2@mail.example.com", "AUTH_MAIL_URL"},
		{"--mail-url=SMTPS://mail.example.com", "AUTH_MAIL_URL"},
		{"--mail-url=smtp://10.0.0.7:25", "AUTH_MAIL_URL"},
		{"--mail-url=smtp://[2001:db8::1]:25", "AUTH_MAIL_URL"},
		{"--mail-url=smtp://134744072:25", "AUTH_MAIL_URL"}, // 8.8.8.8 for the resolvers of operating systems
		{"--mail-url=smtp://0x08080808:25", "AUTH_MAIL_URL"},
		{"--mail-url=smtp://0X8080808:25", "AUTH_MAIL_URL"},
		{"--mail-url=smtp://01002004010", "AUTH_MAIL_URL"},
		{"--mail-url=smtp://3f2a9c:25", ""}, // the ID of a container
		{"--mail-url=FILE:mails", ""},
		{"--no-dev --dev-expose", "AUTH_DEV_EXPOSE"},
		{"--dev=maybe", "AUTH_DEV "},
		{"--dev-expose=maybe", "AUTH_DEV_EXPOSE"},
	} {
		args := strings.Fields(c.args)
		if !strings.Contains(c.args, "dev=") && !strings.Contains(c.args, "no-dev") {
			args = append(args, "--dev")
		}
		_, err := load(t, args...)
		switch {
		case c.wrong == "" && err != nil:
			t.Errorf("%s: %v", c.args, err)
		case c.wrong != "" && (err == nil || !strings.HasPrefix(err.Error(), c.wrong)):
			t.Errorf("%s: %v, want an error about %s", c.args, err, c.wrong)
		case err != nil && strings.Contains(err.Error(), "hunter2"):
			t.Errorf("%s: the error contains the password: %v", c.args, err)
		}
	}
}
