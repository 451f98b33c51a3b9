package faults

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/api/client"
	"github.com/financelime/authorization/test/harness"
	"github.com/financelime/authorization/test/harness/smtprecorder"
)

// statusOf returns the status of a response, if there is one.
func statusOf[R interface{ StatusCode() int }](response R, err error) (int, error) {
	if err != nil {
		return 0, err
	}
	return response.StatusCode(), nil
}

// certainty is what a person knows about the outcome of a request.
type certainty int

const (
	no    certainty = iota
	maybe           // the response was lost, or was 503
	yes             // the service has acknowledged it
)

// unknown stands for the status of a request whose outcome the client does not know: no response, or 503.
const unknown = 0

// person is a simulated user. The fields record what the service has acknowledged, and therefore what must be in the database.
// A person makes one request at a time.
type person struct {
	sim     *simulation
	email   string
	account string // the account's ID, from the first access token

	signedUp  certainty
	confirmed certainty
	clicked   map[string]certainty // by the link's path: a link that is sent again differs only in its rid

	password string // the password of the last login
	mailed   string // a mailed password without an acknowledged login
	used     map[string]bool

	// A reset is a request, then a link, then a new password. There is one at a time.
	reset       resetState
	resets      int // acknowledged requests for a reset link
	resetsMaybe int // requests with an unknown outcome, each of which may send a link

	sessions []*session
	logins   int // logins with a lost response: each may have created a session
}

type resetState int

const (
	noReset resetState = iota
	wantsLink
	wantsPassword
)

// session is a session whose tokens the person has received.
type session struct {
	id           string
	refresh      string
	generation   int64
	refreshMaybe bool // the response of a refresh was lost
	access       string
	accessAt     time.Time
	ended        certainty
}

func newPerson(sim *simulation) *person {
	return &person{sim: sim, email: "p" + strings.ReplaceAll(uuid.NewString(), "-", "") + "@example.com", clicked: make(map[string]certainty), used: make(map[string]bool)}
}

func newRequestID() string { return uuid.NewString() }

// step performs one of the actions that are possible for the person now.
func (p *person) step(ctx context.Context) {
	live := p.activeSessions()
	chance := rand.Float64()
	switch {
	case p.signedUp != yes:
		if p.sim.invite() == "" {
			p.get(ctx, "/v1/version")
		} else {
			p.signUp(ctx)
		}
	case p.confirmed != yes:
		if chance < 0.1 {
			p.resend(ctx)
		} else {
			p.confirm(ctx)
		}
	case len(live) == 0 && (p.newPassword() || p.password != ""):
		p.login(ctx)
	case len(live) == 0:
		p.get(ctx, "/v1/version")
	case p.reset == wantsLink && chance < 0.3:
		p.openResetLink(ctx)
	case p.reset == wantsPassword && chance < 0.3:
		if p.newPassword() {
			p.login(ctx)
		}
	case p.reset == noReset && chance < 0.02:
		p.requestReset(ctx)
	case chance < 0.35:
		p.list(ctx, live[rand.IntN(len(live))])
	case chance < 0.38:
		p.get(ctx, []string{"/.well-known/jwks.json", "/v1/version", "/openapi.yaml"}[rand.IntN(3)])
	case chance < 0.41 && len(live) < 4:
		p.login(ctx)
	case chance < 0.44 && len(live) > 1:
		p.revoke(ctx, live[rand.IntN(len(live))], live[rand.IntN(len(live))])
	case chance < 0.47:
		p.refreshEnded(ctx)
	default:
		p.refreshUntilAnswered(ctx, live[rand.IntN(len(live))])
	}
}

// join performs the next step towards the first session, if it is possible yet.
func (p *person) join(ctx context.Context) {
	switch {
	case p.signedUp != yes:
		p.signUp(ctx)
	case p.confirmed != yes:
		p.confirm(ctx)
	case p.newPassword():
		p.login(ctx)
	}
}

// describe returns the person's state, the received mails and the mails in the database, for error messages.
func (p *person) describe() string {
	sim := p.sim
	text := fmt.Sprintf("%s: signed up %d, confirmed %d, wants %d, has a new password: %t, logins without a response: %d",
		p.email, p.signedUp, p.confirmed, p.reset, p.mailed != "", p.logins)
	for _, m := range sim.mails.To(p.email) {
		text += fmt.Sprintf("; received %q", m.Header().Get("Subject"))
	}
	return text + sim.describeMails("email = '"+p.email+"'")
}

