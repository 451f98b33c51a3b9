package limit

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
)

// The rates of the model are small, so that a few steps reach every limit.
var modelRates = map[Name]Rate{LoginAccount: {3, 3 * time.Minute}, LoginSource: {6, 30 * time.Minute}}

const (
	modelSkew = 5 * time.Second  // how much the clocks of two replicas differ at most
	setBack   = 10 * time.Minute // how far the clocks are set back
)

// TestModel runs random interleavings of logins on three replicas whose clocks differ, and compares the limits with a model: what they may
// and must refuse, by one true time. MODEL_SEED repeats one interleaving. MODEL_COUNT sets how many run; by default they run for some
// seconds.
func TestModel(t *testing.T) {
	count, deadline := math.MaxInt, time.Now().Add(4*time.Second)
	if text := os.Getenv("MODEL_COUNT"); text != "" {
		var err error
		if count, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
		deadline = time.Now().Add(24 * time.Hour)
	}
	seed := rand.Uint64()
	if text := os.Getenv("MODEL_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
		count = 1
	}
	onEachDatabase(t, modelRates, func(t *testing.T, l *Limits, store *db.Store) {
		ran, total := 0, modelCounts{}
		for ran < count && time.Now().Before(deadline) {
			m := newModel(t, l, store, seed+uint64(ran))
			for range 40 {
				m.step()
			}
			m.finish()
			total.add(m.counts)
			ran++
			if t.Failed() {
				t.Fatalf("interleaving %d: MODEL_SEED=%d", ran, m.seed)
			}
		}
		t.Logf("%d interleavings from MODEL_SEED=%d: %+v", ran, seed, total)
		if ran >= 20 && min(total.refused, total.waited, total.right, total.wrong, total.released, total.killed, total.setBacks) == 0 {
			t.Errorf("something never happened: %+v", total)
		}
	})
}

// modelCounts counts what happened, so that the test fails if something never does.
type modelCounts struct{ begun, refused, waited, right, wrong, released, killed, setBacks int }

func (c *modelCounts) add(o modelCounts) {
	c.begun, c.refused, c.waited, c.right = c.begun+o.begun, c.refused+o.refused, c.waited+o.waited, c.right+o.right
	c.wrong, c.released, c.killed, c.setBacks = c.wrong+o.wrong, c.released+o.released, c.killed+o.killed, c.setBacks+o.setBacks
}

// model is one interleaving: what happened, by the true time. Its checks derive from it what the limits may do.
type model struct {
	t      *testing.T
	store  *db.Store
	limits []*Limits // of the replicas
	rand   *rand.Rand
	seed   uint64

	now      time.Duration   // the true time, since start
	clocks   []time.Duration // of the replicas, relative to the true time
	setBacks int

	users      []*modelUser
	clientIPs  []*modelClientIP
	inProgress []*modelAttempt
	counts     modelCounts
}

type modelUser struct {
	name        string
	id          uuid.UUID // Nil: no account has the address
	knownIP     *modelClientIP
	failures    map[*modelClientIP][]time.Duration // by true time, since the last success; nil: from unknown client IPs
	consecutive int
}

type modelClientIP struct {
	addr     netip.Addr
	failures []time.Duration
}

type modelAttempt struct {
	LoginAttempt

	user     *modelUser
	clientIP *modelClientIP
	replica  int
	began    time.Duration
	setBacks int // how many there were when it began
}

// delayedBy returns the key of the failures that delay the attempt: nil, or its client IP if it is known.
func (a *modelAttempt) delayedBy() *modelClientIP {
	if a.fromKnownClientIP() {
		return a.clientIP
	}
	return nil
}

func newModel(t *testing.T, l *Limits, store *db.Store, seed uint64) *model {
	t.Helper()
	m := &model{t: t, store: store, seed: seed, rand: rand.New(rand.NewPCG(seed, 0))}
	for range 3 {
		m.limits = append(m.limits, New(l.root, modelRates))
		m.clocks = append(m.clocks, time.Duration(m.rand.Int64N(int64(modelSkew)+1))-modelSkew/2)
	}
	for i := range 2 {
		addr := netip.AddrFrom4([4]byte{10, byte(seed >> 16), byte(seed >> 8), byte(seed)})
		if i == 1 {
			addr = netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, byte(seed >> 24), byte(seed >> 16), byte(seed >> 8), byte(seed)})
		}
		m.clientIPs = append(m.clientIPs, &modelClientIP{addr: addr})
	}
	for i := range 3 {
		p := &modelUser{name: fmt.Sprintf("p%d-%d@example.com", i, seed), failures: map[*modelClientIP][]time.Duration{}}
		if i > 0 {
			p.id = newAccount(t, store, p.name)
		}
		if i > 1 {
			p.knownIP = m.clientIPs[0]
		}
		m.users = append(m.users, p)
	}
	m.do(func(q *db.Queries) error { // what the interleaving before left behind
		_, err := q.DeleteExpiredLoginAttempts(t.Context(), math.MaxInt64)
		return err
	})
	return m
}

