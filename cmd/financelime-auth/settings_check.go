package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"github.com/financelime/authorization/impl/mail"
)

// complete trims and checks all settings, reads the ..._FILE settings, and fills in the defaults that depend on others. Each
// error names the variable, and none shows a secret.
func (s *Settings) complete() error {
	for _, check := range []func() error{
		s.checkTexts, s.readFiles, s.checkAddresses, s.checkDatabaseURL, s.checkMail, s.checkURLs, s.checkProxies, s.checkOrigins,
		s.checkClientIDs, s.checkSessionsPerUser, s.checkDurations,
	} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// checkTexts trims every text of the settings, and refuses what no text means: an empty value in place of a default, control
// characters and quotes that a file has left around a value.
func (s *Settings) checkTexts() error {
	fields := reflect.ValueOf(s).Elem()
	for i := range fields.NumField() {
		field := fields.Type().Field(i)
		name := field.Tag.Get("env")
		if name == "" {
			continue
		}
		kind := textKind(field.Tag.Get("text"))
		var err error
		switch value := fields.Field(i).Addr().Interface().(type) {
		case *string:
			*value = trim(*value)
			if *value == "" && field.Tag.Get("default") != "" {
				return fmt.Errorf("%s is empty: leave it out, or give it a value", name)
			}
			err = kind.check(*value)
		case *[]string:
			*value, err = kind.list(*value)
		}
		if err != nil {
			return fmt.Errorf("%s %w", name, err)
		}
	}
	return nil
}

// trim removes the white space around a value: line ends too, which files and scripts leave there.
func trim(value string) string { return strings.Trim(value, " \t\r\n") }

// textKind says what a text may have beside printable ASCII.
type textKind string

func (k textKind) blanks() bool  { return k == "blanks" || k == "any" }
func (k textKind) unicode() bool { return k == "unicode" || k == "any" }

// check refuses a text for its characters. The error does not repeat the text, which may be a secret.
func (k textKind) check(text string) error {
	if !utf8.ValidString(text) || strings.ContainsRune(text, utf8.RuneError) { // kong writes the one in place of the other
		return errors.New("is not UTF-8")
	}
	for _, r := range text {
		switch {
		case k == "any" && (r == '\u200c' || r == '\u200d'): // joiners, which Persian, Hindi and emoji are spelt with
		case !unicode.IsPrint(r): // control and format characters, the byte order mark, all blanks but the space
			return fmt.Errorf("has a character that cannot be seen in it: %U", r)
		case r == ' ' && !k.blanks():
			return errors.New("has a blank in it")
		case r > unicode.MaxASCII && !k.unicode():
			return fmt.Errorf("has a character beyond ASCII in it: %U", r)
		}
	}
	if k.quoted(text) {
		return errors.New("has quotes around it: a shell removes them, other readers of environment files do not")
	}
	return nil
}

// quoted reports whether a file has left its quotes around a text. Where a quote can be meant, both ends must have it.
func (k textKind) quoted(text string) bool {
	const quotes = "\"'`"
	if text == "" {
		return false
	}
	first, last := text[:1], text[len(text)-1:]
	if k == "any" {
		return first == last && strings.Contains(quotes, first)
	}
	return strings.ContainsAny(first+last, quotes)
}

// list trims and checks the entries of a list. An empty list is none; an empty entry is a mistake, and never means "any".
func (k textKind) list(entries []string) ([]string, error) {
	trimmed := make([]string, len(entries))
	for i, entry := range entries {
		trimmed[i] = trim(entry)
		if trimmed[i] == "" {
			return nil, errors.New("has an empty entry: write one,two")
		}
		if err := k.check(trimmed[i]); err != nil {
			return nil, err
		}
	}
	return trimmed, nil
}

// readFiles reads the settings that are files. In a file, a byte order mark and white space around the value are no part of it.
func (s *Settings) readFiles() error {
	for _, f := range []struct {
		name, file string
		value      *string
		byDefault  string
	}{
		{"AUTH_DATABASE_URL", s.DatabaseURLFile, &s.DatabaseURL, "sqlite:data/auth.db"},
		{"AUTH_SECRET", s.SecretFile, &s.Secret, ""},
		{"AUTH_SECRET_PREVIOUS", s.SecretPreviousFile, &s.SecretPrevious, ""},
		{"AUTH_MAIL_URL", s.MailURLFile, &s.MailURL, "file:data/mail"},
	} {
		if f.file == "" {
			continue
		}
		if *f.value != f.byDefault {
			return fmt.Errorf("%s and %s_FILE are both set: set one of them", f.name, f.name)
		}
		content, err := os.ReadFile(f.file)
		if err != nil {
			return fmt.Errorf("%s_FILE: %w", f.name, err)
		}
		*f.value = trim(string(bytes.TrimPrefix(content, []byte("\ufeff"))))
		if *f.value == "" {
			return fmt.Errorf("%s_FILE: the file %s is empty", f.name, f.file)
		}
		if err := textKind("any").check(*f.value); err != nil {
			return fmt.Errorf("%s_FILE: what is in the file %w", f.name, err)
		}
	}
	return nil
}

func (s *Settings) checkAddresses() error {
	for _, a := range []struct{ name, addr string }{{"AUTH_HTTP_ADDR", s.HTTPAddr}, {"AUTH_ADMIN_ADDR", s.AdminAddr}} {
		_, port, err := net.SplitHostPort(a.addr)
		if err != nil {
			return fmt.Errorf("%s: %q is neither HOST:PORT nor :PORT", a.name, a.addr)
		}
		if _, err := strconv.ParseUint(port, 10, 16); err != nil { // Go takes no port for any port
			return fmt.Errorf("%s: %q is not a port from 0 to 65535", a.name, port)
		}
	}
	return nil
}

func (s *Settings) checkDatabaseURL() error {
	scheme, rest, _ := strings.Cut(s.DatabaseURL, ":")
	switch scheme {
	case "sqlite":
		// SQLite takes no path for a database that vanishes.
		if path, _, _ := strings.Cut(rest, "?"); strings.Trim(path, "/ ") == "" || path == ":memory:" {
			return errors.New("AUTH_DATABASE_URL: it names no file: write sqlite:PATH")
		}
		return nil
	case "postgres", "postgresql":
		return nil
	}
	return errors.New("AUTH_DATABASE_URL: neither sqlite:PATH nor postgres://HOST/NAME")
}

// checkMail checks the sender. Of the URL it checks what needs no file: serve opens the transport before anything else.
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
			return errors.New("AUTH_MAIL_URL has a blank in it")
		}
		return nil
	}
	return errors.New("AUTH_MAIL_URL must begin with file:, smtp:// or smtps://")
}