// describeMails returns the mails in the database that match a condition, for error messages.
func (sim *simulation) describeMails(condition string) (text string) {
	sim.t.Helper()
	query := `
		SELECT kind, attempts, cast(due_at AS text), coalesce(cast(sent_at AS text), '-'), coalesce(cast(dead_at AS text), '-'), coalesce(last_error, '-')
		FROM mail JOIN account ON account.id = account_id WHERE ` + condition + ` ORDER BY mail.created_at`
	sim.s.Look(sim.t, func(db *sql.DB) {
		err := each(sim.t.Context(), db, query, func(scan func(...any) error) error {
			var kind, due, sent, dead, lastError string
			var attempts int
			err := scan(&kind, &attempts, &due, &sent, &dead, &lastError)
			text += fmt.Sprintf("; row %s, attempts %d, due %s, sent %s, dead %s: %s", kind, attempts, due, sent, dead, lastError)
			return err
		})
		if err != nil {
			sim.t.Error(err)
		}
	})
	return text
}

// activeSessions returns the sessions whose end was not acknowledged.
func (p *person) activeSessions() []*session {
	var live []*session
	for _, s := range p.sessions {
		if s.ended != yes {
			live = append(live, s)
		}
	}
	return live
}

func (p *person) signUp(ctx context.Context) {
	code := p.sim.invite()
	var response *client.SignupResponse
	status := p.sim.call(ctx, "sign-up", func(ctx context.Context) (int, error) {
		var err error
		response, err = p.sim.s.API.SignupWithResponse(ctx, &client.SignupParams{RequestID: newRequestID()},
			client.SignUpRequest{Email: p.email, InviteCode: code, Language: "en"})
		return statusOf(response, err)
	})
	switch {
	case status == 204:
		p.signedUp = yes
	case status == unknown:
		p.signedUp = maybe
	case status == 409 && response.JSON409.Message == client.SignUpFailure409MessageINVITEHASENDED:
		// This response is definite: there is no account with this address.
		p.signedUp = no
		p.sim.setInvite("")
	case status == 409 && p.signedUp == maybe:
		p.signedUp = yes
	default:
		p.sim.errorf("%s: sign-up: %d %s", p.email, status, response.Body)
	}
}

// resend requests the confirmation link again.
func (p *person) resend(ctx context.Context) {
	if p.confirmed == maybe {
		p.resetsMaybe++ // if the address is confirmed, this request sends a reset link
	}
	switch status := p.postReset(ctx); status {
	case 204, unknown:
	default:
		p.sim.errorf("%s: resend: %d", p.email, status)
	}
}

func (p *person) postReset(ctx context.Context) int {
	return p.sim.call(ctx, "reset", func(ctx context.Context) (int, error) {
		r, err := p.sim.s.API.UserPasswordResetWithResponse(ctx, &client.UserPasswordResetParams{RequestID: newRequestID()},
			client.RequestUserPasswordResetRequest{Email: p.email})
		return statusOf(r, err)
	})
}

// linkKey returns a link without its rid.
func linkKey(link string) string {
	key, _, _ := strings.Cut(link, "?")
	return key
}

// newestLink returns the newest unused link from a mail whose subject contains a word.
func (p *person) newestLink(subject string) string {
	for _, m := range slices.Backward(p.sim.mails.To(p.email)) {
		if link := m.Link(); link != "" && p.clicked[linkKey(link)] != yes && strings.Contains(m.Header().Get("Subject"), subject) {
			return link
		}
	}
	return ""
}

func (p *person) open(ctx context.Context, link string) int {
	u, err := url.Parse(link)
	if err != nil {
		p.sim.errorf("%s: the link %q: %v", p.email, link, err)
		return unknown
	}
	status := p.get(ctx, u.RequestURI())
	if status == http.StatusNotFound && p.clicked[linkKey(link)] == no && os.Getenv(harness.Balancer) == "nginx" {
		// nginx repeats a GET at another replica if the first one was killed before it responded. The first one may have used the link.
		return unknown
	}
	return status
}

// get makes a GET request like a browser.
func (p *person) get(ctx context.Context, path string) int {
	return p.sim.call(ctx, strings.SplitN(path, "/", 4)[1], func(ctx context.Context) (int, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.sim.s.URL+path, nil)
		if err != nil {
			return 0, err
		}
		request.Header.Set("request-id", newRequestID())
		request.Header.Set("Accept", "text/plain, */*;q=0.1")
		response, err := p.sim.s.HTTP.Do(request)
		if err != nil {
			return 0, err
		}
		return response.StatusCode, response.Body.Close()
	})
}

