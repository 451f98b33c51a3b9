package authclient

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/financelime/authorization/api/client"
)

// SignUpRequest has the data of a new user: Email, InviteCode, Language.
type SignUpRequest = client.SignUpRequest

// LoginRequest has the data of a login: Email, Password, ClientID (your application and its version), and Device, which may be empty.
type LoginRequest = client.CreateAccessTokenRequest

// Tokens are the tokens of a session: SessionID, AccessToken, RefreshToken, ExpiresIn.
type Tokens = client.AccessTokenResponse

// Client calls the service. It is safe for concurrent use.
//
// Without a token store, each session keeps its tokens in memory, and one Client serves any number of users. With a token store, the Client
// belongs to one user: create a Client for each user; it is small, and they may share an http.Client.
type Client struct {
	http      *http.Client // what the caller has given
	service   *http.Client // the same, for the service
	attempts  int
	store     TokenStore // nil: each session has a store in memory
	ended     func(error)
	requestID func(context.Context) string
	server    string
	origins   map[string]bool // may receive access tokens
	api       *client.ClientWithResponses
	writing   sync.Mutex // of the sessions that share store
}

// Option changes what New creates.
type Option func(*Client) error

// WithHTTPClient sets the HTTP client, with its transport, its timeout and its policy of redirects. The default has a timeout of 30 s.
// Requests to the service never follow redirects: the service has none, and they would carry passwords and refresh tokens elsewhere.
func WithHTTPClient(h *http.Client) Option {
	return func(c *Client) error {
		if h == nil {
			return errors.New("WithHTTPClient: there is no client")
		}
		c.http = h
		return nil
	}
}

// WithAttempts sets how often a request to the service is sent, at most, while it gets 503, and how often a refresh whose response was lost.
// The default is 3.
func WithAttempts(n int) Option {
	return func(c *Client) error {
		if n < 1 {
			return fmt.Errorf("WithAttempts: %d must be at least 1", n)
		}
		c.attempts = n
		return nil
	}
}

// WithTokenStore sets where the tokens of the session are stored. Resume continues a stored session after a restart.
func WithTokenStore(store TokenStore) Option {
	return func(c *Client) error {
		if store == nil {
			return errors.New("WithTokenStore: there is no store")
		}
		c.store = store
		return nil
	}
}

// WithSessionEnded sets a function that is called once when the service has ended the session, or when another process has logged out: show
// the login form. The error says why; errors.Is finds ErrLoggedOut in it. The calls that need the session wait until the function returns.
// LogOut and Forget do not call it.
func WithSessionEnded(ended func(error)) Option {
	return func(c *Client) error {
		c.ended = ended
		return nil
	}
}

// WithOrigins lists the origins of your own APIs, such as "https://api.example.com". Sessions send the access token to these and to the
// service, and nowhere else. An origin is scheme, host and port: https does not include http.
func WithOrigins(origins ...string) Option {
	return func(c *Client) error {
		for _, text := range origins {
			u, err := parseURL(text)
			if err != nil {
				return fmt.Errorf("WithOrigins: %w", err)
			}
			if strings.Trim(u.Path, "/") != "" {
				return fmt.Errorf("WithOrigins: %s has a path, but an origin is only scheme, host and port", text)
			}
			c.origins[originOf(u)] = true
		}
		return nil
	}
}

// WithRequestIDs sets a function that returns the request ID of a call, for example one that an incoming request has brought. An ID has
// 8 to 128 letters, digits and . _ : / + = @ -. The default is a random ID for each call.
func WithRequestIDs(next func(context.Context) string) Option {
	return func(c *Client) error {
		c.requestID = next
		return nil
	}
}

// New returns a client of the service at a base URL, such as "https://auth.example.com".
func New(baseURL string, options ...Option) (*Client, error) {
	base, err := parseURL(baseURL)
	if err != nil {
		return nil, fmt.Errorf("authclient: the URL of the service: %w", err)
	}
	c := &Client{
		http:     &http.Client{Timeout: 30 * time.Second},
		attempts: 3,
		server:   baseURL,
		origins:  map[string]bool{originOf(base): true},
	}
	for _, option := range options {
		if err := option(c); err != nil {
			return nil, fmt.Errorf("authclient: %w", err)
		}
	}
	c.service = c.withoutRedirects(c.http.Transport)
	c.api, err = c.connect(c.service)
	if err != nil {
		return nil, fmt.Errorf("authclient: %w", err)
	}
	return c, nil
}

func parseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, err
	}
	if (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("%q is not an address such as https://auth.example.com", u.Redacted())
	}
	return u, nil
}

// withoutRedirects returns a copy of the caller's HTTP client that has a transport and returns redirects as they are.
func (c *Client) withoutRedirects(transport http.RoundTripper) *http.Client {
	h := *c.http
	h.Transport = transport
	h.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &h
}

// connect returns the generated client over an HTTP client, with request IDs and repetitions.
func (c *Client) connect(h *http.Client) (*client.ClientWithResponses, error) {
	return client.NewClientWithResponses(c.server,
		client.WithHTTPClient(retry{next: h, attempts: c.attempts}), client.WithRequestEditorFn(c.setRequestID))
}

// setRequestID sets the request ID if the caller of the generated client has not.
func (c *Client) setRequestID(ctx context.Context, r *http.Request) error {
	if r.Header.Get("request-id") != "" {
		return nil
	}
	id := ""
	if c.requestID != nil {
		id = c.requestID(ctx)
	}
	if id == "" {
		id = rand.Text()
	}
	r.Header.Set("request-id", id)
	return nil
}

// API returns the generated client, for operations that have no method here. It sets request IDs: pass nil as the parameters of a call.
func (c *Client) API() *client.ClientWithResponses { return c.api }

// SignUp creates a user and mails a link that confirms the address. Its failures are ErrInviteNotFound, ErrInviteHasEnded and
// ErrUserAlreadyExist. If a response was lost and the sign-up is repeated, ErrUserAlreadyExist means that the first request has succeeded.
func (c *Client) SignUp(ctx context.Context, user SignUpRequest) error {
	response, err := c.api.Signup(ctx, nil, user)
	_, err = receive[none]("sign up", http.StatusNoContent, response, err)
	return err
}

// ResetPassword mails a link for a new password. To an address that waits for its confirmation, it mails the confirmation link again.
// It fails with ErrUserNotFound if no user has the address.
func (c *Client) ResetPassword(ctx context.Context, email string) error {
	response, err := c.api.UserPasswordReset(ctx, nil, client.RequestUserPasswordResetRequest{Email: email})
	_, err = receive[none]("reset the password", http.StatusNoContent, response, err)
	return err
}

// Login creates a session and stores its tokens. It fails with ErrUserNotFound if the address or the password is wrong, with
// ErrTooManyRequests after too many wrong passwords, and with a *SecondFactorRequiredError if CompleteLogin has to continue.
func (c *Client) Login(ctx context.Context, user LoginRequest) (*Session, error) {
	return c.login(ctx, func() (*http.Response, error) {
		response, err := c.api.CreateAccessToken(ctx, nil, user)
		if err == nil && response.StatusCode == http.StatusForbidden {
			return response, secondFactorRequired(response)
		}
		return response, err
	})
}

// login sends a request whose response has the tokens of a new session, and stores them.
func (c *Client) login(ctx context.Context, send func() (*http.Response, error)) (*Session, error) {
	sent := time.Now()
	response, err := send()
	tokens, err := receiveTokens("log in", response, err)
	if err != nil {
		return nil, err
	}
	store := c.store
	if store == nil {
		store = &MemoryStore{}
	}
	s, err := c.newSession(store, newGrant(tokens, sent))
	if err != nil {
		return nil, err
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	if err := store.Save(ctx, tokens); err != nil {
		return nil, fmt.Errorf("log in: store the tokens: %w", err)
	}
	return s, nil
}

// Resume continues the session in the token store, for example after a restart. It fails with ErrLoggedOut if the store is empty. It sends
// no request: if the service has ended the session, the first use of the session finds out.
func (c *Client) Resume(ctx context.Context) (*Session, error) {
	if c.store == nil {
		return nil, fmt.Errorf("resume: %w: the client has no token store", ErrLoggedOut)
	}
	tokens, err := c.store.Load(ctx)
	if err != nil {
		return nil, fmt.Errorf("resume: load the tokens: %w", err)
	}
	if tokens == nil {
		return nil, fmt.Errorf("resume: %w", ErrLoggedOut)
	}
	return c.newSession(c.store, resumedGrant(*tokens))
}