// checkURLs brings the public URL into its one spelling, from which issuer and audience follow.
func (s *Settings) checkURLs() error {
	public, err := canonicalURL(s.PublicURL)
	if err != nil {
		return fmt.Errorf("AUTH_PUBLIC_URL %w", err)
	}
	s.PublicURL = public
	if s.Issuer == "" {
		s.Issuer = s.PublicURL
	}
	if s.Audience == "" {
		s.Audience = s.Issuer
	}
	for _, claim := range []struct{ name, value string }{{"AUTH_TOKEN_ISSUER", s.Issuer}, {"AUTH_TOKEN_AUDIENCE", s.Audience}} {
		if strings.ContainsAny(claim.value, "\"'<>\\^`{|}") {
			return fmt.Errorf("%s: %q has a character that no URL has", claim.name, claim.value)
		}
		if strings.Contains(claim.value, ":") { // RFC 7519 section 2: then it is a URI
			if _, err := url.Parse(claim.value); err != nil {
				return fmt.Errorf("%s: %q has a colon, and is not a URL", claim.name, claim.value)
			}
		}
	}
	return nil
}

// pathCharacters are those of a path in a URL (RFC 3986 section 3.3).
var pathCharacters = regexp.MustCompile(`^[A-Za-z0-9._~!$&()*+,;=:@%/-]*$`)

// canonicalURL is an http or https URL as browsers write it: scheme and host in lower case, the host in ASCII, no slash at the end.
func canonicalURL(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", errors.New("is not an http or https URL with a host")
	}
	if u.User != nil || strings.ContainsAny(text, "?#") {
		return "", errors.New("has more than a scheme, a host and a path")
	}
	host, err := canonicalHost(u)
	if err != nil {
		return "", err
	}
	path := strings.TrimRight(u.EscapedPath(), "/")
	if _, after, _ := strings.Cut(text, "//"); !strings.HasSuffix(strings.TrimRight(after, "/"), path) || !pathCharacters.MatchString(path) {
		return "", errors.New("has a path with characters that a URL cannot have: percent-encode them")
	}
	return u.Scheme + "://" + host + path, nil
}

var asciiHost = regexp.MustCompile(`^[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?$`)

// canonicalHost is the host and port of a URL in lower case and ASCII.
func canonicalHost(u *url.URL) (string, error) {
	host := strings.ToLower(u.Hostname())
	if strings.HasPrefix(u.Host, "[") {
		addr, err := netip.ParseAddr(host)
		if err != nil || addr.Zone() != "" {
			return "", errors.New("has brackets around what is not an IPv6 address")
		}
		host = "[" + addr.String() + "]"
	} else {
		if strings.ContainsFunc(host, func(r rune) bool { return r > unicode.MaxASCII }) {
			ascii, err := idna.Lookup.ToASCII(host)
			if err != nil {
				return "", fmt.Errorf("has the host %q, which has no form in ASCII", host)
			}
			host = ascii
		}
		if !asciiHost.MatchString(host) {
			return "", fmt.Errorf("has the host %q, which cannot be the name of one", host)
		}
	}
	if strings.HasSuffix(u.Host, ":") {
		return "", errors.New("has a colon without a port")
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return "", fmt.Errorf("has the port %s, which is not one from 1 to 65535", port)
		}
		host += ":" + port
	}
	return host, nil
}

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

