package dev

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/address"
	"github.com/financelime/authorization/impl/link"
	"github.com/financelime/authorization/impl/password"
	"github.com/financelime/authorization/impl/secret"
	"github.com/financelime/authorization/impl/token"
)

// Header is the response header that says that the service accepts the examples.
const Header = "x-dev"

const (
	// maxBody is the largest body in which the Handler looks for examples. The contract allows no larger one.
	maxBody = 16 << 10
	// restoreTimeout limits the time for restoring what the examples of one request need.
	restoreTimeout = 5 * time.Second
)

// Config has the parts of the service that the Handler uses.
type Config struct {
	Store   *db.Store // claimed
	Root    secret.Root
	Hasher  *password.Hasher
	Links   link.Keys
	Access  *token.Access
	Refresh *token.Refresh
	Log     *slog.Logger

	SignUpLinkTTL, RefreshTTL, SessionMaxAge time.Duration
}

// Handler makes the examples of openapi.yaml work. It is safe for concurrent use.
type Handler struct {
	next    http.Handler
	seed    *seed
	access  *token.Access
	refresh *token.Refresh
	log     *slog.Logger

	// using is held while a request with an example is handled, so that no other one uses up what was restored for it.
	using sync.Mutex
}

// New creates what the examples need and returns a handler that calls next.
func New(ctx context.Context, cfg Config, next http.Handler) (*Handler, error) {
	found, err := readExamples()
	if err != nil {
		return nil, err
	}
	s := &seed{
		examples: found, store: cfg.Store, root: cfg.Root, hasher: cfg.Hasher, links: cfg.Links,
		signUpLinkTTL: cfg.SignUpLinkTTL, refreshTTL: cfg.RefreshTTL, sessionMaxAge: cfg.SessionMaxAge,
	}
	if err := s.create(ctx); err != nil {
		return nil, err
	}
	return &Handler{next: next, seed: s, access: cfg.Access, refresh: cfg.Refresh, log: cfg.Log}, nil
}

// UserEmail returns the address of the example user.
func (h *Handler) UserEmail() string { return h.seed.userEmail }

// InviteCode returns the code of the example invite.
func (h *Handler) InviteCode() string { return h.seed.inviteCode }

// otherHost is the response to a request whose Host is not allowed.
const otherHost = "With --dev, the service is available on this machine and in its private network only: use http://localhost, an IP address or a container's name."

// ServeHTTP refuses the names of hosts in the internet. It restores what the examples in a request need, replaces example tokens and link
// keys by real ones, and calls the next handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set(Header, "true")
	if !AllowsHost(r.Host) {
		http.Error(w, otherHost, http.StatusForbidden)
		return
	}
	body := readBody(r)
	uses := h.find(r, body)
	if len(uses) == 0 {
		h.next.ServeHTTP(w, r)
		return
	}
	held := &heldResponse{w: w}
	h.handle(held, r, uses)
	held.send()
}

// handle restores what the examples in a request need and calls the next handler. It waits for other requests with an example, but for no
// client: the body has been read, and the response is held.
func (h *Handler) handle(held *heldResponse, r *http.Request, uses []use) {
	h.using.Lock()
	defer h.using.Unlock()
	copied := *r
	copied.Header = r.Header.Clone()
	r = &copied
	ctx, cancel := context.WithTimeout(r.Context(), restoreTimeout)
	defer cancel()
	for _, use := range uses {
		// If the database is unavailable, the service itself responds with 503.
		if err := use(ctx, r); err != nil {
			h.log.WarnContext(ctx, "dev.restore_failed", slog.Any("error", err))
		}
	}
	h.next.ServeHTTP(held, r)
}

