package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/mail"
	"github.com/financelime/authorization/impl/token"
)

// readyTimeout is how long readyz waits for the database. Who asks it learns of a lost one in less than 2 s.
const readyTimeout = time.Second

// adminHandler is what the admin port has: is the process alive, does it want requests, how is it doing, and the local mailbox.
func adminHandler(check *readiness, metrics http.Handler, transport mail.Transport) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "alive")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := check.ask(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	})
	mux.Handle("GET /metrics", metrics)
	if files, local := transport.(*mail.Files); local {
		mailbox := mail.NewMailbox(files.Dir)
		mux.Handle("/mail", mailbox)
		mux.Handle("/mail/", mailbox)
		mux.Handle("/mail.json", mailbox)
	}
	return mux
}

// readiness tells whether the service wants requests.
type readiness struct {
	store   *db.Store
	keys    *token.Keys
	serving *atomic.Bool // false before the start and while stopping
}

// ask returns what is missing; nil if nothing is. What it says is for the operator.
func (c *readiness) ask(ctx context.Context) error {
	if !c.serving.Load() {
		return errors.New("stopping")
	}
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	err := c.store.Ping(ctx)
	switch {
	case errors.Is(err, db.ErrUnavailable), errors.Is(err, context.Canceled):
		return fmt.Errorf("the database does not answer, or can not be written to: %w", err)
	case err != nil:
		return err // it is not migrated
	}
	return c.keys.Usable()
}
