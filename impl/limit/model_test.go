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
	modelSkew = 5 * time.Second  // how far apart the clocks of two replicas are at the most
	setBack   = 10 * time.Minute // how far the clocks are set back
)

// TestModel runs random interleavings of log-ins on three replicas whose clocks differ, and holds each against the model: what the limits may
// refuse and must refuse, by one true time. MODEL_SEED repeats one; MODEL_COUNT runs so many, instead of some seconds.
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
	onBoth(t, modelRates, func(t *testing.T, l *Limits, store *db.Store) {
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
		if ran >= 20 && min(total.refused, total.waited, total.right, total.wrong, total.undone, total.killed, total.setBacks) == 0 {
			t.Errorf("something never happened: %+v", total)
		}
	})
}

// modelCounts says what happened, so that a model in which nothing does is noticed.
type modelCounts struct{ begun, refused, waited, right, wrong, undone, killed, setBacks int }

func (c *modelCounts) add(o modelCounts) {
	c.begun, c.refused, c.waited, c.right = c.begun+o.begun, c.refused+o.refused, c.waited+o.waited, c.right+o.right
	c.wrong, c.undone, c.killed, c.setBacks = c.wrong+o.wrong, c.undone+o.undone, c.killed+o.killed, c.setBacks+o.setBacks
}

// model is one interleaving: what happens, by the true time, and what the limits may do about it.
type model struct {
	t      *testing.T
	store  *db.Store
	limits []*Limits // of the replicas
	rand   *rand.Rand
	seed   uint64

	now      time.Duration   // the true time, since start
	clocks   []time.Duration // of the replicas, less the true time
	setBacks int

	people   []*modelPerson
	sources  []*modelSource
	underWay []*modelAttempt
	counts   modelCounts
}

type modelPerson struct {
	name     string
	id       uuid.UUID // Nil: the address is nobody's
	home     *modelSource
	failures map[*modelSource][]time.Duration // by true time, since the last success: of strangers (nil), and at home
	inRow    int
}

type modelSource struct {
	addr     netip.Addr
	failures []time.Duration
}

type modelAttempt struct {
	Attempt

	person   *modelPerson
	source   *modelSource
	replica  int
	began    time.Duration
	setBacks int // how many there had been
}

