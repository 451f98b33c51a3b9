package server

import (
	"net"
	"net/http"
	"net/netip"

	"github.com/labstack/echo/v4"
)

// remoteAddr finds a request's source address: the TCP peer, or, where that is a trusted proxy, the last hop in
// X-Forwarded-For that is not one. Echo trusts loopback and private networks unless told otherwise; we name every one.
func remoteAddr(trusted []netip.Prefix) func(*http.Request) netip.Addr {
	extract := echo.ExtractIPDirect()
	if len(trusted) > 0 {
		options := []echo.TrustOption{echo.TrustLoopback(false), echo.TrustLinkLocal(false), echo.TrustPrivateNet(false)}
		for _, p := range trusted {
			options = append(options, echo.TrustIPRange(&net.IPNet{
				IP:   p.Masked().Addr().AsSlice(),
				Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen()),
			}))
		}
		extract = echo.ExtractIPFromXFFHeader(options...)
	}
	return func(r *http.Request) netip.Addr {
		addr, err := netip.ParseAddr(extract(r))
		if err != nil {
			return netip.Addr{}
		}
		return addr.Unmap().WithZone("") // one spelling for each address
	}
}
