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

var ports = regexp.MustCompile(`^([0-9]{1,5}|_[0-9A-Za-z._-]+)$`)

// A stranger's X-Forwarded-For changes nothing. A trusted proxy's is read from the right: the first hop that is not trusted counts,
// and where that cannot be read, the proxy itself.
func FuzzRemoteAddr(f *testing.F) {
	for _, seed := range []string{
		"203.0.113.7", "198.51.100.1, 203.0.113.7, 10.0.0.2", "::ffff:203.0.113.8", "[2001:DB8::1]", "203.0.113.7, unknown", ", ,", "10.0.0.3",
		"203.0.113.5:51234", `"[2001:db8::1]:443"`, `"203.0.113.5"`, "203.0.113.5:_x", "[203.0.113.5]:1", "unknown", "_hidden", "203.0.113.5:", "fe80::1%eth0", "1.2.3.4:80", "[::1]:1", "0x7f000001", "010.0.0.1", "::ffff:10.0.0.1", "64:ff9b::1.2.3.4", strings.Repeat("10.0.0.1,", 100),
	} {
		f.Add(seed, "")
		f.Add("192.0.2.1", seed)
	}
	network := netip.MustParsePrefix("10.0.0.0/8")
	find := remoteAddr([]netip.Prefix{network})
	f.Fuzz(func(t *testing.T, first, second string) {
		forwarded := []string{first, second}
		from := func(peer string) netip.Addr {
			return find(&http.Request{RemoteAddr: peer, Header: http.Header{"X-Forwarded-For": forwarded, "X-Real-Ip": {first}, "Forwarded": {"for=" + first}}})
		}
		if got := from("198.51.100.77:1234"); got.String() != "198.51.100.77" {
			t.Fatalf("%q of a stranger was believed: %s", forwarded, got)
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
			if hasPort := err == nil && (ports.MatchString(port)) && (strings.HasPrefix(bare, "[") || !strings.Contains(host, ":")); hasPort {
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

// A token is what stands after "Bearer ", or all there is. It is handed on as it is.
func FuzzAuthorizationHeader(f *testing.F) {
	for _, seed := range []string{"Bearer a.b.c", "bearer x", "BEARER  x", "Basic eA==", "a.b.c", "", " ", "Bearer", "Bearer ", "Bearer\tx", "Bearer x y"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		token, ok := accessToken(&http.Request{Header: http.Header{"Authorization": {value}}})
		if _, twice := accessToken(&http.Request{Header: http.Header{"Authorization": {value, value}}}); twice {
			t.Fatalf("%q twice was taken", value)
		}
		if !ok {
			return
		}
		scheme := strings.TrimSuffix(value, token)
		if token != value && (!strings.EqualFold(scheme, "Bearer ") || scheme+token != value) {
			t.Fatalf("%q became %q", value, token)
		}
		if token == value && strings.Contains(token, " ") {
			t.Fatalf("%q was taken whole", value)
		}
	})
}

// What passes for JSON says so, in no other charset than UTF-8.
func FuzzContentType(f *testing.F) {
	for _, seed := range []string{
		"application/json", "application/json;charset=utf-8", "Application/JSON; Charset=\"UTF-8\"", "application/json; charset=utf-16", "text/plain",
		"application/json, text/plain", "application/json;charset*=utf-8''utf-16", "application/json; charset=utf-8; charset=utf-16", "application/jsonx", "",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if !isJSON(http.Header{"Content-Type": {value}}) {
			return
		}
		low := strings.ToLower(value)
		if name, _, _ := strings.Cut(low, ";"); strings.TrimSpace(name) != "application/json" {
			t.Fatalf("%q passes for JSON", value)
		}
		if strings.Contains(low, "charset=utf-16") || strings.Contains(low, "charset=iso") || strings.Contains(low, "charset=windows") {
			if !strings.Contains(low, "utf-8") && !strings.Contains(low, `"`) {
				t.Fatalf("%q passes for UTF-8", value)
			}
		}
		if isJSON(http.Header{"Content-Type": {value, value}}) {
			t.Fatalf("%q twice", value)
		}
	})
}
