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

// The periods of the signing keys in this test. A key is published 4 s before it signs; when it signs, the next one is created.
const (
	rotationMaxAge = time.Second
	rotationTTL    = 5 * time.Second
)

// TestRotationUnderLoad rotates the keys every 4 s under load: three replicas on PostgreSQL or one on SQLite, and operators at the same
// time. Some of the operators' commands and some replicas are killed. Gateways cache the JWKS of any replica for exactly its max-age.
// No gateway with a valid cache rejects a valid token, and every replica publishes the key of every token. Finally all keys are
// replaced, as after a leak.
func TestRotationUnderLoad(t *testing.T) {
	parallel(t)
	harness.EachEngine(t, func(t *testing.T, engine string) {
		sim := newSimulation(t, engine, 1, "AUTH_JWKS_MAX_AGE="+rotationMaxAge.String(), "AUTH_SIGNING_KEY_LIFE=1s",
			"AUTH_ACCESS_TOKEN_TTL="+rotationTTL.String())
		l := &rotationLoad{simulation: sim, replicas: []*replica{{Service: sim.s}}}
		if engine == harness.Postgres {
			for range 2 {
				s := harness.New(t, binary, contract, harness.SQLite)
				s.Env, s.DatabaseURL = sim.s.Env, sim.s.DatabaseURL
				l.replicas = append(l.replicas, &replica{Service: s})
			}
		}
		for _, r := range l.replicas {
			r.Run(t)
		}
		sim.populate(scaled(6, 24))

		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		for _, p := range sim.people() {
			u := rotationUser{rotationLoad: l, session: p.activeSessions()[0]}
			running.Go(func() { u.run(ctx) })
		}
		for _, r := range l.replicas {
			running.Go(func() { l.recordJWKS(ctx, r) })
		}
		began := time.Now()
		for round := 0; time.Since(began) < scaled(15*time.Second, 10*time.Minute) && !t.Failed(); round++ {
			l.rotate()
			if round%3 == 1 {
				l.replicas[rand.IntN(len(l.replicas))].killAndRestart(t)
			}
			time.Sleep(rand.N(time.Second)) // between two rotations
		}
		stop()
		running.Wait()
		l.checkCopies(rotationMaxAge)
		rate := float64(l.answered.Load()) / time.Since(began).Seconds()
		t.Logf("%d tokens of %d keys, %d copies of the JWKS, %.0f responses a second", l.tokens, len(l.use), len(l.copies), rate)
		if len(l.use) < scaled(3, 100) {
			t.Errorf("only %d keys have signed", len(l.use))
		}
		l.replaceAll()
	})
}

// replica is one of the services. busy prevents requests to it while it is killed and restarted.
type replica struct {
	*harness.Service
	busy sync.RWMutex
}

// killAndRestart kills the replica at a random moment and restarts it. The kill may interrupt a key rotation of its own: the replica checks 30
// times a second whether one is due.
func (r *replica) killAndRestart(t *testing.T) {
	r.busy.Lock()
	defer r.busy.Unlock()
	r.Kill(t)
	r.Run(t)
}

// jwks fetches the keys like a gateway.
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

// jwksCopy is the JWKS in the cache of a gateway.
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

// rotationLoad records the keys and tokens that clients received.
type rotationLoad struct {
	*simulation
	replicas []*replica
	answered atomic.Int64

	mu     sync.Mutex
	copies []jwksCopy
	use    map[string]*keyUse
	tokens int
	last   string // the newest token
}

// keyUse is the period in which a client has a valid token of a key.
type keyUse struct{ from, until time.Time }

func (l *rotationLoad) randomReplica() *replica { return l.replicas[rand.IntN(len(l.replicas))] }

// recordJWKS fetches the JWKS of a replica repeatedly and records each copy.
func (l *rotationLoad) recordJWKS(ctx context.Context, r *replica) {
	for ctx.Err() == nil {
		c, err := r.jwks(ctx)
		if err == nil {
			l.answered.Add(1)
			l.mu.Lock()
			l.copies = append(l.copies, c)
			l.mu.Unlock()
		} else if ctx.Err() == nil {
			l.errorf("jwks: %v", err)
		}
		time.Sleep(10 * time.Millisecond) // between two requests
	}
}

