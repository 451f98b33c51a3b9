package server

import (
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// An X-Forwarded-For element that is not a plain IP address must not discard the other elements, and must not let a client choose its IP.
func TestClientIP(t *testing.T) {
	t.Parallel()
	find := clientIP([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::ffff:192.168.1.0/120"), netip.MustParsePrefix("fd00::/8")})
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
		// Everything to the left of the client IP is ignored.
		{[]string{"unknown, 203.0.113.5"}, "203.0.113.5"},
		{[]string{"_hidden, 203.0.113.5:1"}, "203.0.113.5"},
		{[]string{"<script>, 203.0.113.5"}, "203.0.113.5"},
		{[]string{`"a, 203.0.113.5`}, "203.0.113.5"},
		{[]string{"10.0.0.1, 203.0.113.5"}, "203.0.113.5"},
		// Empty elements are none.
		{[]string{", 203.0.113.5, ,"}, "203.0.113.5"},
		{[]string{"203.0.113.5", ""}, "203.0.113.5"},
		{[]string{"", " , "}, proxy},
		// If the element is malformed, the elements to the left of it are untrusted.
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
		// All addresses are trusted: the first one sent the request.
		{[]string{"10.0.0.8, 10.0.0.9"}, "10.0.0.8"},
	} {
		r := &http.Request{RemoteAddr: proxy + ":1234", Header: http.Header{"X-Forwarded-For": c.forwarded}}
		if got := find(r); got.String() != c.want {
			t.Errorf("%q: %s, want %s", c.forwarded, got, c.want)
		}
		r.RemoteAddr = "[2001:db8::99]:1234"
		if got := find(r); got.String() != "2001:db8::99" {
			t.Errorf("%q from an untrusted peer was used: %s", c.forwarded, got)
		}
	}
}

// portForm matches a port, or an obfuscated one (RFC 7239 section 6.3).
var portForm = regexp.MustCompile(`^([0-9]{1,5}|_[0-9A-Za-z._-]+)$`)

// X-Forwarded-For of an untrusted peer is ignored. That of a trusted proxy is read from right to left: the first address that is not
// trusted is the client IP. If that is malformed, the client IP is the proxy.
func FuzzClientIP(f *testing.F) {
	for _, seed := range []string{
		"203.0.113.7", "198.51.100.1, 203.0.113.7, 10.0.0.2", "::ffff:203.0.113.8", "[2001:DB8::1]", "203.0.113.7, unknown", ", ,", "10.0.0.3",
		"203.0.113.5:51234", `"[2001:db8::1]:443"`, `"203.0.113.5"`, "203.0.113.5:_x", "[203.0.113.5]:1", "unknown", "_hidden", "203.0.113.5:", "fe80::1%eth0", "1.2.3.4:80", "[::1]:1", "0x7f000001", "010.0.0.1", "::ffff:10.0.0.1", "64:ff9b::1.2.3.4", strings.Repeat("10.0.0.1,", 100),
	} {
		f.Add(seed, "")
		f.Add("192.0.2.1", seed)
	}
	network := netip.MustParsePrefix("10.0.0.0/8")
	find := clientIP([]netip.Prefix{network})
	f.Fuzz(func(t *testing.T, first, second string) {
		forwarded := []string{first, second}
		from := func(peer string) netip.Addr {
			return find(&http.Request{RemoteAddr: peer, Header: http.Header{"X-Forwarded-For": forwarded, "X-Real-Ip": {first}, "Forwarded": {"for=" + first}}})
		}
		if got := from("198.51.100.77:1234"); got.String() != "198.51.100.77" {
			t.Fatalf("%q from an untrusted peer was used: %s", forwarded, got)
		}
		proxy := netip.MustParseAddr("10.1.2.3")
		want := proxy
		hops := strings.Split(strings.Join(forwarded, ","), ",")
		for _, hop := range slices.Backward(hops) {
			if hop = strings.Trim(hop, " \t"); hop == "" {
				continue
			}
			bare := hop
			if unquoted := strings.TrimSuffix(strings.TrimPrefix(bare, `"`), `"`); bare == `"`+unquoted+`"` {
				bare = unquoted
			}
			host, port, err := net.SplitHostPort(bare)
			if hasPort := err == nil && (portForm.MatchString(port)) && (strings.HasPrefix(bare, "[") || !strings.Contains(host, ":")); hasPort {
				bare = host
			} else if inside, closed := strings.CutSuffix(strings.TrimPrefix(bare, "["), "]"); closed && strings.HasPrefix(bare, "[") {
				bare = inside
			}
			addr, err := netip.ParseAddr(bare)
			if err != nil || addr.Zone() != "" {
				want = proxy
				break
			}
			want = addr.Unmap()
			if !network.Contains(want) {
				break
			}
		}
		if got := from("10.1.2.3:1234"); got != want {
			t.Fatalf("%q: %s, want %s", forwarded, got, want)
		}
	})
}
