package authclient_test

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/financelime/authorization/api/authclient"
	"github.com/financelime/authorization/api/client"
)

// TestRequestsAreNotModified checks the contract of http.RoundTripper: the request stays as it is, and its body is closed in every case.
func TestRequestsAreNotModified(t *testing.T) {
	t.Parallel()
	s := newService()
	c := newClient(t, s)
	session := login(t, c)
	for name, prepare := range map[string]func(r *http.Request){
		"the first attempt":        func(*http.Request) {},
		"after a refresh":          func(*http.Request) { s.change(func() { s.expires = time.Now() }) },
		"a failed refresh":         func(*http.Request) { s.change(func() { s.expires = time.Now() }); s.respondWith(500, "text/plain", "") },
		"to an unknown origin":     func(r *http.Request) { r.URL.Host = "elsewhere.example.com" },
		"without headers":          func(r *http.Request) { r.Header = nil },
		"the body cannot be reset": func(r *http.Request) { r.GetBody = nil; s.change(func() { s.expires = time.Now() }) },
		"logged out": func(*http.Request) {
			if err := session.Forget(t.Context()); err != nil {
				t.Error(err)
			}
		},
	} {
		s.recover()
		session = login(t, c)
		body := &closing{Reader: strings.NewReader("data")}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, apiURL+"/orders", body)
		if err != nil {
			t.Fatal(err)
		}
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("data")), nil }
		r.Header.Set("x-mine", "1")
		prepare(r)
		header, target := maps.Clone(r.Header), r.URL.String()
		response, err := session.RoundTrip(r)
		if err == nil {
			response.Body.Close()
			if response.Request.Header.Get("authorization") != "" {
				t.Errorf("%s: the response has the token", name)
			}
		}
		if !maps.EqualFunc(header, r.Header, slices.Equal) || target != r.URL.String() || r.Body != body {
			t.Errorf("%s: the request has changed: %v %v", name, r.URL, r.Header)
		}
		if !body.closed {
			t.Errorf("%s: the body is open", name)
		}
	}
}

type closing struct {
	io.Reader
	closed bool
}

func (c *closing) Close() error { c.closed = true; return nil }

// TestBodiesAreSentAgain checks that a request has its body also after a refresh, and that one whose body can be read only once is not
// repeated, but lets the next request refresh.
func TestBodiesAreSentAgain(t *testing.T) {
	t.Parallel()
	s := newService()
	session := login(t, newClient(t, s))
	s.change(func() { s.expires = time.Now() })
	post := func(body io.Reader) (string, error) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, apiURL+"/orders ", body)
		if err != nil {
			t.Fatal(err)
		}
		return send(session, r)
	}
	if body, err := post(strings.NewReader("data")); err != nil || body != "POST /orders data" {
		t.Errorf("%q, %v", body, err)
	}
	s.change(func() { s.expires = time.Now() })
	if body, err := post(io.MultiReader(strings.NewReader("data"))); err == nil || err.Error() != "status 401: " {
		t.Errorf("%q, %v", body, err)
	}
	if body, err := post(io.MultiReader(strings.NewReader("data"))); err != nil || body != "POST /orders data" {
		t.Errorf("%q, %v", body, err)
	}
	s.change(func() { s.expires = time.Now() })
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, apiURL+"/orders", strings.NewReader("data"))
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("no second body")
	r.GetBody = func() (io.ReadCloser, error) { return nil, broken }
	if _, err := send(session, r); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
}

// TestTokenStaysWithAllowedOrigins checks where the access token goes, also after redirects.
func TestTokenStaysWithAllowedOrigins(t *testing.T) {
	t.Parallel()
	for start, want := range map[string]struct {
		token bool // whether the last request has the token
		fails bool // before any request
	}{
		apiURL + "/orders":                                       {token: true},
		"https://API.example.com:443/orders":                     {token: true},
		authURL + "/orders":                                      {token: true},
		"http://api.example.com/orders":                          {fails: true},
		"http://api.example.com:443/orders":                      {fails: true},
		"https://api.example.com:8443/orders":                    {fails: true},
		"https://api.example.com.evil.example/orders":            {fails: true},
		"https://api.example.com@evil.example/orders":            {fails: true},
		apiURL + "/to?" + apiURL + "/orders":                     {token: true},
		apiURL + "/to?" + authURL + "/orders":                    {token: true},
		apiURL + "/to?https://evil.example/orders":               {token: false},
		apiURL + "/to?http://api.example.com/orders":             {token: false},
		apiURL + "/to?https://evil.example/to?" + apiURL + "/x":  {token: false},
		apiURL + "/to?https://evil.example/to?" + authURL + "/x": {token: false},
	} {
		t.Run(start, func(t *testing.T) {
			t.Parallel()
			s := newService()
			session := login(t, newClient(t, s))
			before := len(s.seen)
			s.api = func(w http.ResponseWriter, r *http.Request) {
				if target, err := url.QueryUnescape(r.URL.RawQuery); err == nil && r.URL.Path == "/to" {
					w.Header().Set("location", target)
					w.WriteHeader(http.StatusTemporaryRedirect)
				}
			}
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, start, nil)
			if err != nil {
				t.Fatal(err)
			}
			_, err = send(session, r)
			if (err != nil) != want.fails {
				t.Fatalf("%v", err)
			}
			if want.fails {
				if len(s.seen) != before || !strings.Contains(err.Error(), "WithOrigins") {
					t.Errorf("%d requests, %v", len(s.seen)-before, err)
				}
				return
			}
			last := s.seen[len(s.seen)-1].request
			if got := last.Header.Get("authorization") != ""; got != want.token {
				t.Errorf("%s got the token: %t", last.URL, got)
			}
		})
	}
}

