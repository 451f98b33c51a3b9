package faults

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/financelime/authorization/api/client"
	"github.com/financelime/authorization/test/harness"
)

// The periods of the signing keys in this test: a key is published 4 s ahead, and the next one comes as soon as it signs.
const (
	rotationMaxAge = time.Second
	rotationTTL    = 5 * time.Second
)

// Keys are rotated every 4 s under load, by three replicas on one PostgreSQL or one on SQLite, by operators at the same time, some of
// whom are killed halfway, as are replicas. Gateways cache the JWKS of any replica for exactly its max-age. No valid token is
// refused by any cache that is allowed, and none is signed by a key that any replica does not publish. Then all keys are taken
// for leaked.
func TestRotationUnderLoad(t *testing.T) {
	beside(t)
	harness.EachEngine(t, func(t *testing.T, engine string) {
		w := newWorld(t, engine, 1, "AUTH_JWKS_MAX_AGE="+rotationMaxAge.String(), "AUTH_SIGNING_KEY_LIFE=1s",
			"AUTH_ACCESS_TOKEN_TTL="+rotationTTL.String())
		l := &rotationLoad{world: w, replicas: []*replica{{Service: w.s}}}
		if engine == harness.Postgres {
			for range 2 {
				s := harness.New(t, binary, contract, harness.SQLite)
				s.Env, s.DatabaseURL = w.s.Env, w.s.DatabaseURL
				l.replicas = append(l.replicas, &replica{Service: s})
			}
		}
		for _, r := range l.replicas {
			r.Run(t)
		}
		w.populate(length(6, 24))

		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		for _, p := range w.people() {
			u := rotationUser{rotationLoad: l, session: p.live()[0]}
			running.Go(func() { u.run(ctx) })
		}
		for _, r := range l.replicas {
			running.Go(func() { l.watch(ctx, r) })
		}
		began := time.Now()
		for round := 0; time.Since(began) < length(15*time.Second, 10*time.Minute) && !t.Failed(); round++ {
			l.rotate()
			if round%3 == 1 {
				l.replicas[rand.IntN(len(l.replicas))].die(t)
			}
			time.Sleep(rand.N(time.Second)) // between two operators
		}
		stop()
		running.Wait()
		l.judge(rotationMaxAge)
		rate := float64(l.answered.Load()) / time.Since(began).Seconds()
		t.Logf("%d tokens of %d keys, %d copies of the JWKS, %.0f answers a second", l.tokens, len(l.use), len(l.copies), rate)
		if len(l.use) < length(3, 100) {
			t.Errorf("only %d keys have signed", len(l.use))
		}
		l.replaceAll()
	})
}

// replica is one of the services. Nobody talks to it while it is killed and started anew.
type replica struct {
	*harness.Service
	busy sync.RWMutex
}

// die is kill -9 at any moment of the replica's own rotation, which it looks to 30 times a second.
func (r *replica) die(t *testing.T) {
	r.busy.Lock()
	defer r.busy.Unlock()
	r.Kill(t)
	r.Run(t)
}

// jwks gets the keys as a gateway does.
func (r *replica) jwks(ctx context.Context) (jwksCopy, error) {
	r.busy.RLock()
	defer r.busy.RUnlock()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.URL+"/.well-known/jwks.json", nil)
	if err != nil {
		return jwksCopy{}, err
	}
	response, err := r.HTTP.Do(request)
	if err != nil {
		return jwksCopy{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return jwksCopy{}, err
	}
	return readJWKS(body, response.Header.Get("Cache-Control"))
}

// jwksCopy is what a gateway has in its cache.
type jwksCopy struct {
	at     time.Time
	maxAge time.Duration
	keys   map[string]*ecdsa.PublicKey
}

func readJWKS(body []byte, cacheControl string) (jwksCopy, error) {
	c := jwksCopy{at: time.Now(), keys: make(map[string]*ecdsa.PublicKey)}
	seconds, err := strconv.Atoi(strings.TrimPrefix(cacheControl, "public, max-age="))
	if err != nil {
		return c, fmt.Errorf("cache-control %q: %w", cacheControl, err)
	}
	c.maxAge = time.Duration(seconds) * time.Second
	var set struct {
		Keys []struct{ Kid, X, Y string }
	}
	if err := json.Unmarshal(body, &set); err != nil {
		return c, fmt.Errorf("%s: %w", body, err)
	}
	for _, k := range set.Keys {
		x, errX := base64.RawURLEncoding.DecodeString(k.X)
		y, errY := base64.RawURLEncoding.DecodeString(k.Y)
		if err := errors.Join(errX, errY); err != nil {
			return c, err
		}
		if c.keys[k.Kid], err = ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, x...), y...)); err != nil {
			return c, err
		}
	}
	return c, nil
}

