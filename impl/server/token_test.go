package server

import (
	"net/http"
	"strings"
	"testing"
)

// The token is the text after "Bearer ", or the whole value. It is not changed.
func FuzzAuthorizationHeader(f *testing.F) {
	for _, seed := range []string{"Bearer a.b.c", "bearer x", "BEARER  x", "Basic eA==", "a.b.c", "", " ", "Bearer", "Bearer ", "Bearer\tx", "Bearer x y"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		token, ok := accessToken(&http.Request{Header: http.Header{"Authorization": {value}}})
		if _, twice := accessToken(&http.Request{Header: http.Header{"Authorization": {value, value}}}); twice {
			t.Fatalf("two headers %q were accepted", value)
		}
		if !ok {
			return
		}
		scheme := strings.TrimSuffix(value, token)
		if token != value && (!strings.EqualFold(scheme, "Bearer ") || scheme+token != value) {
			t.Fatalf("the token of %q is %q", value, token)
		}
		if token == value && strings.Contains(token, " ") {
			t.Fatalf("all of %q was accepted as a token", value)
		}
	})
}
