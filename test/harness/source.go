package harness

import (
	"net"
	"net/http"
	"net/netip"
	"testing"
)

// ClientFrom is Client for requests from another address of this machine, such as 127.0.0.9, so that a test can tell who was
// taken for the client.
func (c *Contract) ClientFrom(t testing.TB, source netip.Addr) *http.Client {
	t.Helper()
	transport := &http.Transport{
		MaxIdleConnsPerHost: 256,
		DialContext:         (&net.Dialer{LocalAddr: &net.TCPAddr{IP: source.AsSlice()}}).DialContext,
	}
	t.Cleanup(transport.CloseIdleConnections)
	client := c.Client(t)
	client.Transport = &judge{contract: c, next: transport, t: t}
	return client
}
