package bench

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/api/client"
	"github.com/financelime/authorization/test/harness"
)

// BenchmarkLoginFlood sends ten times as many logins as the machine can hash, while other clients refresh and get the public keys and
// the health (docs/security.md R-11, S-A13). From one run it reports: goodput relative to the peak, the service's memory, the time of
// rejections, and the p99 of the other clients without and with the flood. With FINANCELIME_FULL=1 a flood takes two minutes. If
// GOMAXPROCS and GOMEMLIMIT are set, the service gets them.
//
//	test/with-postgres go test -run='^$' -bench=Flood -benchtime=1x ./test/bench/
func BenchmarkLoginFlood(b *testing.B) {
	binary, openapi := build(b), contract(b)
	length := 20 * time.Second
	if os.Getenv("FINANCELIME_FULL") != "" {
		length = 2 * time.Minute
	}
	for _, engine := range []string{harness.SQLite, harness.Postgres} {
		for _, kind := range floods {
			b.Run(engine+"/"+kind.name, func(b *testing.B) {
				for b.Loop() {
					kind.measure(b, binary, openapi, engine, length)
				}
			})
		}
	}
}

// flood is a kind of login. A login that computes a hash gets the status hashed; all others are rejected.
type flood struct {
	name     string
	settings []string
	log      func(password string) (email, sent string)
	hashed   int
}

var floods = []flood{
	{"right", nil, func(password string) (string, string) { return floodEmail, password }, http.StatusOK},
	{"unknown", nil, func(password string) (string, string) { return uuid.NewString() + "@example.com", password }, http.StatusNotFound},
	// The limits reject nearly all of it, so there is no goodput: only the times of the other clients matter.
	{"limited", []string{"AUTH_LIMITS=on"}, func(string) (string, string) { return floodEmail, "a wrong one" }, http.StatusNotFound},
}

// asShipped returns settings with the default hash wait, which the harness changes, and the Go runtime variables that are set.
func asShipped() []string {
	settings := []string{"AUTH_INVITE_CODE_REQUIRED=false", "AUTH_LOG_LEVEL=info", "AUTH_HASH_WAIT=1s"}
	for _, name := range []string{"GOMAXPROCS", "GOMEMLIMIT"} {
		if value, ok := os.LookupEnv(name); ok {
			settings = append(settings, name+"="+value)
		}
	}
	return settings
}

func (kind flood) measure(b *testing.B, binary string, openapi *harness.Contract, engine string, length time.Duration) {
	b.Helper()
	s := harness.Start(b, binary, openapi, engine, append(asShipped(), kind.settings...)...)
	fresh := residentMiB(b, s)
	tokens := logins(b, s, benchEmail, 4)
	logins(b, s, floodEmail, 1)
	password := s.WaitMails(b, floodEmail, 2)[0].Password(b)
	warm := residentMiB(b, s)
	f := flooder{b: b, s: s, http: &http.Client{
		Transport: &http.Transport{MaxIdleConnsPerHost: 1024}, Timeout: time.Minute,
	}}
	defer f.http.CloseIdleConnections()

	quiet := startOthers(b, s, tokens)
	time.Sleep(length / 10)
	quiet().report(b, "quiet")

	before := startOthers(b, s, tokens)                // the same load as during the flood
	peak := f.closed(floods[0], password, 8, length/4) // enough to keep all slots busy
	before()
	under := startOthers(b, s, tokens)
	memory := watchMemory(b, s)
	good, refusals := f.open(kind, password, 10*peak, length)
	under().report(b, "flood")
	b.ReportMetric(peak, "logins/s-peak")
	b.ReportMetric(good/peak, "hashed/peak")
	b.ReportMetric(p99(refusals), "refusal-p99-ms")
	b.ReportMetric(fresh, "MiB-fresh")
	b.ReportMetric(warm, "MiB-warm")
	b.ReportMetric(memory(), "MiB-flood")
}

// floodEmail is the address of the user for the logins of the flood.
const floodEmail = "flood@example.com"

// flooder sends the logins of a flood.
type flooder struct {
	b    *testing.B
	s    *harness.Service
	http *http.Client
}