func (m *model) do(f func(q *db.Queries) error) {
	m.t.Helper()
	if err := m.store.InTx(m.t.Context(), f); err != nil {
		m.t.Fatal(err)
	}
}

func (m *model) clock(replica int) time.Time {
	return start.Add(m.now + m.clocks[replica]).Truncate(time.Microsecond)
}

// slack returns by how much longer a login may be refused, because the clocks differ and were set back.
func (m *model) slack() time.Duration { return modelSkew + time.Duration(m.setBacks)*setBack }

func (m *model) step() {
	switch n := m.rand.IntN(100); {
	case n < 48:
		m.begin()
	case n < 86 && len(m.inProgress) > 0:
		m.end(m.rand.IntN(len(m.inProgress)))
	case n < 87 && m.setBacks == 0:
		m.setBacks++
		m.counts.setBacks++
		for i := range m.clocks {
			m.clocks[i] -= setBack
		}
	case n < 98:
		m.now += time.Duration(m.rand.Int64N(int64(time.Minute)))
	default:
		m.now += time.Duration(m.rand.Int64N(int64(20 * time.Minute)))
	}
}

func (m *model) begin() {
	a := &modelAttempt{
		user: m.users[m.rand.IntN(len(m.users))], clientIP: m.clientIPs[m.rand.IntN(len(m.clientIPs))],
		replica: m.rand.IntN(len(m.limits)), began: m.now, setBacks: m.setBacks,
	}
	login := Login{
		ClientIP: a.clientIP.addr, Address: a.user.name, AccountID: a.user.id,
		KnownClientIP: func(context.Context, string) (bool, error) { return a.user.knownIP == a.clientIP, nil },
	}
	l := m.limits[a.replica]
	a.LoginAttempt = l.newAttempt(login)
	begun, err := l.tryReserve(m.t.Context(), m.store, m.clock(a.replica), login, &a.LoginAttempt)
	exceeded, refused := errors.AsType[*ExceededError](err)
	switch {
	case refused:
		m.counts.refused++
		m.checkRefusal(a, exceeded)
	case err != nil:
		m.t.Fatal(err)
	case !begun:
		m.counts.waited++
		m.checkWait(a)
	default:
		m.counts.begun++
		m.checkBegun(a)
		m.inProgress = append(m.inProgress, a)
	}
}

// countReserved counts the attempts in progress whose reservation has certainly not expired. It may expire early on a replica whose clock
// is ahead.
func (m *model) countReserved(which func(*modelAttempt) bool) (n int) {
	for _, a := range m.inProgress {
		if which(a) && !m.mayHaveExpired(a) {
			n++
		}
	}
	return n
}

func (m *model) mayHaveExpired(a *modelAttempt) bool {
	return m.now-a.began > defaultLoginWait+reservationTTL-modelSkew || a.setBacks != m.setBacks
}

func recently(failures []time.Duration, since time.Duration) (n int) {
	for _, at := range failures {
		if at >= since {
			n++
		}
	}
	return n
}

// checkRefusal fails if a login is refused without enough failures, or for longer than the model says.
func (m *model) checkRefusal(a *modelAttempt, exceeded *ExceededError) {
	m.t.Helper()
	if exceeded.Limit == LoginSource {
		rate := modelRates[LoginSource]
		if n := recently(a.clientIP.failures, m.now-rate.Per-m.slack()); n < int(rate.Count) {
			m.t.Errorf("a client IP with %d failures is refused", n)
		}
		return
	}
	failures := a.user.failures[a.delayedBy()]
	if len(failures) < int(modelRates[LoginAccount].Count) {
		m.t.Errorf("%s is refused with %d failures", a.user.name, len(failures))
		return
	}
	if past := m.now - failures[len(failures)-1]; past > m.delay(failures)+m.slack() {
		m.t.Errorf("%s is refused %s after the last failure, with a delay of %s", a.user.name, past, m.delay(failures))
	}
	if exceeded.Wait <= 0 || exceeded.Wait > m.delay(failures)+m.slack() {
		m.t.Errorf("%s must wait %s, with a delay of %s", a.user.name, exceeded.Wait, m.delay(failures))
	}
}

