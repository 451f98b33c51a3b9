package server

import (
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"
)

// remoteAddr returns a function that finds a request's source address: the TCP peer, or, where that is a trusted proxy, the last hop
// in X-Forwarded-For that is not one. Whatever stands left of that hop, a client may have written. Where that hop cannot be
// read, the source is the TCP peer: what stands left of it is not vouched for either.
func remoteAddr(trusted []netip.Prefix) func(*http.Request) netip.Addr {
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
		source := peer
		hops := strings.Split(strings.Join(r.Header.Values(echo.HeaderXForwardedFor), ","), ",")
		for _, hop := range slices.Backward(hops) {
			hop = strings.Trim(hop, " \t")
			if hop == "" { // RFC 9110 section 5.6.1.2: an empty element of a list is none
				continue
			}
			addr, ok := readHop(hop)
			if !ok {
				return peer
			}
			source = addr
			if !isTrusted(addr) {
				break
			}
		}
		return source
	}
}

// peerAddr is the TCP peer.
func peerAddr(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return peer.Addr().Unmap().WithZone("") // one spelling for each address
}

// hopForm is an address as proxies write it, with a port or without (RFC 7239 section 6): 203.0.113.5, 203.0.113.5:51234,
// 2001:db8::1, [2001:db8::1], [2001:db8::1]:443. A port may be a made-up name (_x).
var hopForm = regexp.MustCompile(`^(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?::(?:[0-9]{1,5}|_[0-9A-Za-z._-]+))?$`)

// readHop reads one hop. It is not ok with "unknown", a made-up name (_hidden) and anything else that is no address.
func readHop(hop string) (addr netip.Addr, ok bool) {
	if n := len(hop); n >= 2 && hop[0] == '"' && hop[n-1] == '"' { // as in the header Forwarded
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

// unmapPrefix is a network of IPv4 addresses, if it is written as one of IPv6 addresses (::ffff:10.0.0.0/104).
func unmapPrefix(p netip.Prefix) netip.Prefix {
	if bits := p.Bits() - 96; p.Addr().Is4In6() && bits >= 0 {
		return netip.PrefixFrom(p.Addr().Unmap(), bits)
	}
	return p
}