func (f flooder) login(kind flood, password string) (hashed bool, took time.Duration) {
	email, sent := kind.log(password)
	content, err := json.Marshal(client.CreateAccessTokenRequest{Email: email, Password: sent, ClientID: "flood"})
	if err != nil {
		f.b.Error(err)
	}
	request, err := http.NewRequestWithContext(f.b.Context(), http.MethodPost, f.s.URL+"/v1/oauth/create", bytes.NewReader(content))
	if err != nil {
		f.b.Error(err)
		return false, 0
	}
	request.Header.Set("Request-Id", uuid.NewString())
	request.Header.Set("Content-Type", "application/json")
	began := time.Now()
	response, err := f.http.Do(request)
	took = time.Since(began)
	if err != nil {
		f.b.Error(err)
		return false, took
	}
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		f.b.Error(err)
	}
	_ = response.Body.Close()
	switch response.StatusCode {
	case kind.hashed:
		return true, took
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
	default:
		f.b.Errorf("login: %s", response.Status)
	}
	return false, took
}

// closed runs n workers that each log in again after the last response, and returns the logins per second.
func (f flooder) closed(kind flood, password string, n int, length time.Duration) float64 {
	var done atomic.Int64
	end := time.Now().Add(length)
	var working sync.WaitGroup
	for range n {
		working.Go(func() {
			for time.Now().Before(end) {
				if hashed, _ := f.login(kind, password); hashed {
					done.Add(1)
				}
			}
		})
	}
	working.Wait()
	return float64(done.Load()) / length.Seconds()
}

// open sends logins at a rate, without waiting for responses, and returns the logins per second and how long rejections took.
func (f flooder) open(kind flood, password string, rate float64, length time.Duration) (good float64, refusals []time.Duration) {
	var done atomic.Int64
	var mu sync.Mutex
	var working sync.WaitGroup
	began := time.Now()
	for sent := 0; ; sent++ {
		due := began.Add(time.Duration(float64(sent) / rate * float64(time.Second)))
		if due.Sub(began) > length {
			break
		}
		time.Sleep(time.Until(due))
		working.Go(func() {
			hashed, took := f.login(kind, password)
			if hashed {
				done.Add(1)
				return
			}
			mu.Lock()
			refusals = append(refusals, took)
			mu.Unlock()
		})
	}
	good = float64(done.Load()) / time.Since(began).Seconds()
	working.Wait()
	return good, refusals
}

// others contains the times of the requests of other clients.
type others struct{ refreshes, keys, health []time.Duration }

func (o others) report(b *testing.B, when string) {
	b.ReportMetric(p99(o.refreshes), "refresh-p99-ms-"+when)
	b.ReportMetric(p99(o.keys), "jwks-p99-ms-"+when)
	b.ReportMetric(p99(o.health), "healthz-p99-ms-"+when)
}

// startOthers refreshes sessions and gets the public keys and the health, each every 20 ms, until the returned function is called.
func startOthers(b *testing.B, s *harness.Service, tokens []string) func() others {
	b.Helper()
	var ends []func() []time.Duration
	for i := range tokens {
		ends = append(ends, every(func(c *http.Client) { tokens[i] = refresh(b, c, s.URL, tokens[i]) }))
	}
	getEvery := func(url string) func() []time.Duration {
		return every(func(c *http.Client) {
			if err := send(c, http.MethodGet, url, nil, nil); err != nil {
				b.Error(err)
			}
		})
	}
	keys, health := getEvery(s.URL+"/.well-known/jwks.json"), getEvery(s.Admin+"/healthz")
	return func() others {
		o := others{keys: keys(), health: health()}
		for _, end := range ends {
			o.refreshes = append(o.refreshes, end()...)
		}
		return o
	}
}

// every calls do every 20 ms until the returned function is called, which returns how long each call took.
func every(do func(*http.Client)) func() []time.Duration {
	stop, all := make(chan struct{}), make(chan []time.Duration)
	go func() {
		transport := &http.Transport{}
		defer transport.CloseIdleConnections()
		c := &http.Client{Transport: transport, Timeout: time.Minute}
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		var took []time.Duration
		for {
			select {
			case <-stop:
				all <- took
				return
			case <-tick.C:
			}
			began := time.Now()
			do(c)
			took = append(took, time.Since(began))
		}
	}()
	return func() []time.Duration {
		close(stop)
		return <-all
	}
}

// watchMemory samples the service's memory until the returned function is called, which returns the maximum.
func watchMemory(b *testing.B, s *harness.Service) func() float64 {
	b.Helper()
	stop, result := make(chan struct{}), make(chan float64)
	go func() {
		maximum := 0.0
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				result <- maximum
				return
			case <-tick.C:
				maximum = max(maximum, residentMiB(b, s))
			}
		}
	}()
	return func() float64 {
		close(stop)
		return <-result
	}
}

// p99 returns the 99th percentile in milliseconds.
func p99(took []time.Duration) float64 {
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	return float64(took[len(took)*99/100].Microseconds()) / 1000
}