// rotationLoad is what is remembered of the load.
type rotationLoad struct {
	*world
	replicas []*replica
	answered atomic.Int64

	mu     sync.Mutex
	copies []jwksCopy
	use    map[string]*keyUse
	tokens int
	last   string // the newest token
}

// keyUse is from when until when somebody has a valid token of a key.
type keyUse struct{ from, until time.Time }

func (l *rotationLoad) any() *replica { return l.replicas[rand.IntN(len(l.replicas))] }

// watch remembers every JWKS that a gateway could have got.
func (l *rotationLoad) watch(ctx context.Context, r *replica) {
	for ctx.Err() == nil {
		c, err := r.jwks(ctx)
		if err == nil {
			l.answered.Add(1)
			l.mu.Lock()
			l.copies = append(l.copies, c)
			l.mu.Unlock()
		} else if ctx.Err() == nil {
			l.complainf("jwks: %v", err)
		}
		time.Sleep(10 * time.Millisecond) // between two looks
	}
}

// seen remembers that somebody has a token from now on.
func (l *rotationLoad) seen(token string) {
	received := time.Now()
	parsed, _, err := jwt.NewParser().ParseUnverified(token, jwt.MapClaims{})
	if err != nil {
		l.complainf("a token: %v", err)
		return
	}
	kid, _ := parsed.Header["kid"].(string)
	expires, err := parsed.Claims.GetExpirationTime()
	if err != nil {
		l.complainf("a token: %v", err)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tokens++
	l.last = token
	if l.use == nil {
		l.use = make(map[string]*keyUse)
	}
	if l.use[kid] == nil {
		l.use[kid] = &keyUse{from: received, until: expires.Time}
	}
	if expires.After(l.use[kid].until) {
		l.use[kid].until = expires.Time
	}
}

// judge holds every token against every copy of the JWKS that a gateway may still use while it may be shown the token.
func (l *rotationLoad) judge(maxAge time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for kid, use := range l.use {
		for _, c := range l.copies {
			if c.at.Add(maxAge).Before(use.from) || c.at.After(use.until) {
				continue
			}
			if c.keys[kid] == nil {
				l.complainf("a copy of %s, %s from the first token of %s and %s from the end of the last one, has not got the key",
					c.at.Format("15:04:05.000"), c.at.Sub(use.from), kid, use.until.Sub(c.at))
			}
		}
	}
}

// rotate is one operator or several, some of whom do not get to the end.
func (l *rotationLoad) rotate() {
	var operators sync.WaitGroup
	for i := range 2 {
		operators.Go(func() {
			ctx, cancel := context.WithTimeout(l.t.Context(), 30*time.Second)
			defer cancel()
			cmd := exec.CommandContext(ctx, binary, "keys", "rotate")
			cmd.Dir, cmd.Env = l.s.Dir, l.s.Env
			if i > 0 {
				kill := time.AfterFunc(rand.N(500*time.Millisecond), func() { cancel() }) // that is SIGKILL
				defer kill.Stop()
			}
			if out, err := cmd.CombinedOutput(); err != nil && ctx.Err() == nil {
				l.complainf("keys rotate: %v\n%s", err, out)
			}
		})
	}
	operators.Wait()
}

// rotationUser refreshes and uses a session, at any replica, behind a gateway.
type rotationUser struct {
	*rotationLoad
	session *session
	cached  jwksCopy // by the gateway
}

func (u *rotationUser) run(ctx context.Context) {
	for ctx.Err() == nil {
		u.refresh(ctx)
		u.pass(ctx)
		u.verify(ctx)
		u.pause(ctx)
		u.pass(ctx)
	}
}

func (u *rotationUser) refresh(ctx context.Context) {
	r := u.any()
	r.busy.RLock()
	defer r.busy.RUnlock()
	answer, err := r.API.RefreshAccessTokenWithResponse(ctx, &client.RefreshAccessTokenParams{RequestID: rid()},
		client.RefreshAccessTokenRequest{RefreshToken: u.session.refresh})
	switch {
	case ctx.Err() != nil:
	case err != nil:
		u.complainf("refresh: %v", err)
	case answer.StatusCode() != http.StatusOK:
		u.complainf("refresh: %d", answer.StatusCode())
	default:
		u.answered.Add(1)
		u.session.refresh, u.session.access, u.session.accessAt = answer.JSON200.RefreshToken, answer.JSON200.AccessToken, time.Now()
		u.seen(u.session.access)
	}
}

// pass shows the token to the gateway, which has its copy of the keys for exactly as long as it may.
func (u *rotationUser) pass(ctx context.Context) {
	if time.Since(u.session.accessAt) > rotationTTL-2*time.Second { // iat is a whole second
		return
	}
	if time.Since(u.cached.at) > u.cached.maxAge {
		fresh, err := u.any().jwks(ctx)
		if err != nil {
			if ctx.Err() == nil {
				u.complainf("jwks: %v", err)
			}
			return
		}
		u.cached = fresh
		u.answered.Add(1)
	}
	_, err := jwt.Parse(u.session.access, func(token *jwt.Token) (any, error) {
		kid, _ := token.Header["kid"].(string)
		if key := u.cached.keys[kid]; key != nil {
			return key, nil
		}
		return nil, fmt.Errorf("key %s is not in a copy of %s ago", kid, time.Since(u.cached.at))
	}, jwt.WithValidMethods([]string{"ES256"}), jwt.WithIssuer("https://auth.example.test"), jwt.WithExpirationRequired())
	if err != nil {
		u.complainf("a gateway refused a valid token: %v", err)
	}
}

// verify asks a replica, which has perhaps not signed the token.
func (u *rotationUser) verify(ctx context.Context) {
	if status := u.ask(ctx, u.any(), u.session.access); status != http.StatusNoContent && ctx.Err() == nil {
		u.complainf("verify: %d", status)
	}
	u.answered.Add(1)
}

func (l *rotationLoad) ask(ctx context.Context, r *replica, token string) int {
	r.busy.RLock()
	defer r.busy.RUnlock()
	answer, err := r.API.VerifyAccessTokenWithResponse(ctx, &client.VerifyAccessTokenParams{},
		func(_ context.Context, request *http.Request) error {
			request.Header.Set("Authorization", "Bearer "+token)
			return nil
		})
	if err != nil {
		return 0
	}
	return answer.StatusCode()
}

// replaceAll takes all keys for leaked, under load. Gateways with old copies may refuse the new tokens for a while; but again
// no replica is without a key that signs, and soon none has an old one.
func (l *rotationLoad) replaceAll() {
	l.copies, l.use, l.tokens = nil, nil, 0
	ctx, stop := context.WithCancel(l.t.Context())
	defer stop()
	var running sync.WaitGroup
	for _, p := range l.people() {
		u := rotationUser{rotationLoad: l, session: p.live()[0]}
		running.Go(func() {
			for ctx.Err() == nil {
				u.refresh(ctx)
				u.pause(ctx)
			}
		})
	}
	for _, r := range l.replicas {
		running.Go(func() { l.watch(ctx, r) })
	}
	time.Sleep(300 * time.Millisecond) // tokens of the old keys
	l.mu.Lock()
	old := l.last
	l.mu.Unlock()
	out, err := l.s.Command(ctx, "keys", "rotate", "--now", "--json")
	if err != nil {
		l.t.Error(err)
	}
	var signs struct{ KID string }
	if err := json.Unmarshal([]byte(out), &signs); err != nil {
		l.t.Errorf("%s: %v", out, err)
	}
	for _, r := range l.replicas {
		eventually(l.t, "the old keys are gone", 5*time.Second, func() bool {
			c, err := r.jwks(ctx)
			return err == nil && c.keys[signs.KID] != nil && len(c.keys) <= 2 // and perhaps the next one
		})
		if status := l.ask(ctx, r, old); status != http.StatusUnauthorized {
			l.t.Errorf("a token of an old key: %d", status)
		}
	}
	time.Sleep(300 * time.Millisecond) // tokens of the new one
	stop()
	running.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	use := l.use[signs.KID]
	if use == nil {
		l.t.Fatal("the new key has signed nothing")
	}
	for _, c := range l.copies {
		if c.at.After(use.from) && c.keys[signs.KID] == nil {
			l.complainf("%s after its first token a replica does not publish the new key", c.at.Sub(use.from))
		}
	}
}
