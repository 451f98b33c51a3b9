package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/financelime/authorization/impl/mail"
)

// complete trims and validates all settings, reads the ..._FILE settings, and sets the defaults that depend on other settings. Each
// error begins with the name of the variable, and none contains a secret.
func (s *Settings) complete() error {
	for _, check := range []func() error{
		s.setDevDefaults, s.checkTexts, s.readFiles, s.checkRanges, s.checkAddresses, s.checkDatabaseURL, s.checkMail, s.checkURLs, s.checkProxies,
		s.checkOrigins, s.checkPasskeys, s.checkClientIDs, s.checkDev,
	} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// checkRanges checks the numbers and durations that have a range tag, such as 1..100 or 1s..30d.
func (s *Settings) checkRanges() error {
	for field, value := range s.fields() {
		limits, hasRange := field.Tag.Lookup("range")
		if !hasRange {
			continue
		}
		low, high, _ := strings.Cut(limits, "..")
		smallest, err := parseNumber(value.Type(), low)
		if err != nil {
			return fmt.Errorf("%s: range of the setting: %w", field.Name, err)
		}
		greatest, err := parseNumber(value.Type(), high)
		if err != nil {
			return fmt.Errorf("%s: range of the setting: %w", field.Name, err)
		}
		if value.Int() < smallest || value.Int() > greatest {
			return fmt.Errorf("%s: %v is not between %s and %s", field.Tag.Get("env"), value.Interface(), low, high)
		}
	}
	return nil
}

// parseNumber parses a bound of a range tag: a duration or an integer, like the field.
func parseNumber(kind reflect.Type, text string) (int64, error) {
	if kind == reflect.TypeFor[time.Duration]() {
		d, err := parseDuration(text)
		return int64(d), err
	}
	return strconv.ParseInt(text, 10, 64)
}

// checkAddresses checks the addresses of the two ports. A port is required: Go would choose any port for an empty one.
func (s *Settings) checkAddresses() error {
	for _, a := range []struct{ name, addr string }{{"AUTH_HTTP_ADDR", s.HTTPAddr}, {"AUTH_ADMIN_ADDR", s.AdminAddr}} {
		_, port, err := net.SplitHostPort(a.addr)
		if err != nil {
			return fmt.Errorf("%s: %q is neither HOST:PORT nor :PORT", a.name, a.addr)
		}
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return fmt.Errorf("%s: %q is not a port between 0 and 65535", a.name, port)
		}
	}
	return nil
}

// checkDatabaseURL checks the scheme of the database URL. An SQLite database must be a file: without a path SQLite would use a
// temporary database.
func (s *Settings) checkDatabaseURL() error {
	scheme, rest, _ := strings.Cut(s.DatabaseURL, ":")
	switch scheme {
	case "sqlite":
		if path, _, _ := strings.Cut(rest, "?"); strings.Trim(path, "/ ") == "" || path == ":memory:" {
			return errors.New("AUTH_DATABASE_URL has no file: use sqlite:PATH")
		}
		return nil
	case "postgres", "postgresql":
		return nil
	}
	return errors.New("AUTH_DATABASE_URL must be sqlite:PATH or postgres://USER:PASSWORD@HOST/NAME")
}

// checkMail checks the sender, and the mail URL as far as that needs no file. Serve opens the transport before everything else, which
// checks the rest.
func (s *Settings) checkMail() error {
	if _, err := mail.OpenTransport("file:x", s.MailFrom, time.Second); err != nil {
		return err
	}
	switch scheme, rest, _ := strings.Cut(s.MailURL, ":"); strings.ToLower(scheme) {
	case "file":
		_, err := mail.OpenTransport(s.MailURL, s.MailFrom, time.Second)
		return err
	case "smtp", "smtps":
		if strings.Contains(rest, " ") {
			return errors.New("AUTH_MAIL_URL contains a space")
		}
		return nil
	}
	return errors.New("AUTH_MAIL_URL must begin with file:, smtp:// or smtps://")
}

// checkProxies parses the trusted proxies.
func (s *Settings) checkProxies() error {
	s.trustedProxies = nil
	for _, p := range s.Proxies {
		prefix, err := parsePrefix(p)
		if err != nil {
			return fmt.Errorf("AUTH_TRUSTED_PROXIES: %q is neither a network nor an address", p)
		}
		s.trustedProxies = append(s.trustedProxies, prefix)
	}
	return nil
}

// parsePrefix parses a network, or an address as a network of one address.
func parsePrefix(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil {
		return addr.Prefix(addr.BitLen())
	}
	return netip.ParsePrefix(s)
}

// clientIDs matches the clientIDs that openapi.yaml allows.
var clientIDs = regexp.MustCompile(`^[ -~]{1,64}$`)

func (s *Settings) checkClientIDs() error {
	for _, id := range s.ClientIDs {
		if !clientIDs.MatchString(id) {
			return fmt.Errorf("AUTH_CLIENT_IDS: %q is longer than 64 characters", id)
		}
	}
	return nil
}