// readBody reads a body, which may contain examples, and puts it back. So no request waits for its body while it keeps others waiting.
func readBody(r *http.Request) []byte {
	if r.Body == nil || r.ContentLength > maxBody {
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	rest := io.Reader(r.Body)
	if err != nil {
		rest = failingReader{err}
	}
	r.Body = readCloser{io.MultiReader(bytes.NewReader(body), rest), r.Body}
	if err != nil || len(body) > maxBody {
		return nil
	}
	return body
}

type readCloser struct {
	io.Reader
	io.Closer
}

type failingReader struct{ err error }

func (f failingReader) Read([]byte) (int, error) { return 0, f.err }

const (
	signUpPath  = "/v1/user/signup"
	resetPath   = "/v1/user/password"
	loginPath   = "/v1/oauth/create"
	refreshPath = "/v1/oauth/refresh"
	changePath  = "/v1/user/password"
	stepUpPath  = "/v1/oauth/step_up"
	linkPath    = "/u/"
	pagePath    = "/l/"
)

// use restores what one example in a request needs, and replaces the example.
type use func(context.Context, *http.Request) error

// find returns the uses of the examples in a request.
func (h *Handler) find(r *http.Request, body []byte) (uses []use) {
	if values := r.Header.Values("Authorization"); len(values) == 1 {
		scheme, example, found := strings.Cut(values[0], " ")
		if !found {
			scheme, example = "Bearer", scheme
		}
		if strings.EqualFold(scheme, "Bearer") && slices.Contains(h.seed.accessTokens, example) {
			uses = append(uses, h.useAccessToken)
		}
	}
	switch {
	case r.URL.Path == linkPath+h.seed.confirmationKey && r.Method == http.MethodGet:
		uses = append(uses, h.useLink(linkPath))
	case r.URL.Path == pagePath+h.seed.linkKey && (r.Method == http.MethodGet || r.Method == http.MethodPost):
		uses = append(uses, h.useLink(pagePath))
	}
	var sent struct {
		Email        string `json:"email"`
		Password     string `json:"password"`
		Current      string `json:"currentPassword"`
		InviteCode   string `json:"inviteCode"`
		RefreshToken string `json:"refreshToken"`
	}
	if json.Unmarshal(body, &sent) != nil {
		return uses
	}
	email, _ := address.Normalize(sent.Email)
	switch path := r.Method + " " + r.URL.Path; {
	case path == "POST "+signUpPath && email == h.seed.newEmail && sent.InviteCode == h.seed.inviteCode:
		uses = append(uses, func(ctx context.Context, _ *http.Request) error { return h.seed.deleteSignUp(ctx) })
	case path == "POST "+resetPath && email == h.seed.userEmail:
		uses = append(uses, func(ctx context.Context, _ *http.Request) error {
			_, err := h.seed.restoreUser(ctx)
			return err
		})
	case path == "POST "+loginPath && email == h.seed.userEmail && sent.Password == h.seed.password:
		uses = append(uses, func(ctx context.Context, _ *http.Request) error { return h.seed.restorePassword(ctx) })
	case path == "PUT "+changePath && sent.Current == h.seed.password, path == "POST "+stepUpPath && sent.Password == h.seed.password:
		uses = append(uses, func(ctx context.Context, _ *http.Request) error { return h.seed.restorePassword(ctx) })
	case path == "PUT "+refreshPath && slices.Contains(h.seed.refreshTokens, sent.RefreshToken):
		uses = append(uses, h.useRefreshToken(body, sent.RefreshToken))
	}
	return uses
}

// useAccessToken replaces the example of an access token by a new one of the example session.
func (h *Handler) useAccessToken(ctx context.Context, r *http.Request) error {
	access, err := h.access.Sign(h.seed.userID, h.seed.sessionID, h.seed.clientID, token.Authentication{
		Time: now(), Methods: []string{token.Password},
	})
	if err != nil {
		return fmt.Errorf("sign an access token: %w", err)
	}
	r.Header.Set("Authorization", "Bearer "+access)
	_, err = h.seed.restoreSession(ctx)
	return err
}

// useRefreshToken replaces the example of a refresh token by the current one of the example session.
func (h *Handler) useRefreshToken(body []byte, example string) use {
	return func(ctx context.Context, r *http.Request) error {
		session, err := h.seed.restoreSession(ctx)
		if err != nil { // the service gets the same error when it looks for the session of this token
			session = db.Session{ID: h.seed.sessionID, Generation: 1, RefreshedAt: now()}
		}
		current, signErr := h.refresh.Token(session.ID, session.Generation, session.RefreshedAt)
		if signErr != nil {
			return fmt.Errorf("sign a refresh token: %w", signErr)
		}
		replaced := bytes.ReplaceAll(body, []byte(example), []byte(current))
		r.Body = readCloser{bytes.NewReader(replaced), r.Body}
		if r.ContentLength >= 0 {
			r.ContentLength = int64(len(replaced))
			r.Header.Set("Content-Length", strconv.Itoa(len(replaced)))
		}
		return err
	}
}

// useLink replaces the example of a link key by the key of the example sign-up, whose link has the form of the path.
func (h *Handler) useLink(path string) use {
	return func(ctx context.Context, r *http.Request) error {
		key, err := h.seed.restoreSignUp(ctx, path == pagePath)
		if err != nil {
			return err
		}
		url := *r.URL
		url.Path, url.RawPath = path+key, ""
		r.URL = &url
		return nil
	}
}
