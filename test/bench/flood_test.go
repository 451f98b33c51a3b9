package bench

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/financelime/authorization/api/client"
	"github.com/financelime/authorization/test/harness"
)

// BenchmarkLogInFlood is ten times as many log-ins as the machine can hash, while other users refresh (SECURITY.md R-11, S-A13).
// It reports, all from one run: goodput against the peak, the service's memory, how long refusals take, and the refreshes' p99
// without and with the flood. FINANCELIME_FULL=1 makes the flood two minutes long.
//
//	test/with-postgres go test -run='^$' -bench=Flood -benchtime=1x ./test/bench/
func BenchmarkLogInFlood(b *testing.B) {
	binary, judge := build(b), contract(b)
	length := 20 * time.Second
	if os.Getenv("FINANCELIME_FULL") != "" {
		length = 2 * time.Minute
	}
	for _, engine := range []string{harness.SQLite, harness.Postgres} {
		b.Run(engine, func(b *testing.B) {
			s := harness.Start(b, binary, judge, engine, "AUTH_INVITE_CODE_REQUIRED=false", "AUTH_LOG_LEVEL=info")
			tokens := logIns(b, s, benchEmail, 4)
			logIns(b, s, floodEmail, 1)
			password := s.WaitMails(b, floodEmail, 2)[0].Password(b)
			base := residentMiB(b, s)
			f := flooder{b: b, s: s, password: password, http: &http.Client{
				Transport: &http.Transport{MaxIdleConnsPerHost: 1024}, Timeout: time.Minute,
			}}
			for b.Loop() {
				quiet := refreshing(b, s, tokens)
				time.Sleep(length / 10)
				b.ReportMetric(p99(quiet()), "refresh-p99-ms-quiet")

				before := refreshing(b, s, tokens) // beside the same refreshes, so that only the flood makes the difference
				peak := f.closed(8, length/4)      // as many as keep all slots at work
				before()
				under := refreshing(b, s, tokens)
				memory := watchMemory(b, s)
				good, refusals := f.open(10*peak, length)
				b.ReportMetric(p99(under()), "refresh-p99-ms-flood")
				b.ReportMetric(peak, "log-ins/s-peak")
				b.ReportMetric(good/peak, "goodput/peak")
				b.ReportMetric(p99(refusals), "refusal-p99-ms")
				b.ReportMetric(base, "MiB-idle")
				b.ReportMetric(memory(), "MiB-flood")
			}
		})
	}
}

// floodEmail is the address of the user who is logged in all the time. Others refresh.
const floodEmail = "flood@example.com"

// flooder logs one user in, again and again.
type flooder struct {
	b        *testing.B
	s        *harness.Service
	password string
	http     *http.Client
}

func (f flooder) logIn() (status int, took time.Duration) {
	began := time.Now()
	err := send(f.http, http.MethodPost, f.s.URL+"/v1/oauth/create",
		client.CreateAccessTokenRequest{Email: floodEmail, Password: f.password, ClientID: "flood"}, nil)
	took = time.Since(began)
	if err == nil {
		return http.StatusOK, took
	}
	var code int
	if _, scanErr := fmt.Sscanf(err.Error(), http.MethodPost+" "+f.s.URL+"/v1/oauth/create: %d", &code); scanErr != nil || code != http.StatusServiceUnavailable {
		f.b.Error(err)
	}
	return code, took
}

// closed has n workers log in, each after its last answer, and returns the log-ins in a second.
func (f flooder) closed(n int, length time.Duration) float64 {
	var done atomic.Int64
	end := time.Now().Add(length)
	var working sync.WaitGroup
	for range n {
		working.Go(func() {
			for time.Now().Before(end) {
				if status, _ := f.logIn(); status == http.StatusOK {
					done.Add(1)
				}
			}
		})
	}
	working.Wait()
	return float64(done.Load()) / length.Seconds()
}

// open sends log-ins at a rate, whether or not they are answered, and returns the log-ins in a second and how long the refusals took.
func (f flooder) open(rate float64, length time.Duration) (good float64, refusals []time.Duration) {
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
			status, took := f.logIn()
			if status == http.StatusOK {
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

// refreshing refreshes sessions, each every 20 ms, until the returned function is called, which returns how long each took.
func refreshing(b *testing.B, s *harness.Service, tokens []string) func() []time.Duration {
	b.Helper()
	stop := make(chan struct{})
	var mu sync.Mutex
	var took []time.Duration
	var working sync.WaitGroup
	for i := range tokens {
		working.Go(func() {
			transport := &http.Transport{}
			defer transport.CloseIdleConnections()
			c := &http.Client{Transport: transport, Timeout: time.Minute}
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-stop:
					return
				case <-tick.C:
				}
				began := time.Now()
				tokens[i] = refresh(b, c, s.URL, tokens[i])
				mu.Lock()
				took = append(took, time.Since(began))
				mu.Unlock()
			}
		})
	}
	return func() []time.Duration {
		close(stop)
		working.Wait()
		return took
	}
}

// watchMemory looks at the service's memory until the returned function is called, which returns the most that it saw.
func watchMemory(b *testing.B, s *harness.Service) func() float64 {
	b.Helper()
	stop, most := make(chan struct{}), make(chan float64)
	go func() {
		seen := 0.0
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				most <- seen
				return
			case <-tick.C:
				seen = max(seen, residentMiB(b, s))
			}
		}
	}()
	return func() float64 {
		close(stop)
		return <-most
	}
}

// p99 is the 99th percentile in milliseconds.
func p99(took []time.Duration) float64 {
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	return float64(took[len(took)*99/100].Microseconds()) / 1000
}
