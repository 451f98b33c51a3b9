package main

import (
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"unicode"

	"github.com/financelime/authorization/impl/link"
)

// FuzzPrefix checks that a trusted proxy is exactly the address or network of its text.
func FuzzPrefix(f *testing.F) {
	for _, seed := range []string{"10.0.0.0/8", "10.1.2.3", "::1", "fe80::1%eth0", "::ffff:10.0.0.1/104", "10.0.0.0/33", "0.0.0.0/0", "010.0.0.1", "", "10.0.0.0/08"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		prefix, err := parsePrefix(text)
		if err != nil {
			return
		}
		again, err := parsePrefix(prefix.String())
		if err != nil || again != prefix || !prefix.IsValid() || prefix.Addr().Zone() != "" || !prefix.Contains(prefix.Addr()) {
			t.Fatalf("%q became %s: %v", text, prefix, err)
		}
		if addr, err := netip.ParseAddr(text); err == nil && (!prefix.IsSingleIP() || prefix.Addr() != addr.WithZone("")) {
			t.Fatalf("the address %q became %s", text, prefix)
		}
	})
}

// FuzzPublicURL checks that with every accepted public URL a mailed link has no white space, has the host of the URL, and ends with its
// key.
func FuzzPublicURL(f *testing.F) {
	for _, seed := range []string{
		"http://localhost:8080", "https://auth.example.com/", "https://auth.example.com/base//", "https://a b", "https://x/a b", "https://x/?", "https://x/#",
		"https://user@x", "https://[::1]:1", "javascript:alert(1)", "//x", "https://пример.рф", "https://x/%2e%2e", "https://x/\u00a0", "HTTPS://x", "https://x:y", "https://x/../..",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s := Settings{PublicURL: text}
		if s.checkURLs() != nil {
			return
		}
		public, err := url.Parse(text)
		if err != nil {
			t.Fatalf("%q was accepted: %v", text, err)
		}
		host, err := canonicalHost(public)
		if err != nil {
			t.Fatalf("%q was accepted: %v", text, err)
		}
		mailed := link.URL(s.PublicURL, "KEY", "a b&c#d?e")
		parsed, err := url.Parse(mailed)
		if err != nil || parsed.Host != host || host == "" || parsed.User != nil || parsed.Scheme != "http" && parsed.Scheme != "https" {
			t.Fatalf("%q: the link %q: %v", text, mailed, err)
		}
		if !strings.HasSuffix(parsed.Path, "/u/KEY") || parsed.Query().Get("rid") != "a b&c#d?e" || parsed.Fragment != "" {
			t.Fatalf("%q: the link %q", text, mailed)
		}
		if strings.ContainsFunc(mailed, unicode.IsSpace) || strings.ContainsFunc(mailed, unicode.IsControl) || strings.ContainsAny(mailed, `<>"`) {
			t.Fatalf("%q: the link %q has characters at which mail programs end a link", text, mailed)
		}
		if s.Issuer != s.PublicURL || s.Audience != s.Issuer {
			t.Fatalf("%q: issuer %q, audience %q", text, s.Issuer, s.Audience)
		}
	})
}

// FuzzAppURL checks that every accepted URL of an app is a URL in ASCII with the host of its text, that nothing in it ends a link in a
// mail or an attribute of a page, and that its canonical form is accepted unchanged.
func FuzzAppURL(f *testing.F) {
	for _, seed := range []string{
		"https://app.example.com", "https://app.example.com/?a=b&c=d#/e?f", "http://localhost:3000", "http://x", "https://пример.рф/вход?п=1#п", "https://a b",
		"https://x/%2e%2e", "https://x/%", "https://x?%zz", "https://x#a#b", "https://user:p@x", "javascript:alert(1)", "//x", "HTTPS://X", "https://x\\y", "https://[::1]:1/",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		app, err := canonicalAppURL(text)
		if err != nil {
			return
		}
		parsed, err := url.Parse(app)
		if err != nil || parsed.Host == "" || parsed.User != nil || len(app) > 1024 {
			t.Fatalf("%q became %q: %v", text, app, err)
		}
		if parsed.Scheme != "https" && (parsed.Scheme != "http" || !isLoopbackHost(parsed.Hostname())) {
			t.Fatalf("%q became %q: not safe", text, app)
		}
		if given, err := url.Parse(text); err != nil || !strings.EqualFold(given.Scheme, parsed.Scheme) || given.Path != parsed.Path {
			t.Fatalf("%q became %q: %v", text, app, err)
		} else if host, err := canonicalHost(given); err != nil || host != parsed.Host {
			t.Fatalf("%q became %q: %v", text, app, err)
		}
		if strings.ContainsFunc(app, func(r rune) bool { return r <= ' ' || r > '~' }) || strings.ContainsAny(app, "<>\"'`\\^{|}") {
			t.Fatalf("%q became %q, which has characters at which a link or an attribute can end", text, app)
		}
		if again, err := canonicalAppURL(app); err != nil || again != app {
			t.Fatalf("%q became %q and then %q: %v", text, app, again, err)
		}
	})
}
