package dev

import (
	"slices"
	"testing"
)

// TestExamplesOfTheDocument checks the values that documents and other projects use.
func TestExamplesOfTheDocument(t *testing.T) {
	t.Parallel()
	found, err := readExamples()
	if err != nil {
		t.Fatal(err)
	}
	for what, pair := range map[string][2]string{
		"user":        {found.userEmail, "test.user@financelime.com"},
		"password":    {found.password, "qmhVXVC1%hVNa0Hcq"},
		"invite code": {found.inviteCode, "testInviteCode"},
		"sign-up":     {found.newEmail, "new.user@financelime.com"},
		"session":     {found.sessionID.String(), "019aaf6e-9c2b-7c41-8b1e-2f60a4a9d1c7"},
		"user ID":     {found.userID.String(), "019aaf6e-0b1c-7d52-9f3a-6b1f0c2d4e5f"},
		"key":         {found.confirmationKey, "0Zq5V8XpZ3rT1m2nB7cK4yHdLwQeGsUaFiJoRvNxM9k"},
		"link key":    {found.linkKey, "7Kd2Qx0wYb9sNf4tGh6uJm1vLp8zRc3eTa5iUoWqSgE"},
		"client":      {found.clientID, "PWA_v0.0.1"},
	} {
		if pair[0] != pair[1] {
			t.Errorf("the example of the %s is %q, want %q", what, pair[0], pair[1])
		}
	}
	const access = "eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCIsImtpZCI6IjEifQ.eyJzdWIiOiIwMTlhYWY2ZS0wIn0.c2lnbmF0dXJl"
	if !slices.Equal(found.accessTokens, []string{access}) || len(found.refreshTokens) != 2 {
		t.Errorf("access tokens %q, refresh tokens %q", found.accessTokens, found.refreshTokens)
	}
}

// TestAllowsOrigin expects only origins of pages that this machine serves by http.
func TestAllowsOrigin(t *testing.T) {
	t.Parallel()
	for origin, want := range map[string]bool{
		"http://localhost": true, "http://localhost:3000": true, "http://localhost:80": true, "http://localhost:65535": true,
		"http://127.0.0.1": true, "http://127.0.0.1:5173": true, "http://[::1]": true, "http://[::1]:4200": true,

		"": false, "null": false, "*": false, "localhost": false, "localhost:3000": false, "//localhost": false,
		"https://localhost": false, "https://localhost:3000": false, "HTTP://localhost": false, "http://LOCALHOST": false,
		"http://localhost:": false, "http://localhost:0": false, "http://localhost:080": false, "http://localhost:65536": false,
		"http://localhost:99999": false, "http://localhost:3000/": false, "http://localhost/": false, "http://localhost:*": false,
		"http://localhost.evil.com": false, "http://localhost.": false, "http://localhost:80@evil.com": false, "http://localhost@evil.com": false,
		"http://evil.com#localhost": false, "http://evil.localhost": false, "http://notlocalhost": false, "http://localhost\n": false,
		"http://localhost:3000\nhttp://evil.com": false, "http://localhost:3000 http://evil.com": false, "http://evil.com\nhttp://localhost": false,
		"http://127.0.0.1.evil.com": false, "http://127.0.0.2": false, "http://127x0x0x1": false, "http://0.0.0.0:3000": false, "http://127.1": false,
		"http://192.168.0.7": false, "http://[::1]evil.com": false, "http://[::2]": false, "http://::1": false, "http://[::ffff:127.0.0.1]": false,
		"capacitor://localhost": false, "file://localhost": false, "http://localhost:３０００": false,
	} {
		if got := AllowsOrigin(origin); got != want {
			t.Errorf("%q: %v, want %v", origin, got, want)
		}
	}
}
