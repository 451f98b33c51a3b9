package bench

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/financelime/authorization/test/harness"
)

// BenchmarkSlowClients opens 7,000 hostile connections while other clients refresh (docs/security.md R-13): 5,000 never end their
// headers, 1,000 never end their bodies, 1,000 send requests and read no response. It reports the p99 of the other clients without and
// with them, how long the last connection stayed open, and the service's memory and open files before, during and after. It needs
// `ulimit -n` 16384.
//
//	test/with-postgres go test -run='^$' -bench=SlowClients -benchtime=1x ./test/bench/
func BenchmarkSlowClients(b *testing.B) {
	binary, openapi := build(b), contract(b)
	for _, engine := range []string{harness.SQLite, harness.Postgres} {
		b.Run(engine, func(b *testing.B) {
			s := harness.Start(b, binary, openapi, engine, asShipped()...)
			tokens := logins(b, s, benchEmail, 4)
			for b.Loop() {
				quiet := startOthers(b, s, tokens)
				time.Sleep(5 * time.Second)
				quiet().report(b, "quiet")
				b.ReportMetric(residentMiB(b, s), "MiB-quiet")
				b.ReportMetric(openFiles(b, s), "files-quiet")

				memory := watchMemory(b, s)
				under := startOthers(b, s, tokens)
				b.ReportMetric(attack(b, s).Seconds(), "s-until-the-last-is-cut")
				under().report(b, "slow")
				b.ReportMetric(memory(), "MiB-slow")
				b.ReportMetric(openFiles(b, s), "files-after")
			}
		})
	}
}

// attack opens the connections, and returns how long the service took to close the last one.
func attack(b *testing.B, s *harness.Service) time.Duration {
	b.Helper()
	addr := strings.TrimPrefix(s.URL, "http://")
	const head = "POST /v1/oauth/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
	began := time.Now()
	var attacking sync.WaitGroup
	open := func(n int, act func(net.Conn)) {
		for range n {
			connection, err := net.Dial("tcp", addr)
			if err != nil {
				b.Fatal(err)
			}
			attacking.Go(func() {
				defer connection.Close()
				act(connection)
			})
		}
	}
	// drip sends a byte each second until the service closes the connection.
	drip := func(first, then string) func(net.Conn) {
		return func(connection net.Conn) {
			gone := make(chan struct{})
			go func() {
				defer close(gone)
				_, _ = io.Copy(io.Discard, connection)
			}()
			_, err := io.WriteString(connection, first)
			for tick := time.NewTicker(time.Second); err == nil; {
				select {
				case <-gone:
					return
				case <-tick.C:
					_, err = io.WriteString(connection, then)
				}
			}
			<-gone
		}
	}
	open(5000, drip("GET /v1/version HTTP/1.1\r\nHost: x\r\nX-Slow: ", "a"))
	open(1000, drip(head+"Content-Length: 1000\r\n\r\n{", " "))
	open(1000, func(connection net.Conn) { // first until the buffers are full, then until the service closes the connection
		if err := connection.(*net.TCPConn).SetReadBuffer(4096); err != nil {
			b.Error(err)
		}
		for {
			if _, err := io.WriteString(connection, "GET /openapi.json HTTP/1.1\r\nHost: x\r\nrequest-id: 10000000-0000-4000-8000-000000000000\r\n\r\n"); err != nil {
				return
			}
		}
	})
	attacking.Wait()
	return time.Since(began)
}

// openFiles counts the process's open files, including connections; 0 on systems without /proc.
func openFiles(b *testing.B, s *harness.Service) float64 {
	b.Helper()
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.PID()))
	if err != nil {
		return 0
	}
	return float64(len(files))
}
