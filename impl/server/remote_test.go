package server

import (
	"net/http"
	"net/netip"
	"testing"
)

// One hop that is no bare address neither discards the others nor lets a client choose its address.
func TestRemoteAddr(t *testing.T) {
	t.Parallel()
	find := remoteAddr([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::ffff:192.168.1.0/120"), netip.MustParsePrefix("fd00::/8")})
	const proxy = "10.1.2.3"
	for _, c := range []struct {
		forwarded []string
		want      string
	}{
		{nil, proxy},
		{[]string{"203.0.113.5"}, "203.0.113.5"},
		{[]string{"203.0.113.5:51234"}, "203.0.113.5"}, // Azure, IIS
		{[]string{"203.0.113.5:_hidden"}, "203.0.113.5"},
		{[]string{"\t 203.0.113.5:51234 "}, "203.0.113.5"},
		{[]string{`"203.0.113.5:51234"`}, "203.0.113.5"},
		{[]string{"2001:db8::1"}, "2001:db8::1"},
		{[]string{"[2001:DB8::1]"}, "2001:db8::1"},
		{[]string{"[2001:db8::1]:443"}, "2001:db8::1"},
		{[]string{`"[2001:db8::1]"`}, "2001:db8::1"},
		{[]string{`"[2001:db8::1]:443"`}, "2001:db8::1"},
		{[]string{"[::ffff:203.0.113.5]:443"}, "203.0.113.5"},
		{[]string{"198.51.100.9, 203.0.113.5:51234"}, "203.0.113.5"},
		{[]string{"198.51.100.9", "203.0.113.5:51234, 10.0.0.9:80"}, "203.0.113.5"},
		{[]string{"203.0.113.5", "192.168.1.7", "[fd00::1]:8080"}, "203.0.113.5"},
		// Left of the hop that counts, anything may stand.
		{[]string{"unknown, 203.0.113.5"}, "203.0.113.5"},
		{[]string{"_hidden, 203.0.113.5:1"}, "203.0.113.5"},
		{[]string{"<script>, 203.0.113.5"}, "203.0.113.5"},
		{[]string{`"a, 203.0.113.5`}, "203.0.113.5"},
		{[]string{"10.0.0.1, 203.0.113.5"}, "203.0.113.5"},
		// Empty elements are none.
		{[]string{", 203.0.113.5, ,"}, "203.0.113.5"},
		{[]string{"203.0.113.5", ""}, "203.0.113.5"},
		{[]string{"", " , "}, proxy},
		// Where that hop cannot be read, what a client wrote left of it does not count.
		{[]string{"203.0.113.5, unknown"}, proxy},
		{[]string{"203.0.113.5, _hidden"}, proxy},
		{[]string{"203.0.113.5, unknown, 10.0.0.9"}, proxy},
		{[]string{"203.0.113.5, 203.0.113"}, proxy},
		{[]string{"203.0.113.5, 203.0.113.6:"}, proxy},
		{[]string{"203.0.113.5, 203.0.113.6:x"}, proxy},
		{[]string{"203.0.113.5, 203.0.113.6:1:2"}, proxy},
		{[]string{"203.0.113.5, [203.0.113.6"}, proxy},
		{[]string{"203.0.113.5, 0203.0.113.6"}, proxy},
		{[]string{"203.0.113.5, for=203.0.113.6"}, proxy},
		{[]string{"203.0.113.5 203.0.113.6"}, proxy},
		{[]string{"fe80::1%eth0"}, proxy},
		// All are trusted: the first of them asked.
		{[]string{"10.0.0.8, 10.0.0.9"}, "10.0.0.8"},
	} {
		r := &http.Request{RemoteAddr: proxy + ":1234", Header: http.Header{"X-Forwarded-For": c.forwarded}}
		if got := find(r); got.String() != c.want {
			t.Errorf("%q: %s, want %s", c.forwarded, got, c.want)
		}
		r.RemoteAddr = "[2001:db8::99]:1234"
		if got := find(r); got.String() != "2001:db8::99" {
			t.Errorf("%q of a stranger was believed: %s", c.forwarded, got)
		}
	}
}
