package main

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/net/idna"
)

// checkURLs converts the public URL and the app's URL to their canonical forms, sets the defaults of issuer and audience, and checks both.
func (s *Settings) checkURLs() error {
	public, err := canonicalURL(s.PublicURL)
	if err != nil {
		return fmt.Errorf("AUTH_PUBLIC_URL %w", err)
	}
	s.PublicURL = public
	if s.AppURL != "" {
		if s.AppURL, err = canonicalAppURL(s.AppURL); err != nil {
			return fmt.Errorf("AUTH_APP_URL %w", err)
		}
	}
	if s.Issuer == "" {
		s.Issuer = s.PublicURL
	}
	if s.Audience == "" {
		s.Audience = s.Issuer
	}
	for _, claim := range []struct{ name, value string }{{"AUTH_TOKEN_ISSUER", s.Issuer}, {"AUTH_TOKEN_AUDIENCE", s.Audience}} {
		if strings.ContainsAny(claim.value, "\"'<>\\^`{|}") {
			return fmt.Errorf("%s: %q has a character that is not allowed in URLs", claim.name, claim.value)
		}
		if strings.Contains(claim.value, ":") { // RFC 7519 section 2: a value with a colon must be a URI
			if _, err := url.Parse(claim.value); err != nil {
				return fmt.Errorf("%s: %q has a colon but is not a URL", claim.name, claim.value)
			}
		}
	}
	return nil
}

// pathCharacters matches a URL path (RFC 3986 section 3.3).
var pathCharacters = regexp.MustCompile(`^[A-Za-z0-9._~!$&()*+,;=:@%/-]*$`)

// canonicalURL converts an http or https URL to the form that browsers use: scheme and host in lower case, the host in ASCII. It
// removes slashes at the end.
func canonicalURL(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", errors.New("is not an http or https URL with a host")
	}
	if u.User != nil || strings.ContainsAny(text, "?#") {
		return "", errors.New("can only have a scheme, a host and a path")
	}
	host, err := canonicalHost(u)
	if err != nil {
		return "", err
	}
	path := strings.TrimRight(u.EscapedPath(), "/")
	if _, after, _ := strings.Cut(text, "//"); !strings.HasSuffix(strings.TrimRight(after, "/"), path) || !pathCharacters.MatchString(path) {
		return "", errors.New("has a path with characters that are not allowed in URLs: percent-encode them")
	}
	return u.Scheme + "://" + host + path, nil
}

// urlCharacter matches a character of a path (RFC 3986 section 3.3), or a percent-encoded one.
const urlCharacter = `[A-Za-z0-9._~!$&()*+,;=:@/-]|%[0-9A-Fa-f]{2}`

// afterHost matches what follows the host in a URL: path, query and fragment (RFC 3986 section 3).
var afterHost = regexp.MustCompile(`^(?:/(?:` + urlCharacter + `)*)?(?:\?(?:` + urlCharacter + `|\?)*)?(?:#(?:` + urlCharacter + `|\?)*)?$`)

// canonicalAppURL converts the app's URL to the form that browsers use: scheme and host in lower case, everything in ASCII. Unlike the
// public URL, which paths are appended to, it can have a query and a fragment, and a slash at its end stays.
func canonicalAppURL(text string) (string, error) {
	const maxLen = 1024
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", errors.New("is not an http or https URL with a host")
	}
	if u.User != nil {
		return "", errors.New("has a user name: everyone who gets an email would read it")
	}
	host, err := canonicalHost(u)
	if err != nil {
		return "", err
	}
	if u.Scheme == "http" && !isLoopbackHost(u.Hostname()) {
		return "", errors.New("must begin with https://: users enter their passwords there. Only an app on localhost can use http://")
	}
	_, rest, _ := strings.Cut(text, "//")
	rest = percentEncoded(strings.TrimLeftFunc(rest, func(r rune) bool { return !strings.ContainsRune("/?#", r) }))
	if !afterHost.MatchString(rest) {
		return "", errors.New("has characters after the host that are not allowed in URLs: percent-encode them")
	}
	if canonical := u.Scheme + "://" + host + rest; len(canonical) <= maxLen {
		return canonical, nil
	}
	return "", fmt.Errorf("is longer than %d characters", maxLen)
}