// TestServiceRedirectsAreNotFollowed checks that passwords and refresh tokens stay with the service.
func TestServiceRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	var sent []string
	c := newClient(t, transport(func(r *http.Request) (*http.Response, error) {
		sent = append(sent, r.URL.String())
		return &http.Response{
			StatusCode: http.StatusPermanentRedirect, Header: http.Header{"Location": {"https://evil.example/v1/oauth/create"}}, Body: http.NoBody, Request: r,
		}, nil
	}))
	_, err := c.Login(t.Context(), authclient.LoginRequest{Email: email, Password: password, ClientID: "shop_v1"})
	if failure, ok := errors.AsType[*authclient.Error](err); !ok || failure.Status != http.StatusPermanentRedirect {
		t.Errorf("%v", err)
	}
	if len(sent) != 1 {
		t.Errorf("requests: %q", sent)
	}
}

type transport func(r *http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestRejectingAPIDoesNotCauseRefreshes checks that an API that rejects new tokens too, for example because of their audience, causes one
// refresh for each token and not one for each call.
func TestRejectingAPIDoesNotCauseRefreshes(t *testing.T) {
	t.Parallel()
	s := newService()
	session := login(t, newClient(t, s))
	s.api = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }
	for range 10 {
		if _, err := get(t.Context(), session); err == nil || err.Error() != "status 401: " {
			t.Fatalf("%v", err)
		}
	}
	if n := s.count(); n != 1 {
		t.Errorf("%d refreshes", n)
	}
	if _, err := session.Sessions(t.Context()); err != nil {
		t.Errorf("another origin: %v", err)
	}
}

// TestClientOptions lists the mistakes that New finds.
func TestClientOptions(t *testing.T) {
	t.Parallel()
	for _, base := range []string{"", "auth.example.com", "ftp://auth.example.com", "https://", "https://a:b@example.com", "https://example.com?x", "%"} {
		if _, err := authclient.New(base); err == nil {
			t.Errorf("the URL %q was accepted", base)
		}
	}
	for name, option := range map[string]authclient.Option{
		"attempts": authclient.WithAttempts(0), "origins": authclient.WithOrigins("https://api.example.com/v1"), "host": authclient.WithOrigins("api.example.com"),
		"client": authclient.WithHTTPClient(nil), "store": authclient.WithTokenStore(nil),
	} {
		if _, err := authclient.New(authURL, option); err == nil {
			t.Errorf("%s: a wrong option was accepted", name)
		}
	}
	if _, err := newClient(t, newService()).Resume(t.Context()); !errors.Is(err, authclient.ErrLoggedOut) {
		t.Errorf("resume without a store: %v", err)
	}
}

// TestRequestIDs checks that each call has an ID, and that the caller may choose it.
func TestRequestIDs(t *testing.T) {
	t.Parallel()
	type key struct{}
	s := newService()
	c := newClient(t, s, authclient.WithRequestIDs(func(ctx context.Context) string {
		id, _ := ctx.Value(key{}).(string)
		return id
	}))
	session := login(t, c)
	if _, err := session.Sessions(context.WithValue(t.Context(), key{}, "incoming-1")); err != nil {
		t.Fatal(err)
	}
	response, err := session.API().GetListActiveSessions(t.Context(), &client.GetListActiveSessionsParams{RequestID: "mine-123"})
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if id := response.Header.Get("request-id"); id != "mine-123" {
		t.Errorf("the caller's ID has become %q", id)
	}
	random := s.seen[0].request.Header.Get("request-id")
	if chosen := s.seen[1].request.Header.Get("request-id"); len(random) < 20 || chosen != "incoming-1" {
		t.Errorf("IDs %q, %q", random, chosen)
	}
}
