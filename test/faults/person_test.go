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
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/api/client"
	"github.com/financelime/authorization/test/harness/smtprecorder"
)

// statusOf is the status of an answer, if there is one.
func statusOf[R interface{ StatusCode() int }](answer R, err error) (int, error) {
	if err != nil {
		return 0, err
	}
	return answer.StatusCode(), nil
}

// known is what a person knows of something that they asked for.
type known int

const (
	no    known = iota
	maybe       // the answer was lost, or was 503
	yes         // the service has acknowledged it
)

// lost is the status of a request whose outcome nobody knows: without an answer, or with a 503.
const lost = 0

// person is a simulated user: what they know, and so what the service owes them. A person does one thing at a time.
type person struct {
	w       *world
	email   string
	account string // its id, from the first access token

	signedUp  known
	confirmed known
	clicked   map[string]known // by the link's path: a resent link is the same one with another rid

	password string // the one that has logged in last
	fresh    string // one that was mailed and has not logged in yet, as far as the person knows
	used     map[string]bool

	// A reset goes from a request over a link to a new password, one at a time.
	reset       resetState
	resets      int // acknowledged requests for a reset link
	resetsMaybe int // others: more than one link may be on its way

	sessions []*session
	logins   int // whose answer was lost: each may have begun a session that nobody knows
}

type resetState int

const (
	noReset resetState = iota
	wantsLink
	wantsPassword
)

// session is one that its person has got tokens of.
type session struct {
	id           string
	refresh      string
	generation   int64
	refreshMaybe bool // a refresh whose answer was lost
	access       string
	accessAt     time.Time
	ended        known
}

func newPerson(w *world) *person {
	return &person{w: w, email: "p" + strings.ReplaceAll(uuid.NewString(), "-", "") + "@example.com", clicked: make(map[string]known), used: make(map[string]bool)}
}

func rid() string { return uuid.NewString() }