// percentEncoded encodes the bytes that are not ASCII, as browsers do.
func percentEncoded(text string) string {
	var out strings.Builder
	for i := range len(text) {
		if text[i] > unicode.MaxASCII {
			fmt.Fprintf(&out, "%%%02X", text[i])
		} else {
			out.WriteByte(text[i])
		}
	}
	return out.String()
}

var asciiHost = regexp.MustCompile(`^[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?$`)

// canonicalHost returns the host and port of a URL in lower case and ASCII.
func canonicalHost(u *url.URL) (string, error) {
	host := strings.ToLower(u.Hostname())
	if strings.HasPrefix(u.Host, "[") {
		addr, err := netip.ParseAddr(host)
		if err != nil || addr.Zone() != "" {
			return "", errors.New("has brackets around something that is not an IPv6 address")
		}
		host = "[" + addr.String() + "]"
	} else {
		if strings.ContainsFunc(host, func(r rune) bool { return r > unicode.MaxASCII }) {
			ascii, err := idna.Lookup.ToASCII(host)
			if err != nil {
				return "", fmt.Errorf("has the host %q, which cannot be converted to ASCII", host)
			}
			host = ascii
		}
		if !asciiHost.MatchString(host) {
			return "", fmt.Errorf("has the host %q, which is not a valid host name", host)
		}
	}
	if strings.HasSuffix(u.Host, ":") {
		return "", errors.New("has a colon without a port")
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return "", fmt.Errorf("has the port %s, which is not between 1 and 65535", port)
		}
		host += ":" + port
	}
	return host, nil
}

func (s *Settings) checkOrigins() error {
	for _, origin := range s.CORSOrigins {
		if err := checkOrigin(origin); err != nil {
			return fmt.Errorf("AUTH_CORS_ORIGINS: %q %w", origin, err)
		}
	}
	return nil
}

// opaqueSchemes returns the schemes whose pages have an opaque origin: browsers send "Origin: null" for all of them.
func opaqueSchemes() []string { return []string{"about", "blob", "data", "file", "javascript"} }

// appOrigin matches the origins of WebViews and desktop apps (RFC 6454 section 6.2): a scheme, and optionally a host and a port.
var appOrigin = regexp.MustCompile(`^[a-z][a-z0-9+.-]*://([a-z0-9._-]+(:[0-9]{1,5})?)?$`)

// checkOrigin refuses origins that no browser, WebView or desktop app sends, and the origin null, which any site can have.
func checkOrigin(origin string) error {
	scheme, _, _ := strings.Cut(origin, ":")
	switch {
	case origin == "null" || slices.Contains(opaqueSchemes(), scheme):
		return errors.New("is not safe: any site can show a page with the origin null")
	case strings.Contains(origin, "*"):
		return errors.New("has a wildcard: list each origin")
	case scheme != "http" && scheme != "https":
		if !appOrigin.MatchString(origin) {
			return errors.New("is not an origin such as https://app.example.com or capacitor://localhost")
		}
		return nil
	}
	canonical, err := canonicalURL(origin)
	if err != nil {
		return errors.New("is not an origin such as https://app.example.com")
	}
	u, err := url.Parse(canonical)
	if err != nil {
		return errors.New("is not an origin such as https://app.example.com")
	}
	defaultPort := map[string]string{"http": ":80", "https": ":443"}[u.Scheme]
	canonical = u.Scheme + "://" + strings.TrimSuffix(u.Host, defaultPort)
	if canonical != origin {
		return fmt.Errorf("is not in the form that browsers send: %s", canonical)
	}
	return nil
}
