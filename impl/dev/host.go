package dev

import (
	"net"
	"net/netip"
	"slices"
	"strings"
)

// privateDomains returns top-level domains that are never delegated in the public DNS (RFC 6761, RFC 6762, ICANN's .internal). The names of
// this machine, of containers and of hosts in a local network end with them.
func privateDomains() []string { return []string{"internal", "local", "localhost", "test"} }

// AllowsHost reports whether a Host header is one that no page of the internet can have: an IP address, a name without dots (localhost, or
// that of a container), or a name that the public DNS does not have. A page of another name could point its own name to this machine (DNS
// rebinding): then browsers take the service for a part of the page, and CORS does not apply. HTTP/1.0 clients may send none.
func AllowsHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	_, last, dotted := cutLast(host, ".")
	return !dotted || slices.Contains(privateDomains(), last)
}

// cutLast slices s around the last instance of sep.
func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
