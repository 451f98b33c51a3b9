package server

import (
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"
)

// clientIP returns a function that finds the client IP of a request: the TCP peer or, if that is a trusted proxy, the last address in
// X-Forwarded-For that is not a trusted proxy. A client can forge everything to the left of that address. If that address is
// malformed, the client IP is the TCP peer, because everything to the left of it is untrusted too.
func clientIP(trusted []netip.Prefix) func(*http.Request) netip.Addr {
	networks := make([]netip.Prefix, len(trusted))
	for i, p := range trusted {
		networks[i] = unmapPrefix(p)
	}
	isTrusted := func(addr netip.Addr) bool {
		return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(addr) })
	}
	return func(r *http.Request) netip.Addr {
		peer := peerAddr(r)
		if !isTrusted(peer) {
			return peer
		}
		client := peer
		hops := strings.Split(strings.Join(r.Header.Values(echo.HeaderXForwardedFor), ","), ",")
		for _, hop := range slices.Backward(hops) {
			hop = strings.Trim(hop, " \t")
			if hop == "" { // empty list elements are ignored (RFC 9110 section 5.6.1.2)
				continue
			}
			addr, ok := parseHop(hop)
			if !ok {
				return peer
			}
			client = addr
			if !isTrusted(addr) {
				break
			}
		}
		return client
	}
}

// peerAddr returns the address of the TCP peer.
func peerAddr(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return peer.Addr().Unmap().WithZone("") // one form for each address
}

// hopForm matches an address with or without a port (RFC 7239 section 6): 203.0.113.5, 203.0.113.5:51234, [2001:db8::1],
// [2001:db8::1]:443. A port may be an obfuscated identifier (_x). An IPv6 address without brackets does not match.
var hopForm = regexp.MustCompile(`^(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?::(?:[0-9]{1,5}|_[0-9A-Za-z._-]+))?$`)

// parseHop parses one element of X-Forwarded-For. ok is false for "unknown", an obfuscated identifier (_hidden) and everything else that is
// not an IP address.
func parseHop(hop string) (addr netip.Addr, ok bool) {
	if n := len(hop); n >= 2 && hop[0] == '"' && hop[n-1] == '"' { // quoted, as in the header Forwarded
		hop = hop[1 : n-1]
	}
	if parts := hopForm.FindStringSubmatch(hop); parts != nil {
		if hop = parts[2]; parts[1] != "" {
			hop = parts[1]
		}
	}
	addr, err := netip.ParseAddr(hop)
	return addr.Unmap(), err == nil && addr.Zone() == ""
}

// unmapPrefix converts a network of IPv4-mapped IPv6 addresses (::ffff:10.0.0.0/104) to IPv4 and returns other networks unchanged.
func unmapPrefix(p netip.Prefix) netip.Prefix {
	if bits := p.Bits() - 96; p.Addr().Is4In6() && bits >= 0 {
		return netip.PrefixFrom(p.Addr().Unmap(), bits)
	}
	return p
}