// delay returns the delay after failures: 1, 2, 4, 8, 15 minutes. (No interleaving lasts a day.)
func (m *model) delay(failures []time.Duration) time.Duration {
	n := len(failures) - int(modelRates[LoginAccount].Count)
	if n < 0 {
		return 0
	}
	return min(time.Minute<<min(n, 10), 15*time.Minute)
}

// checkWait fails if a login waits although no other one is in progress.
func (m *model) checkWait(a *modelAttempt) {
	m.t.Helper()
	others := 0
	for _, o := range m.inProgress {
		if o.user == a.user || o.clientIP == a.clientIP {
			others++
		}
	}
	if others+m.counts.killed == 0 {
		m.t.Errorf("%s waits without another login in progress", a.user.name)
	}
}

// checkBegun fails if parallel logins get more guesses than sequential ones.
func (m *model) checkBegun(a *modelAttempt) {
	m.t.Helper()
	rate := modelRates[LoginAccount]
	failures := a.user.failures[a.delayedBy()]
	same := m.countReserved(func(o *modelAttempt) bool { return o.user == a.user && o.delayedBy() == a.delayedBy() })
	if free := int(rate.Count) - len(failures); same >= max(free, 1) {
		m.t.Errorf("%s begins with %d others in progress, after %d failures", a.user.name, same, len(failures))
	}
	if delay := m.delay(failures); delay > 0 {
		if past := m.now - failures[len(failures)-1]; past < delay-5*time.Second-modelSkew {
			m.t.Errorf("%s begins %s after a failure, with a delay of %s", a.user.name, past, delay)
		}
	}
	ofClientIP := m.countReserved(func(o *modelAttempt) bool { return o.clientIP == a.clientIP })
	if used := m.used(a.clientIP) + time.Duration(ofClientIP+1)*modelRates[LoginSource].unit(); used > modelRates[LoginSource].Per+modelSkew+5*time.Second {
		m.t.Errorf("a client IP has used %s of %s", used, modelRates[LoginSource].Per)
	}
	ofUser := m.countReserved(func(o *modelAttempt) bool { return o.user == a.user })
	if !a.PasswordOff && a.user.consecutive+ofUser >= maxFailures {
		m.t.Errorf("%s begins with %d others in progress, after %d consecutive failures", a.user.name, ofUser, a.user.consecutive)
	}
}

func (r Rate) unit() time.Duration { return time.Duration(r.refill()) * time.Microsecond }

// used returns how long what a client IP's failures have used takes to refill.
func (m *model) used(clientIP *modelClientIP) time.Duration {
	used, last := time.Duration(0), time.Duration(0)
	for _, at := range clientIP.failures {
		used = max(0, used-(at-last)) + modelRates[LoginSource].unit()
		last = at
	}
	return max(0, used-(m.now-last))
}

// end ends an attempt in one of the ways in which a login ends, and checks what that changes in the rows.
func (m *model) end(i int) {
	m.t.Helper()
	a := m.inProgress[i]
	m.inProgress = slices.Delete(m.inProgress, i, i+1)
	before := m.rows()
	l, now := m.limits[a.replica], m.clock(a.replica)
	switch n := m.rand.IntN(100); {
	case n < 62:
		_, err := l.RecordLoginFailure(m.t.Context(), m.store, now, a.LoginAttempt)
		if err != nil && !errors.Is(err, ErrReservationExpired) {
			m.t.Fatal(err)
		}
		if (err != nil) && !m.mayHaveExpired(a) {
			m.t.Errorf("expired after %s", m.now-a.began)
		}
		a.clientIP.failures = append(a.clientIP.failures, m.now)
		a.user.failures[a.delayedBy()] = append(a.user.failures[a.delayedBy()], m.now)
		a.user.consecutive++
		m.counts.wrong++
		m.checkRows("a failure", before, a)
	case n < 72:
		err := m.store.InTx(m.t.Context(), func(q *db.Queries) error { return l.RecordLoginSuccess(m.t.Context(), q, now, a.LoginAttempt) })
		if errors.Is(err, ErrReservationExpired) && m.mayHaveExpired(a) { // the service then answers 503 and releases it
			if err := l.ReleaseLogin(m.t.Context(), m.store, now, a.LoginAttempt); err != nil {
				m.t.Fatal(err)
			}
			return
		}
		if err != nil {
			m.t.Fatal(err)
		}
		m.counts.right++
		if a.user.id != uuid.Nil {
			clear(a.user.failures)
			a.user.consecutive = 0
		}
		m.checkRows("a success", before, a)
	case n < 92: // cancelled, unavailable, too busy
		if err := l.ReleaseLogin(m.t.Context(), m.store, now, a.LoginAttempt); err != nil {
			m.t.Fatal(err)
		}
		m.counts.released++
		m.checkRows("a released login", before, nil)
	default:
		m.counts.killed++
	}
}