// recordToken records that a client has the token from now on.
func (l *rotationLoad) recordToken(token string) {
	received := time.Now()
	parsed, _, err := jwt.NewParser().ParseUnverified(token, jwt.MapClaims{})
	if err != nil {
		l.errorf("a token: %v", err)
		return
	}
	kid, _ := parsed.Header["kid"].(string)
	expires, err := parsed.Claims.GetExpirationTime()
	if err != nil {
		l.errorf("a token: %v", err)
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

// checkCopies checks that each copy of the JWKS contains the key of each token that a gateway may have to verify with this copy.
func (l *rotationLoad) checkCopies(maxAge time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for kid, use := range l.use {
		for _, c := range l.copies {
			if c.at.Add(maxAge).Before(use.from) || c.at.After(use.until) {
				continue
			}
			if c.keys[kid] == nil {
				l.errorf("the copy from %s, %s after the first token of key %s and %s before the end of the last one, does not have the key",
					c.at.Format("15:04:05.000"), c.at.Sub(use.from), kid, use.until.Sub(c.at))
			}
		}
	}
}

// rotate runs the command of two operators at the same time and kills one of them at a random moment.
func (l *rotationLoad) rotate() {
	var operators sync.WaitGroup
	for i := range 2 {
		operators.Go(func() {
			ctx, cancel := context.WithTimeout(l.t.Context(), 30*time.Second)
			defer cancel()
			cmd := exec.CommandContext(ctx, binary, "keys", "rotate")
			cmd.Dir, cmd.Env = l.s.Dir, l.s.Env
			if i > 0 {
				kill := time.AfterFunc(rand.N(500*time.Millisecond), func() { cancel() }) // sends SIGKILL
				defer kill.Stop()
			}
			if out, err := cmd.CombinedOutput(); err != nil && ctx.Err() == nil {
				l.errorf("keys rotate: %v\n%s", err, out)
			}
		})
	}
	operators.Wait()
}

// rotationUser refreshes and uses a session at random replicas behind a gateway.
type rotationUser struct {
	*rotationLoad
	session *session
	cached  jwksCopy // the cache of the gateway
}

func (u *rotationUser) run(ctx context.Context) {
	for ctx.Err() == nil {
		u.refresh(ctx)
		u.verifyAtGateway(ctx)
		u.verifyAtReplica(ctx)
		u.pause(ctx)
		u.verifyAtGateway(ctx)
	}
}

func (u *rotationUser) refresh(ctx context.Context) {
	r := u.randomReplica()
	r.busy.RLock()
	defer r.busy.RUnlock()
	sent := time.Now()
	response, err := r.API.RefreshAccessTokenWithResponse(ctx, &client.RefreshAccessTokenParams{RequestID: newRequestID()},
		client.RefreshAccessTokenRequest{RefreshToken: u.session.refresh})
	switch {
	case ctx.Err() != nil:
	case err != nil:
		u.errorf("refresh: %v", err)
	case response.StatusCode() != http.StatusOK:
		u.errorf("refresh: %d", response.StatusCode())
	default:
		u.answered.Add(1)
		u.session.refresh, u.session.access, u.session.accessAt = response.JSON200.RefreshToken, response.JSON200.AccessToken, sent
		u.recordToken(u.session.access)
	}
}

// isExpired reports whether the token may have expired by now. iat is rounded to a second. A request may wait for the restart of a replica for
// longer than a token lives here.
func (u *rotationUser) isExpired() bool {
	return time.Since(u.session.accessAt) > rotationTTL-2*time.Second
}

// verifyAtGateway verifies the token at the gateway, which caches the keys for exactly max-age.
func (u *rotationUser) verifyAtGateway(ctx context.Context) {
	if time.Since(u.cached.at) > u.cached.maxAge {
		current, err := u.randomReplica().jwks(ctx)
		if err != nil {
			if ctx.Err() == nil {
				u.errorf("jwks: %v", err)
			}
			return
		}
		u.cached = current
		u.answered.Add(1)
	}
	_, err := jwt.Parse(u.session.access, func(token *jwt.Token) (any, error) {
		kid, _ := token.Header["kid"].(string)
		if key := u.cached.keys[kid]; key != nil {
			return key, nil
		}
		return nil, fmt.Errorf("key %s is not in the copy from %s ago", kid, time.Since(u.cached.at))
	}, jwt.WithValidMethods([]string{"ES256"}), jwt.WithIssuer("https://auth.example.test"), jwt.WithExpirationRequired())
	if err != nil && !u.isExpired() {
		u.errorf("a gateway rejected a valid token: %v", err)
	}
}

// verifyAtReplica verifies the token at a random replica, which may be another one than the signer.
func (u *rotationUser) verifyAtReplica(ctx context.Context) {
	if status := u.verifyToken(ctx, u.randomReplica(), u.session.access); status != http.StatusNoContent && !u.isExpired() && ctx.Err() == nil {
		u.errorf("verify: %d", status)
	}
	u.answered.Add(1)
}

func (l *rotationLoad) verifyToken(ctx context.Context, r *replica, token string) int {
	r.busy.RLock()
	defer r.busy.RUnlock()
	response, err := r.API.VerifyAccessTokenWithResponse(ctx, &client.VerifyAccessTokenParams{},
		func(_ context.Context, request *http.Request) error {
			request.Header.Set("Authorization", "Bearer "+token)
			return nil
		})
	if err != nil {
		return 0
	}
	return response.StatusCode()
}

// replaceAll replaces all keys under load, as after a leak. Gateways with old copies may reject the new tokens for a while. Every replica
// always publishes the signing key, and soon none publishes an old one.
func (l *rotationLoad) replaceAll() {
	l.copies, l.use, l.tokens = nil, nil, 0
	ctx, stop := context.WithCancel(l.t.Context())
	defer stop()
	var running sync.WaitGroup
	for _, p := range l.people() {
		u := rotationUser{rotationLoad: l, session: p.activeSessions()[0]}
		running.Go(func() {
			for ctx.Err() == nil {
				u.refresh(ctx)
				u.pause(ctx)
			}
		})
	}
	for _, r := range l.replicas {
		running.Go(func() { l.recordJWKS(ctx, r) })
	}
	var old string // a token of an old key
	eventually(l.t, "the sessions have new tokens of the old keys", 10*time.Second, func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		old = l.last
		return l.tokens >= len(l.people())
	})
	out, err := l.s.Command(ctx, "keys", "rotate", "--now", "--json")
	if err != nil {
		l.t.Error(err)
	}
	var signs struct{ KID string }
	if err := json.Unmarshal([]byte(out), &signs); err != nil {
		l.t.Errorf("%s: %v", out, err)
	}
	for _, r := range l.replicas {
		eventually(l.t, "the old keys are not published any more", 5*time.Second, func() bool {
			c, err := r.jwks(ctx)
			return err == nil && c.keys[signs.KID] != nil && len(c.keys) <= 2 // possibly with the next key
		})
		if status := l.verifyToken(ctx, r, old); status != http.StatusUnauthorized {
			l.t.Errorf("a token of an old key: %d", status)
		}
	}
	eventually(l.t, "the new key has signed, and the replicas have published it for a while", 10*time.Second, func() bool {
		return l.copiesSince(signs.KID) >= 20*len(l.replicas)
	})
	stop()
	running.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	use := l.use[signs.KID]
	for _, c := range l.copies {
		if c.at.After(use.from) && c.keys[signs.KID] == nil {
			l.errorf("%s after the first token of the new key, a replica does not publish it", c.at.Sub(use.from))
		}
	}
}

// copiesSince returns how many copies of the JWKS were fetched since the first token of a key.
func (l *rotationLoad) copiesSince(kid string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	use := l.use[kid]
	if use == nil {
		return 0
	}
	for _, c := range l.copies {
		if c.at.After(use.from) {
			n++
		}
	}
	return n
}