func parsePrefix(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil {
		return addr.Prefix(addr.BitLen())
	}
	return netip.ParsePrefix(s)
}

func (s *Settings) checkOrigins() error {
	for _, origin := range s.CORSOrigins {
		if err := checkOrigin(origin); err != nil {
			return fmt.Errorf("AUTH_CORS_ORIGINS: %q %w", origin, err)
		}
	}
	return nil
}

// opaque are the schemes whose pages have no origin of their own: browsers call all of them null.
func opaque() []string { return []string{"about", "blob", "data", "file", "javascript"} }

// shellOrigin is an origin of a WebView or a desktop shell (RFC 6454 section 6.2): scheme and host, with a port or without.
// Some have no host.
var shellOrigin = regexp.MustCompile(`^[a-z][a-z0-9+.-]*://([a-z0-9._-]+(:[0-9]{1,5})?)?$`)

// checkOrigin refuses what no browser, WebView or shell writes into the header Origin, and the origins that anybody can have.
func checkOrigin(origin string) error {
	scheme, _, _ := strings.Cut(origin, ":")
	switch {
	case origin == "null" || slices.Contains(opaque(), scheme):
		return errors.New("cannot be told apart: any site can show a page with the origin null")
	case strings.Contains(origin, "*"):
		return errors.New("has a wildcard: name each origin")
	case scheme != "http" && scheme != "https":
		if !shellOrigin.MatchString(origin) {
			return errors.New("is not an origin such as https://app.example.com or capacitor://localhost")
		}
		return nil
	}
	asWritten, err := canonicalURL(origin)
	if err != nil {
		return errors.New("is not an origin such as https://app.example.com")
	}
	u, err := url.Parse(asWritten)
	if err != nil {
		return errors.New("is not an origin such as https://app.example.com")
	}
	defaultPort := map[string]string{"http": ":80", "https": ":443"}[u.Scheme]
	asWritten = u.Scheme + "://" + strings.TrimSuffix(u.Host, defaultPort)
	if asWritten != origin {
		return fmt.Errorf("is not as browsers write it: %s", asWritten)
	}
	return nil
}

// clientIDs are those that openapi.yaml lets clients send.
var clientIDs = regexp.MustCompile(`^[ -~]{1,64}$`)

func (s *Settings) checkClientIDs() error {
	for _, id := range s.ClientIDs {
		if !clientIDs.MatchString(id) {
			return fmt.Errorf("AUTH_CLIENT_IDS: %q is longer than the 64 characters that a client can send", id)
		}
	}
	return nil
}

func (s *Settings) checkSessionsPerUser() error {
	if most := int64(10_000); s.SessionsPerUser < 1 || s.SessionsPerUser > most {
		return fmt.Errorf("AUTH_SESSIONS_PER_USER: %d is not between 1 and %d", s.SessionsPerUser, most)
	}
	return nil
}

func (s *Settings) checkDurations() error {
	day := 24 * time.Hour
	ranges := []struct {
		name     string
		value    time.Duration
		min, max time.Duration
	}{
		{"AUTH_ACCESS_TOKEN_TTL", s.AccessTTL, time.Second, day},
		{"AUTH_REFRESH_TOKEN_TTL", s.RefreshTTL, time.Second, 3650 * day},
		{"AUTH_SESSION_MAX_AGE", s.SessionMaxAge, time.Second, 3650 * day},
		{"AUTH_REFRESH_GRACE", s.RefreshGrace, 0, 5 * time.Minute},
		{"AUTH_SIGNUP_LINK_TTL", s.SignUpLinkTTL, time.Second, 30 * day},
		{"AUTH_PASSWORD_LINK_TTL", s.PasswordLinkTTL, time.Second, day}, // NIST SP 800-63B-4 section 4.2.1.2: 24 hours at most
		{"AUTH_MAILED_PASSWORD_TTL", s.MailedPasswordTTL, time.Second, 30 * day},
		{"AUTH_MAIL_TIMEOUT", s.MailTimeout, 100 * time.Millisecond, 10 * time.Minute},
		{"AUTH_SIGNING_KEY_LIFE", s.KeyLife, time.Second, 3650 * day},
		{"AUTH_JWKS_MAX_AGE", s.JWKSMaxAge, time.Second, day},
		{"AUTH_HASH_WAIT", s.HashWait, time.Millisecond, time.Hour},
		{"AUTH_SHUTDOWN_DELAY", s.ShutdownDelay, 0, 10 * time.Minute},
	}
	for _, r := range ranges {
		if r.value < r.min || r.value > r.max {
			return fmt.Errorf("%s: %s is not between %s and %s", r.name, r.value, r.min, r.max)
		}
	}
	return nil
}