// rows returns the rows of the users' failures and of the client IPs' quotas.
func (m *model) rows() map[string]string {
	m.t.Helper()
	rows := map[string]string{}
	for _, p := range m.users {
		for _, s := range append([]*modelClientIP{nil}, m.clientIPs...) {
			row, err := m.store.Read().GetLoginFailure(m.t.Context(), m.key(p, s))
			if err != nil && !errors.Is(err, db.ErrNotFound) {
				m.t.Fatal(err)
			}
			rows[m.name(p, s)] = fmt.Sprint(row.Failures, row.RecentFailures, row.Delay, row.LastFailedAt)
		}
	}
	for _, s := range m.clientIPs {
		row, err := m.store.Read().GetRateLimit(m.t.Context(), m.limits[0].key(LoginSource, ClientIP(s.addr)))
		if err != nil && !errors.Is(err, db.ErrNotFound) {
			m.t.Fatal(err)
		}
		rows[s.addr.String()] = fmt.Sprint(row.FullAt, row.SeenAt)
	}
	return rows
}

func (m *model) key(p *modelUser, s *modelClientIP) []byte {
	key := m.limits[0].key(LoginAccount, p.name)
	if p.id != uuid.Nil {
		key = p.id[:]
	}
	if s != nil {
		key = slices.Concat(key, m.limits[0].key(LoginAccount, ClientIP(s.addr)))
	}
	return key
}

func (m *model) name(p *modelUser, s *modelClientIP) string {
	if s == nil {
		return p.name
	}
	return p.name + " at " + s.addr.String()
}

// checkRows fails if the end of an attempt changed rows of others. A nil attempt may change none.
func (m *model) checkRows(what string, before map[string]string, a *modelAttempt) {
	m.t.Helper()
	own := map[string]bool{}
	if a != nil {
		own[a.clientIP.addr.String()] = true
		own[m.name(a.user, nil)], own[m.name(a.user, a.clientIP)] = true, true
		if a.user.consecutive == 0 { // a success deletes the failures from everywhere, and does not count for the client IP
			own[a.clientIP.addr.String()] = false
			for _, s := range m.clientIPs {
				own[m.name(a.user, s)] = true
			}
		}
	}
	for name, after := range m.rows() {
		if after != before[name] && !own[name] {
			m.t.Errorf("%s changes %s from %s to %s", what, name, before[name], after)
		}
		if own[name] && a.user.consecutive > 0 {
			m.checkNotLowered(what, name, before[name], after)
		}
	}
}

// checkNotLowered fails if a failure lowered a value.
func (m *model) checkNotLowered(what, name, before, after string) {
	m.t.Helper()
	var was, is [4]int64
	_, _ = fmt.Sscan(before, &was[0], &was[1], &was[2], &was[3])
	_, _ = fmt.Sscan(after, &is[0], &is[1], &is[2], &is[3])
	for i := range is {
		if is[i] < was[i] {
			m.t.Errorf("%s lowers %s from %s to %s", what, name, before, after)
			return
		}
	}
}

// finish ends every attempt. Then nothing may be left reserved, and everyone may log in after the longest delay.
func (m *model) finish() {
	for len(m.inProgress) > 0 {
		m.end(0)
	}
	m.now += time.Hour + m.slack()
	for i := range m.limits {
		now := m.clock(i)
		inProgress, err := m.store.Read().CountLoginAttempts(m.t.Context(), db.CountLoginAttemptsParams{
			ClientIpKey: []byte{}, AccountKey: m.key(m.users[0], nil), DelayKey: []byte{},
			Now: now.UnixMicro(), Latest: now.Add(time.Hour).UnixMicro(),
		})
		if err != nil || inProgress.OfAccount != 0 {
			m.t.Errorf("%d logins are in progress: %v", inProgress.OfAccount, err)
		}
	}
	for _, p := range m.users {
		for _, s := range m.clientIPs {
			replica := m.rand.IntN(len(m.limits))
			login := Login{ClientIP: s.addr, Address: p.name, AccountID: p.id, KnownClientIP: unknownClientIP}
			a, err := m.limits[replica].BeginLogin(m.t.Context(), m.store, func() time.Time { return m.clock(replica) }, login)
			if err == nil {
				err = m.limits[replica].ReleaseLogin(m.t.Context(), m.store, m.clock(replica), a)
			}
			if err != nil {
				m.t.Errorf("%s, after an hour: %v", p.name, err)
			}
		}
	}
}