// confirm opens the confirmation link, if it has arrived.
func (p *person) confirm(ctx context.Context) {
	link := p.newestLink("Confirm")
	if link == "" {
		return
	}
	status := p.open(ctx, link)
	switch {
	case status == 200, status == 404 && p.clicked[linkKey(link)] == maybe:
		p.clicked[linkKey(link)], p.confirmed, p.reset = yes, yes, wantsPassword
	case status == unknown:
		p.clicked[linkKey(link)], p.confirmed = maybe, maybe
	default:
		p.sim.errorf("%s: open the confirmation link: %d", p.email, status)
	}
}

func (p *person) requestReset(ctx context.Context) {
	switch status := p.postReset(ctx); status {
	case 204:
		p.resets++
		p.reset = wantsLink
	case unknown:
		p.resetsMaybe++
	default:
		p.sim.errorf("%s: reset: %d", p.email, status)
	}
}

func (p *person) openResetLink(ctx context.Context) {
	link := p.newestLink("reset")
	if link == "" {
		return
	}
	status := p.open(ctx, link)
	switch {
	case status == 200, status == 404 && p.clicked[linkKey(link)] == maybe:
		p.clicked[linkKey(link)], p.reset = yes, wantsPassword
	case status == unknown:
		p.clicked[linkKey(link)] = maybe
	case status == 404 && p.resetsMaybe > 0: // a newer link, from a request with a lost response, has replaced it
		p.clicked[linkKey(link)] = yes
	default:
		p.sim.errorf("%s: open the reset link: %d", p.email, status)
	}
}

// newPassword looks for a mailed password that was not used, and reports whether there is one.
func (p *person) newPassword() bool {
	if p.reset != wantsPassword {
		return false
	}
	for _, m := range slices.Backward(p.sim.mails.To(p.email)) {
		if password := m.Password(); password != "" && !p.used[password] {
			p.mailed = password
			break
		}
	}
	return p.mailed != ""
}

// login creates a session. It uses the mailed password, if there is one.
func (p *person) login(ctx context.Context) {
	password := p.password
	if p.mailed != "" {
		password = p.mailed
	}
	var response *client.CreateAccessTokenResponse
	status := p.sim.call(ctx, "login", func(ctx context.Context) (int, error) {
		var err error
		response, err = p.sim.s.API.CreateAccessTokenWithResponse(ctx, &client.CreateAccessTokenParams{RequestID: newRequestID()},
			client.CreateAccessTokenRequest{Email: p.email, Password: password, ClientID: "faults", Device: client.Device{}})
		return statusOf(response, err)
	})
	if p.mailed != "" && (status == 200 || status == unknown) {
		// The first use of a new password ends all older sessions.
		for _, s := range p.activeSessions() {
			s.ended = max(s.ended, map[bool]certainty{true: yes, false: maybe}[status == 200])
		}
	}
	switch status {
	case 200:
		if p.mailed != "" {
			p.password, p.mailed, p.reset = p.mailed, "", noReset
			p.used[p.password] = true
		}
		s := &session{id: response.JSON200.SessionID}
		p.sessions = append(p.sessions, s)
		p.storeTokens(s, *response.JSON200)
	case unknown:
		p.logins++
	default:
		p.sim.errorf("%s: login: %d", p.email, status)
	}
}

// storeTokens checks the tokens of a response and stores them in the session.
func (p *person) storeTokens(s *session, tokens client.AccessTokenResponse) {
	var claims struct {
		Session    string `json:"sid"`
		Generation int64  `json:"gen"`
	}
	payload(p.sim, tokens.RefreshToken, &claims)
	var access struct {
		Account string `json:"sub"`
		Session string `json:"sid"`
	}
	payload(p.sim, tokens.AccessToken, &access)
	if p.account == "" {
		p.account = access.Account
	}
	if access.Account != p.account || access.Session != s.id {
		p.sim.errorf("%s: the access token is for account %s, session %s, want %s, %s", p.email, access.Account, access.Session, p.account, s.id)
	}
	if tokens.SessionID != s.id || claims.Session != s.id {
		p.sim.errorf("%s: tokens of session %s, want session %s", p.email, tokens.SessionID, s.id)
	}
	if claims.Generation != s.generation+1 {
		p.sim.errorf("%s: generation %d follows %d", p.email, claims.Generation, s.generation)
	}
	s.refresh, s.generation, s.refreshMaybe = tokens.RefreshToken, claims.Generation, false
	s.access, s.accessAt = tokens.AccessToken, time.Now()
}

// payload decodes a token's claims without verifying the signature.
func payload(sim *simulation, token string, claims any) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		sim.errorf("not a token: %q", token)
		return
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err == nil {
		err = json.Unmarshal(text, claims)
	}
	if err != nil {
		sim.errorf("token %q: %v", token, err)
	}
}