// step does one of the things that the person can do now.
func (p *person) step(ctx context.Context) {
	live := p.live()
	chance := rand.Float64()
	switch {
	case p.signedUp != yes:
		if p.w.invite() == "" {
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

// join does the next thing on the way to a first session, if it can be done yet.
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

// story tells how far the person came, what was mailed to them and what is owed to them.
func (p *person) story() string {
	w := p.w
	story := fmt.Sprintf("%s: signed up %d, confirmed %d, wants %d, has a new password: %t, log-ins without an answer: %d",
		p.email, p.signedUp, p.confirmed, p.reset, p.fresh != "", p.logins)
	for _, m := range w.mails.To(p.email) {
		story += fmt.Sprintf("; got %q", m.Header().Get("Subject"))
	}
	query := `
		SELECT kind, attempts, cast(due_at AS text), coalesce(cast(sent_at AS text), '-'), coalesce(cast(dead_at AS text), '-'), coalesce(last_error, '-')
		FROM mail JOIN account ON account.id = account_id WHERE email = '` + p.email + `' ORDER BY mail.created_at`
	w.s.Look(w.t, func(db *sql.DB) {
		err := each(w.t.Context(), db, query, func(scan func(...any) error) error {
			var kind, due, sent, dead, lastError string
			var attempts int
			err := scan(&kind, &attempts, &due, &sent, &dead, &lastError)
			story += fmt.Sprintf("; row %s, attempts %d, due %s, sent %s, dead %s: %s", kind, attempts, due, sent, dead, lastError)
			return err
		})
		if err != nil {
			w.t.Error(err)
		}
	})
	return story
}

// live are the sessions of which the person has not been told that they have ended.
func (p *person) live() []*session {
	var live []*session
	for _, s := range p.sessions {
		if s.ended != yes {
			live = append(live, s)
		}
	}
	return live
}

func (p *person) signUp(ctx context.Context) {
	code := p.w.invite()
	var answer *client.SignupResponse
	status := p.w.call(ctx, "sign-up", func(ctx context.Context) (int, error) {
		var err error
		answer, err = p.w.s.API.SignupWithResponse(ctx, &client.SignupParams{RequestID: rid()},
			client.SignUpRequest{Email: client.Email(p.email), InviteCode: code, Language: "en"})
		return statusOf(answer, err)
	})
	switch {
	case status == 204:
		p.signedUp = yes
	case status == lost:
		p.signedUp = maybe
	case status == 409 && answer.JSON409.Message == client.SignUpFailure409MessageINVITEHASENDED:
		// The service has decided: nobody has this address.
		p.signedUp = no
		p.w.setInvite("")
	case status == 409 && p.signedUp == maybe:
		p.signedUp = yes
	default:
		p.w.complainf("%s: sign-up: %d %s", p.email, status, answer.Body)
	}
}

// resend asks for the confirmation link again.
func (p *person) resend(ctx context.Context) {
	if p.confirmed == maybe {
		p.resetsMaybe++ // if it is confirmed, this gives a reset link
	}
	switch status := p.postReset(ctx); status {
	case 204, lost:
	default:
		p.w.complainf("%s: resend: %d", p.email, status)
	}
}

func (p *person) postReset(ctx context.Context) int {
	return p.w.call(ctx, "reset", func(ctx context.Context) (int, error) {
		r, err := p.w.s.API.UserPasswordResetWithResponse(ctx, &client.UserPasswordResetParams{RequestID: rid()},
			client.RequestUserPasswordResetRequest{Email: client.Email(p.email)})
		return statusOf(r, err)
	})
}

// key is a link without its rid.
func key(link string) string {
	key, _, _ := strings.Cut(link, "?")
	return key
}

// newestLink is the newest link that the person has not used, whose mail says that it is for that.
func (p *person) newestLink(subject string) string {
	for _, m := range slices.Backward(p.w.mails.To(p.email)) {
		if link := m.Link(); link != "" && p.clicked[key(link)] != yes && strings.Contains(m.Header().Get("Subject"), subject) {
			return link
		}
	}
	return ""
}

func (p *person) open(ctx context.Context, link string) int {
	u, err := url.Parse(link)
	if err != nil {
		p.w.complainf("%s: the link %q: %v", p.email, link, err)
		return lost
	}
	return p.get(ctx, u.RequestURI())
}

// get makes a GET request as somebody with a browser does.
func (p *person) get(ctx context.Context, path string) int {
	return p.w.call(ctx, strings.SplitN(path, "/", 4)[1], func(ctx context.Context) (int, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.w.s.URL+path, nil)
		if err != nil {
			return 0, err
		}
		request.Header.Set("request-id", rid())
		request.Header.Set("Accept", "text/plain, */*;q=0.1")
		response, err := p.w.s.HTTP.Do(request)
		if err != nil {
			return 0, err
		}
		return response.StatusCode, response.Body.Close()
	})
}

// confirm opens the confirmation link, when it has come.
func (p *person) confirm(ctx context.Context) {
	link := p.newestLink("Confirm")
	if link == "" {
		return
	}
	status := p.open(ctx, link)
	switch {
	case status == 200, status == 404 && p.clicked[key(link)] == maybe:
		p.clicked[key(link)], p.confirmed, p.reset = yes, yes, wantsPassword
	case status == lost:
		p.clicked[key(link)], p.confirmed = maybe, maybe
	default:
		p.w.complainf("%s: open the confirmation link: %d", p.email, status)
	}
}

func (p *person) requestReset(ctx context.Context) {
	switch status := p.postReset(ctx); status {
	case 204:
		p.resets++
		p.reset = wantsLink
	case lost:
		p.resetsMaybe++
	default:
		p.w.complainf("%s: reset: %d", p.email, status)
	}
}

func (p *person) openResetLink(ctx context.Context) {
	link := p.newestLink("reset")
	if link == "" {
		return
	}
	status := p.open(ctx, link)
	switch {
	case status == 200, status == 404 && p.clicked[key(link)] == maybe:
		p.clicked[key(link)], p.reset = yes, wantsPassword
	case status == lost:
		p.clicked[key(link)] = maybe
	case status == 404 && p.resetsMaybe > 0: // of a request whose answer was lost; another one has replaced it
		p.clicked[key(link)] = yes
	default:
		p.w.complainf("%s: open the reset link: %d", p.email, status)
	}
}

// newPassword looks for a mailed password that has not been used.
func (p *person) newPassword() bool {
	if p.reset != wantsPassword {
		return false
	}
	for _, m := range slices.Backward(p.w.mails.To(p.email)) {
		if password := m.Password(); password != "" && !p.used[password] {
			p.fresh = password
			break
		}
	}
	return p.fresh != ""
}

// login begins a session: with the new password, if there is one and the person is about to use it.
func (p *person) login(ctx context.Context) {
	password := p.password
	if p.fresh != "" {
		password = p.fresh
	}
	var answer *client.CreateAccessTokenResponse
	status := p.w.call(ctx, "log-in", func(ctx context.Context) (int, error) {
		var err error
		answer, err = p.w.s.API.CreateAccessTokenWithResponse(ctx, &client.CreateAccessTokenParams{RequestID: rid()},
			client.CreateAccessTokenRequest{Email: client.Email(p.email), Password: password, ClientID: "faults", Device: client.Device{}})
		return statusOf(answer, err)
	})
	if p.fresh != "" && (status == 200 || status == lost) {
		// Its first use ends all older sessions.
		for _, s := range p.live() {
			s.ended = max(s.ended, map[bool]known{true: yes, false: maybe}[status == 200])
		}
	}
	switch status {
	case 200:
		if p.fresh != "" {
			p.password, p.fresh, p.reset = p.fresh, "", noReset
			p.used[p.password] = true
		}
		s := &session{id: answer.JSON200.SessionID}
		p.sessions = append(p.sessions, s)
		p.take(s, *answer.JSON200)
	case lost:
		p.logins++
	default:
		p.w.complainf("%s: log-in: %d", p.email, status)
	}
}

// take keeps the tokens that a person was given for a session.
func (p *person) take(s *session, tokens client.AccessTokenResponse) {
	var claims struct {
		Session    string `json:"sid"`
		Generation int64  `json:"gen"`
	}
	payload(p.w, tokens.RefreshToken, &claims)
	var access struct {
		Account string `json:"sub"`
		Session string `json:"sid"`
	}
	payload(p.w, tokens.AccessToken, &access)
	if p.account == "" {
		p.account = access.Account
	}
	if access.Account != p.account || access.Session != s.id {
		p.w.complainf("%s: an access token of the account %s, session %s, for %s, %s", p.email, access.Account, access.Session, p.account, s.id)
	}
	if tokens.SessionID != s.id || claims.Session != s.id {
		p.w.complainf("%s: tokens of the session %s for the session %s", p.email, tokens.SessionID, s.id)
	}
	if claims.Generation != s.generation+1 {
		p.w.complainf("%s: generation %d follows %d", p.email, claims.Generation, s.generation)
	}
	s.refresh, s.generation, s.refreshMaybe = tokens.RefreshToken, claims.Generation, false
	s.access, s.accessAt = tokens.AccessToken, time.Now()
}

// payload reads a token as nobody should: without checking it.
func payload(w *world, token string, claims any) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		w.complainf("not a token: %q", token)
		return
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err == nil {
		err = json.Unmarshal(text, claims)
	}
	if err != nil {
		w.complainf("token %q: %v", token, err)
	}
}

// refreshUntilAnswered refreshes a session, and does so again at once, as a client does, while there is no answer.
func (p *person) refreshUntilAnswered(ctx context.Context, s *session) {
	for p.refresh(ctx, s) == lost && ctx.Err() == nil {
		p.w.pause(ctx)
	}
}

func (p *person) refresh(ctx context.Context, s *session) int {
	status, tokens := p.putRefresh(ctx, s.refresh)
	switch {
	case status == 200: // what may have ended it may still be on its way to the database
		p.take(s, *tokens)
	case status == lost:
		s.refreshMaybe = true
	case status == 404 && s.ended == maybe:
		s.ended = yes
	default:
		p.w.complainf("%s: refresh of the live session %s, generation %d (an answer lost: %t): %d", p.email, s.id, s.generation, s.refreshMaybe, status)
		s.ended = yes // one complaint is enough
	}
	return status
}

func (p *person) putRefresh(ctx context.Context, token string) (int, *client.AccessTokenResponse) {
	var tokens *client.AccessTokenResponse
	status := p.w.call(ctx, "refresh", func(ctx context.Context) (int, error) {
		r, err := p.w.s.API.RefreshAccessTokenWithResponse(ctx, &client.RefreshAccessTokenParams{RequestID: rid()},
			client.RefreshAccessTokenRequest{RefreshToken: token})
		if err == nil {
			tokens = r.JSON200
		}
		return statusOf(r, err)
	})
	return status, tokens
}

// refreshEnded tries a session that has ended.
func (p *person) refreshEnded(ctx context.Context) {
	for _, s := range slices.Backward(p.sessions) {
		if s.ended == yes {
			if status, _ := p.putRefresh(ctx, s.refresh); status != 404 && status != lost {
				p.w.complainf("%s: refresh of the ended session %s: %d", p.email, s.id, status)
			}
			return
		}
	}
}

// accessToken is a token of the session that has not expired; "" when it could not be had.
func (p *person) accessToken(ctx context.Context, s *session) string {
	if time.Since(s.accessAt) > 5*time.Minute {
		p.refreshUntilAnswered(ctx, s)
	}
	if time.Since(s.accessAt) > 5*time.Minute {
		return ""
	}
	return s.access
}

// bearer sends an access token.
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
	var answer *client.GetListActiveSessionsResponse
	status := p.w.call(ctx, "list", func(ctx context.Context) (int, error) {
		var err error
		answer, err = p.w.s.API.GetListActiveSessionsWithResponse(ctx, &client.GetListActiveSessionsParams{RequestID: rid()}, bearer(token))
		return statusOf(answer, err)
	})
	if status == lost {
		return
	}
	if status != 200 {
		p.w.complainf("%s: list: %d", p.email, status)
		return
	}
	listed := make(map[string]bool)
	for _, s := range *answer.JSON200 {
		listed[s.SessionID] = true
	}
	for _, s := range p.sessions {
		if listed[s.id] && s.ended == yes || !listed[s.id] && s.ended == no {
			p.w.complainf("%s: the session %s is listed: %t, but has it ended? %d", p.email, s.id, listed[s.id], s.ended)
		}
		delete(listed, s.id)
	}
	if len(listed) > p.logins {
		p.w.complainf("%s: %d unknown sessions, but only %d log-ins without an answer", p.email, len(listed), p.logins)
	}
}

func (p *person) revoke(ctx context.Context, with, which *session) {
	token := p.accessToken(ctx, with)
	if token == "" {
		return
	}
	status := p.w.call(ctx, "revoke", func(ctx context.Context) (int, error) {
		r, err := p.w.s.API.RevokeRefreshTokenWithResponse(ctx, &client.RevokeRefreshTokenParams{RequestID: rid()},
			client.RevokeRefreshTokenRequest{SessionID: which.id}, bearer(token))
		return statusOf(r, err)
	})
	switch status {
	case 204:
		which.ended = yes
	case lost:
		which.ended = max(which.ended, maybe)
	default:
		p.w.complainf("%s: revoke: %d", p.email, status)
	}
}

// mailsOf are the distinct mails that an address has got.
func mailsOf(mails *smtprecorder.Recorder, email string) map[string]*smtprecorder.Message {
	distinct := make(map[string]*smtprecorder.Message)
	for _, m := range mails.To(email) {
		distinct[m.ID()] = m
	}
	return distinct
}
