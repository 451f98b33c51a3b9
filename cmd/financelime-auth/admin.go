package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/mail"
	"github.com/financelime/authorization/impl/token"
)

// readyTimeout is how long readyz waits for the database. Who asks it learns of a lost one in less than 2 s.
const readyTimeout = time.Second

// adminHandler is what the admin port has: is the process alive, does it want requests, how is it doing, and the local mailbox.
// Probes and Prometheus may call the first three what they like; the mailbox answers to the names of this machine only.
func adminHandler(check *readiness, metrics http.Handler, transport mail.Transport, adminAddr string) http.Handler {
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
		mailbox := onlyByOwnName(adminAddr, mail.NewMailbox(files.Dir))
		mux.Handle("/mail", mailbox)
		mux.Handle("/mail/", mailbox)
		mux.Handle("/mail.json", mailbox)
	}
	return mux
}

// onlyByOwnName refuses requests for other hosts than this machine. The mailbox holds passwords, and has none itself: a page in the
// browser of whoever runs the service could read it, if the page's own host name led here (DNS rebinding). An address of
// all interfaces is for probes: with it, only who is on this machine (or forwards a port from it) gets the mailbox.
func onlyByOwnName(adminAddr string, next http.Handler) http.Handler {
	configured, _, _ := net.SplitHostPort(adminAddr) // complete has checked it
	configuredIP, _ := netip.ParseAddr(configured)
	everywhere := configured == "" || configuredIP.Unmap().IsUnspecified()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		local := localIP(r)
		if !ownName(r.Host, configured, local) || everywhere && !local.IsLoopback() {
			http.Error(w, "The mailbox answers on this machine only: open it by http://localhost, or forward the port.", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// localIP is the address at which a request arrived.
func localIP(r *http.Request) netip.Addr {
	if addr, is := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); is {
		return addr.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}

// ownName reports whether a Host is a name of this machine that nobody else can give to another one: localhost, a loopback
// address, the configured host, or the very address at which the request arrived.
func ownName(host, configured string, local netip.Addr) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if ip, err := netip.ParseAddr(host); err == nil {
		ip = ip.Unmap()
		return ip.IsLoopback() || ip == local
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || host != "" && strings.EqualFold(host, configured)
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