// refreshUntilAnswered refreshes a session and retries, as a client does, until there is a response.
func (p *person) refreshUntilAnswered(ctx context.Context, s *session) {
	for p.refresh(ctx, s) == unknown && ctx.Err() == nil {
		p.sim.pause(ctx)
	}
}

func (p *person) refresh(ctx context.Context, s *session) int {
	status, tokens := p.putRefresh(ctx, s.refresh)
	switch {
	case status == 200: // also if s.ended is maybe: the request that may end it may not have reached the database yet
		p.storeTokens(s, *tokens)
	case status == unknown:
		s.refreshMaybe = true
	case status == 404 && s.ended == maybe:
		s.ended = yes
	default:
		p.sim.errorf("%s: refresh of the active session %s, generation %d (a response was lost: %t): %d", p.email, s.id, s.generation, s.refreshMaybe, status)
		s.ended = yes // report it only once
	}
	return status
}

func (p *person) putRefresh(ctx context.Context, token string) (int, *client.AccessTokenResponse) {
	var tokens *client.AccessTokenResponse
	status := p.sim.call(ctx, "refresh", func(ctx context.Context) (int, error) {
		r, err := p.sim.s.API.RefreshAccessTokenWithResponse(ctx, &client.RefreshAccessTokenParams{RequestID: newRequestID()},
			client.RefreshAccessTokenRequest{RefreshToken: token})
		if err == nil {
			tokens = r.JSON200
		}
		return statusOf(r, err)
	})
	return status, tokens
}

// refreshEnded checks that the last ended session cannot be refreshed.
func (p *person) refreshEnded(ctx context.Context) {
	for _, s := range slices.Backward(p.sessions) {
		if s.ended == yes {
			if status, _ := p.putRefresh(ctx, s.refresh); status != 404 && status != unknown {
				p.sim.errorf("%s: refresh of the ended session %s: %d", p.email, s.id, status)
			}
			return
		}
	}
}

// accessToken returns an access token that has not expired, or "" if the refresh failed.
func (p *person) accessToken(ctx context.Context, s *session) string {
	if time.Since(s.accessAt) > 5*time.Minute {
		p.refreshUntilAnswered(ctx, s)
	}
	if time.Since(s.accessAt) > 5*time.Minute {
		return ""
	}
	return s.access
}

// bearer adds an access token to a request.
func bearer(token string) client.RequestEditorFn {
	return func(_ context.Context, r *http.Request) error {
		r.Header.Set("Authorization", "Bearer "+token)
		return nil
	}
}

func (p *person) list(ctx context.Context, with *session) {
	token := p.accessToken(ctx, with)
	if token == "" {
		return
	}
	var response *client.GetListActiveSessionsResponse
	status := p.sim.call(ctx, "list", func(ctx context.Context) (int, error) {
		var err error
		response, err = p.sim.s.API.GetListActiveSessionsWithResponse(ctx, &client.GetListActiveSessionsParams{RequestID: newRequestID()}, bearer(token))
		return statusOf(response, err)
	})
	if status == unknown {
		return
	}
	if status != 200 {
		p.sim.errorf("%s: list: %d", p.email, status)
		return
	}
	listed := make(map[string]bool)
	for _, s := range *response.JSON200 {
		listed[s.SessionID] = true
	}
	for _, s := range p.sessions {
		if listed[s.id] && s.ended == yes || !listed[s.id] && s.ended == no {
			p.sim.errorf("%s: the session %s is listed: %t, its end is %d", p.email, s.id, listed[s.id], s.ended)
		}
		delete(listed, s.id)
	}
	if len(listed) > p.logins {
		p.sim.errorf("%s: %d unknown sessions, but only %d logins without a response", p.email, len(listed), p.logins)
	}
}

func (p *person) revoke(ctx context.Context, with, which *session) {
	token := p.accessToken(ctx, with)
	if token == "" {
		return
	}
	status := p.sim.call(ctx, "revoke", func(ctx context.Context) (int, error) {
		r, err := p.sim.s.API.RevokeRefreshTokenWithResponse(ctx, &client.RevokeRefreshTokenParams{RequestID: newRequestID()},
			client.RevokeRefreshTokenRequest{SessionID: which.id}, bearer(token))
		return statusOf(r, err)
	})
	switch status {
	case 204:
		which.ended = yes
	case unknown:
		which.ended = max(which.ended, maybe)
	default:
		p.sim.errorf("%s: revoke: %d", p.email, status)
	}
}

// mailsOf returns the distinct mails to an address, by Message-ID.
func mailsOf(mails *smtprecorder.Recorder, email string) map[string]*smtprecorder.Message {
	distinct := make(map[string]*smtprecorder.Message)
	for _, m := range mails.To(email) {
		distinct[m.ID()] = m
	}
	return distinct
}