// row is whose failures delay the attempt: strangers' (nil), or those at its source.
func (a *modelAttempt) row() *modelSource {
	if a.atHome() {
		return a.source
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
		m.sources = append(m.sources, &modelSource{addr: addr})
	}
	for i := range 3 {
		p := &modelPerson{name: fmt.Sprintf("p%d-%d@example.com", i, seed), failures: map[*modelSource][]time.Duration{}}
		if i > 0 {
			p.id = newAccount(t, store, p.name)
		}
		if i > 1 {
			p.home = m.sources[0]
		}
		m.people = append(m.people, p)
	}
	m.do(func(q *db.Queries) error { // what the interleaving before has killed
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

// slack is by how much longer something may be refused, because the clocks differ and were set back.
func (m *model) slack() time.Duration { return modelSkew + time.Duration(m.setBacks)*setBack }

func (m *model) step() {
	switch n := m.rand.IntN(100); {
	case n < 48:
		m.begin()
	case n < 86 && len(m.underWay) > 0:
		m.end(m.rand.IntN(len(m.underWay)))
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
		person: m.people[m.rand.IntN(len(m.people))], source: m.sources[m.rand.IntN(len(m.sources))],
		replica: m.rand.IntN(len(m.limits)), began: m.now, setBacks: m.setBacks,
	}
	who := Login{
		Source: a.source.addr, Address: a.person.name, AccountID: a.person.id,
		Knows: func(context.Context, string) (bool, error) { return a.person.home == a.source, nil },
	}
	l := m.limits[a.replica]
	a.Attempt = l.attempt(who)
	begun, err := l.tryBegin(m.t.Context(), m.store, m.clock(a.replica), who, &a.Attempt)
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
		m.underWay = append(m.underWay, a)
	}
}

// live are the attempts under way that have not lapsed for certain. One may lapse early by a clock that is ahead, and not before.
func (m *model) live(which func(*modelAttempt) bool) (n int) {
	for _, a := range m.underWay {
		if which(a) && !m.mayHaveLapsed(a) {
			n++
		}
	}
	return n
}

func (m *model) mayHaveLapsed(a *modelAttempt) bool {
	return m.now-a.began > defaultWait+lapseAfter-modelSkew || a.setBacks != m.setBacks
}

func recently(failures []time.Duration, since time.Duration) (n int) {
	for _, at := range failures {
		if at >= since {
			n++
		}
	}
	return n
}

// checkRefusal: nobody is refused who has guessed nothing, and nobody for longer than the model says.
func (m *model) checkRefusal(a *modelAttempt, exceeded *ExceededError) {
	m.t.Helper()
	if exceeded.Limit == LoginSource {
		rate := modelRates[LoginSource]
		if n := recently(a.source.failures, m.now-rate.Per-m.slack()); n < int(rate.Count) {
			m.t.Errorf("a source with %d failures is refused", n)
		}
		return
	}
	failures := a.person.failures[a.row()]
	if len(failures) < int(modelRates[LoginAccount].Count) {
		m.t.Errorf("%s is refused with %d failures", a.person.name, len(failures))
		return
	}
	if past := m.now - failures[len(failures)-1]; past > m.delay(failures)+m.slack() {
		m.t.Errorf("%s is refused %s after the last failure, with a delay of %s", a.person.name, past, m.delay(failures))
	}
	if exceeded.Wait <= 0 || exceeded.Wait > m.delay(failures)+m.slack() {
		m.t.Errorf("%s has to wait %s, with a delay of %s", a.person.name, exceeded.Wait, m.delay(failures))
	}
}

// delay is the delay after failures: 1, 2, 4, 8, 15 minutes. (No interleaving lasts a day.)
func (m *model) delay(failures []time.Duration) time.Duration {
	n := len(failures) - int(modelRates[LoginAccount].Count)
	if n < 0 {
		return 0
	}
	return min(time.Minute<<min(n, 10), 15*time.Minute)
}

// checkWait: nobody waits without others under way.
func (m *model) checkWait(a *modelAttempt) {
	m.t.Helper()
	others := 0
	for _, o := range m.underWay {
		if o.person == a.person || o.source == a.source {
			others++
		}
	}
	if others+m.counts.killed == 0 {
		m.t.Errorf("%s waits for nobody", a.person.name)
	}
}

// checkBegun: many at once get no more guesses than one after another.
func (m *model) checkBegun(a *modelAttempt) {
	m.t.Helper()
	rate := modelRates[LoginAccount]
	failures := a.person.failures[a.row()]
	same := m.live(func(o *modelAttempt) bool { return o.person == a.person && o.row() == a.row() })
	if free := int(rate.Count) - len(failures); same >= max(free, 1) {
		m.t.Errorf("%s begins beside %d others, after %d failures", a.person.name, same, len(failures))
	}
	if delay := m.delay(failures); delay > 0 {
		if past := m.now - failures[len(failures)-1]; past < delay-5*time.Second-modelSkew {
			m.t.Errorf("%s begins %s after a failure, with a delay of %s", a.person.name, past, delay)
		}
	}
	ofSource := m.live(func(o *modelAttempt) bool { return o.source == a.source })
	if used := m.used(a.source) + time.Duration(ofSource+1)*modelRates[LoginSource].step(); used > modelRates[LoginSource].Per+modelSkew+5*time.Second {
		m.t.Errorf("a source has used %s of %s", used, modelRates[LoginSource].Per)
	}
	ofPerson := m.live(func(o *modelAttempt) bool { return o.person == a.person })
	if !a.PasswordOff && a.person.inRow+ofPerson >= maxFailures {
		m.t.Errorf("%s begins beside %d others, after %d failures in a row", a.person.name, ofPerson, a.person.inRow)
	}
}

func (r Rate) step() time.Duration { return time.Duration(r.refill()) * time.Microsecond }

// used is what a source's failures have used of its limit, in the time that it takes to refill.
func (m *model) used(source *modelSource) time.Duration {
	used, last := time.Duration(0), time.Duration(0)
	for _, at := range source.failures {
		used = max(0, used-(at-last)) + modelRates[LoginSource].step()
		last = at
	}
	return max(0, used-(m.now-last))
}

// end settles an attempt, in one of the ways in which a log-in ends, and sees what that does to the rows.
func (m *model) end(i int) {
	m.t.Helper()
	a := m.underWay[i]
	m.underWay = slices.Delete(m.underWay, i, i+1)
	before := m.rows()
	l, now := m.limits[a.replica], m.clock(a.replica)
	switch n := m.rand.IntN(100); {
	case n < 62:
		_, err := l.Fail(m.t.Context(), m.store, now, a.Attempt)
		if err != nil && !errors.Is(err, ErrLapsed) {
			m.t.Fatal(err)
		}
		if (err != nil) && !m.mayHaveLapsed(a) {
			m.t.Errorf("lapsed after %s", m.now-a.began)
		}
		a.source.failures = append(a.source.failures, m.now)
		a.person.failures[a.row()] = append(a.person.failures[a.row()], m.now)
		a.person.inRow++
		m.counts.wrong++
		m.checkRows("a failure", before, a)
	case n < 72:
		err := m.store.InTx(m.t.Context(), func(q *db.Queries) error { return l.Succeed(m.t.Context(), q, now, a.Attempt) })
		if errors.Is(err, ErrLapsed) && m.mayHaveLapsed(a) { // and is settled as what it is then: unavailable
			if err := l.Undo(m.t.Context(), m.store, now, a.Attempt); err != nil {
				m.t.Fatal(err)
			}
			return
		}
		if err != nil {
			m.t.Fatal(err)
		}
		m.counts.right++
		if a.person.id != uuid.Nil {
			clear(a.person.failures)
			a.person.inRow = 0
		}
		m.checkRows("a success", before, a)
	case n < 92: // hung up, unavailable, too busy
		if err := l.Undo(m.t.Context(), m.store, now, a.Attempt); err != nil {
			m.t.Fatal(err)
		}
		m.counts.undone++
		m.checkRows("what was none", before, nil)
	default:
		m.counts.killed++
	}
}

// rows is what the database has of the people's failures and the sources' uses.
func (m *model) rows() map[string]string {
	m.t.Helper()
	rows := map[string]string{}
	for _, p := range m.people {
		for _, s := range append([]*modelSource{nil}, m.sources...) {
			row, err := m.store.Read().GetLoginFailure(m.t.Context(), m.key(p, s))
			if err != nil && !errors.Is(err, db.ErrNotFound) {
				m.t.Fatal(err)
			}
			rows[m.name(p, s)] = fmt.Sprint(row.Failures, row.RecentFailures, row.Delay, row.LastFailedAt)
		}
	}
	for _, s := range m.sources {
		row, err := m.store.Read().GetRateLimit(m.t.Context(), m.limits[0].key(LoginSource, Source(s.addr)))
		if err != nil && !errors.Is(err, db.ErrNotFound) {
			m.t.Fatal(err)
		}
		rows[s.addr.String()] = fmt.Sprint(row.FullAt, row.SeenAt)
	}
	return rows
}

func (m *model) key(p *modelPerson, s *modelSource) []byte {
	key := m.limits[0].key(LoginAccount, p.name)
	if p.id != uuid.Nil {
		key = p.id[:]
	}
	if s != nil {
		key = slices.Concat(key, m.limits[0].key(LoginAccount, Source(s.addr)))
	}
	return key
}

func (m *model) name(p *modelPerson, s *modelSource) string {
	if s == nil {
		return p.name
	}
	return p.name + " at " + s.addr.String()
}

// checkRows: an ending changes no rows but its own; nil has none.
func (m *model) checkRows(what string, before map[string]string, a *modelAttempt) {
	m.t.Helper()
	own := map[string]bool{}
	if a != nil {
		own[a.source.addr.String()] = true
		own[m.name(a.person, nil)], own[m.name(a.person, a.source)] = true, true
		if a.person.inRow == 0 { // a success ends the failures of everywhere, and is no use of the source
			own[a.source.addr.String()] = false
			for _, s := range m.sources {
				own[m.name(a.person, s)] = true
			}
		}
	}
	for name, after := range m.rows() {
		if after != before[name] && !own[name] {
			m.t.Errorf("%s changes %s from %s to %s", what, name, before[name], after)
		}
		if own[name] && a.person.inRow > 0 {
			m.checkNotLowered(what, name, before[name], after)
		}
	}
}

// checkNotLowered: nothing that a failure changes becomes less.
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

// finish lets every attempt end or lapse: then nothing is left taken, and everybody may log in after the longest delay.
func (m *model) finish() {
	for len(m.underWay) > 0 {
		m.end(0)
	}
	m.now += time.Hour + m.slack()
	for i := range m.limits {
		now := m.clock(i)
		underWay, err := m.store.Read().CountLoginAttempts(m.t.Context(), db.CountLoginAttemptsParams{
			ClientIpKey: []byte{}, AccountKey: m.key(m.people[0], nil), DelayKey: []byte{},
			Now: now.UnixMicro(), Latest: now.Add(time.Hour).UnixMicro(),
		})
		if err != nil || underWay.OfAccount != 0 {
			m.t.Errorf("%d log-ins are under way: %v", underWay.OfAccount, err)
		}
	}
	for _, p := range m.people {
		for _, s := range m.sources {
			replica := m.rand.IntN(len(m.limits))
			who := Login{Source: s.addr, Address: p.name, AccountID: p.id, Knows: stranger}
			a, err := m.limits[replica].Begin(m.t.Context(), m.store, func() time.Time { return m.clock(replica) }, who)
			if err == nil {
				err = m.limits[replica].Undo(m.t.Context(), m.store, m.clock(replica), a)
			}
			if err != nil {
				m.t.Errorf("%s, after an hour: %v", p.name, err)
			}
		}
	}
}
