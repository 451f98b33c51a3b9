package db_test

import (
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/test/dbtest"
	"github.com/financelime/authorization/test/postgres"
)

// BenchmarkRefresh measures the most frequent write of the service: one conditional update, durable when it returns.
func BenchmarkRefresh(b *testing.B) {
	for name, url := range map[string]func(testing.TB) string{"sqlite": dbtest.SQLiteURL, "postgres": postgres.URL} {
		b.Run(name, func(b *testing.B) {
			s := dbtest.Open(b, url(b))
			a := insertAccount(b, s)
			sessions := make([]db.Session, 64)
			for i := range sessions {
				sessions[i] = insertSession(b, s, a.ID)
			}
			var next atomic.Int64
			b.SetParallelism(16) // as many clients as share one commit on a small machine
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				session := sessions[next.Add(1)%int64(len(sessions))]
				for pb.Next() {
					if err := s.Write(b.Context(), func(q *db.Queries) (err error) {
						session, err = q.RotateSession(b.Context(), db.RotateSessionParams{
							ID: session.ID, Generation: session.Generation, Now: start.Add(time.Duration(session.Generation) * time.Second),
							RemoteAddr: "192.0.2.1", CreatedAfter: start.AddDate(-1, 0, 0), FarAhead: start.AddDate(1, 0, 0),
						})
						return err
					}); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "refreshes/s")
		})
	}
}

// BenchmarkGetSession measures the read that checks a session.
func BenchmarkGetSession(b *testing.B) {
	for name, url := range map[string]func(testing.TB) string{"sqlite": dbtest.SQLiteURL, "postgres": postgres.URL} {
		b.Run(name, func(b *testing.B) {
			s := dbtest.Open(b, url(b))
			session := insertSession(b, s, insertAccount(b, s).ID)
			b.SetParallelism(16)
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := s.Read().GetSession(b.Context(), session.ID); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "reads/s")
		})
	}
}

// BenchmarkFirstStart measures opening and migrating a new SQLite database.
func BenchmarkFirstStart(b *testing.B) {
	for b.Loop() {
		s, err := db.Open(b.Context(), "sqlite:"+filepath.Join(b.TempDir(), "auth.db"))
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Migrate(b.Context()); err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
