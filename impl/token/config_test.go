package token

import (
	"testing"
	"time"

	"github.com/financelime/authorization/test/fakeclock"
)

// TestConstructorsRefuseBadConfigs checks that no configuration disables a check: golang-jwt accepts any issuer if it is empty.
func TestConstructorsRefuseBadConfigs(t *testing.T) {
	t.Parallel()
	good := newConfig(fakeclock.New(start))
	store, root := newStore(t), newRoot(t)
	keys := openKeys(t, store, root, good)
	for name, change := range map[string]func(*Config){
		"no issuer":           func(c *Config) { c.Issuer = "" },
		"no audience":         func(c *Config) { c.Audience = "" },
		"refresh audience":    func(c *Config) { c.Audience = issuer + "/v1/oauth/refresh" },
		"ticket audience":     func(c *Config) { c.Audience = issuer + "/ticket" },
		"ceremony audience":   func(c *Config) { c.Audience = issuer + "/ceremony" },
		"no algorithm":        func(c *Config) { c.Algorithm = "" },
		"algorithm none":      func(c *Config) { c.Algorithm = "none" },
		"algorithm HS256":     func(c *Config) { c.Algorithm = "HS256" },
		"algorithm in lower":  func(c *Config) { c.Algorithm = "es256" },
		"no access life":      func(c *Config) { c.AccessTTL = 0 },
		"access life of ms":   func(c *Config) { c.AccessTTL = 999 * time.Millisecond },
		"no refresh life":     func(c *Config) { c.RefreshTTL = 0 },
		"negative refresh":    func(c *Config) { c.RefreshTTL = -time.Hour },
		"negative access TTL": func(c *Config) { c.AccessTTL = -time.Hour },
	} {
		cfg := good
		change(&cfg)
		if _, err := OpenKeys(t.Context(), store, root, cfg, quiet()); err == nil {
			t.Errorf("%s: OpenKeys accepted it", name)
		}
		if _, err := NewAccess(keys, cfg); err == nil {
			t.Errorf("%s: NewAccess accepted it", name)
		}
		if _, err := NewRefresh(root, cfg); err == nil {
			t.Errorf("%s: NewRefresh accepted it", name)
		}
		if _, err := NewTickets(root, cfg); err == nil {
			t.Errorf("%s: NewTickets accepted it", name)
		}
		if _, err := NewCeremonies(root, cfg); err == nil {
			t.Errorf("%s: NewCeremonies accepted it", name)
		}
	}
}

// TestSystemClockIsTheDefault checks the clock of a Config without one.
func TestSystemClockIsTheDefault(t *testing.T) {
	t.Parallel()
	cfg := newConfig(fakeclock.New(start))
	cfg.Clock = nil
	cfg, err := cfg.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	now := cfg.Clock.Now()
	if since := time.Since(now); since < 0 || since > time.Minute {
		t.Errorf("now is %s ago", since)
	}
	if now.Location() != time.UTC || now.Nanosecond()%1000 != 0 {
		t.Errorf("got %s, but the database stores microseconds in UTC", now)
	}
}
