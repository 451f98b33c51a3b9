package harness

import (
	"net"
	"net/http"
	"net/netip"
	"testing"
)

// ClientFrom returns a Client that sends requests from another address of this machine, such as 127.0.0.9, so that a test sees which
// address became the client IP.
func (c *Contract) ClientFrom(t testing.TB, source netip.Addr) *http.Client {
	t.Helper()
	transport := &http.Transport{
		MaxIdleConnsPerHost: 256,
		DialContext:         (&net.Dialer{LocalAddr: &net.TCPAddr{IP: source.AsSlice()}}).DialContext,
	}
	t.Cleanup(transport.CloseIdleConnections)
	client := c.Client(t)
	client.Transport = &validator{contract: c, next: transport, t: t}
	return client
}
