package db

import (
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// An error contains nothing of the URL. An accepted URL gets the default limits.
func FuzzPostgresURL(f *testing.F) {
	for _, seed := range []string{
		"postgres://u:hunter2@host:5432/auth?sslmode=verify-full&pool_max_conns=8", "postgresql://host/auth", "postgres://u:hunter2/x@host/auth",
		"postgres://u:p@h1:1,h2:2/auth?target_session_attrs=read-write", "postgres://u:%zz@host/auth", "postgres:///auth?host=/run", "postgres://",
		"postgres://u@h/a?pool_max_conns=0", "postgres://u@h/a?connect_timeout=-1", "postgres://[::1]:5432/a",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if scheme, _, _ := strings.Cut(text, ":"); scheme != "postgres" && scheme != "postgresql" {
			return // Open checks the scheme
		}
		config, err := postgresConfig(text)
		if err != nil {
			if err.Error() != errPostgresURL.Error() {
				t.Fatalf("%q: unexpected error: %v", text, err)
			}
			return
		}
		if config.MaxConns < 1 || config.MaxConnLifetime < 0 || strings.Contains(config.ConnConfig.Database, "@") ||
			config.ConnConfig.RuntimeParams["application_name"] == "" {
			t.Fatalf("%q: %+v", text, config)
		}
		if !strings.Contains(text, "timeout") && config.ConnConfig.ConnectTimeout != postgresConnectTimeout {
			t.Fatalf("%q: the connect timeout is %s", text, config.ConnConfig.ConnectTimeout)
		}
	})
}

// A path with any characters leads to that file and changes no setting of the connection.
func FuzzSQLitePath(f *testing.F) {
	for _, seed := range []string{
		"data/auth.db", "/var/lib/auth.db", "a b%20c#d'é.db", ":memory:", "?mode=memory", "//host/x", "x:y.db", "a?b", "\x00", "a&_synchronous=off", "..",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, rest string) {
		path, err := sqlitePath(rest)
		if err != nil {
			return
		}
		if path == "" || path == ":memory:" || strings.Contains(path, "?") || strings.HasPrefix(path, "//") {
			t.Fatalf("%q was accepted as %q", rest, path)
		}
		absolute, err := filepath.Abs(path)
		if err != nil {
			return
		}
		dsn, err := url.Parse(sqliteDSN(absolute, time.Second, url.Values{"_synchronous": {"FULL"}}))
		if err != nil {
			t.Fatalf("%q: %v", rest, err)
		}
		query := dsn.Query()
		if dsn.Path != absolute || dsn.Host != "" || dsn.Fragment != "" || len(query) != 7 || query.Get("_synchronous") != "FULL" || query.Get("mode") != "rw" {
			t.Fatalf("%q became %s", rest, dsn)
		}
	})
}
