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

// readyTimeout limits how long /readyz waits for the database: /readyz must report a lost database within 2 s.
const readyTimeout = time.Second

// adminHandler serves the admin port: /healthz, /readyz, /metrics and the local mailbox. Probes and Prometheus may send any Host
// header; the mailbox accepts only the host names of this machine.
func adminHandler(check *readiness, metrics http.Handler, transport mail.Transport, adminAddr string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "alive")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := check.run(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	})
	mux.Handle("GET /metrics", metrics)
	if files, local := transport.(*mail.Files); local {
		mailbox := requireOwnHost(adminAddr, mail.NewMailbox(files.Dir))
		mux.Handle("/mail", mailbox)
		mux.Handle("/mail/", mailbox)
		mux.Handle("/mail.json", mailbox)
	}
	return mux
}

// requireOwnHost returns 403 for requests whose Host is not this machine. The mailbox contains passwords and is not protected by
// one: without this check, a web page in the operator's browser could read it by DNS rebinding. If the admin port listens on all
// interfaces, for probes, only requests on a loopback address (which includes forwarded ports) reach the mailbox.
func requireOwnHost(adminAddr string, next http.Handler) http.Handler {
	configured, _, _ := net.SplitHostPort(adminAddr) // Settings.complete has validated it
	configuredIP, _ := netip.ParseAddr(configured)
	allInterfaces := configured == "" || configuredIP.Unmap().IsUnspecified()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		local := localIP(r)
		if !isOwnHost(r.Host, configured, local) || allInterfaces && !local.IsLoopback() {
			http.Error(w, "The mailbox is available on this machine only: open http://localhost, or forward the port.", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// localIP returns the local address on which a request arrived.
func localIP(r *http.Request) netip.Addr {
	if addr, is := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); is {
		return addr.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}

// isOwnHost reports whether a Host header names this machine and cannot be made to point to another one: localhost, a loopback
// address, the configured host, or the local address of the request.
func isOwnHost(host, configured string, local netip.Addr) bool {
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

// readiness checks whether the service can handle requests.
type readiness struct {
	store   *db.Store
	keys    *token.Keys
	serving *atomic.Bool // false before the service listens and while it stops
}

// run returns nil if the service can handle requests. Otherwise the error names the cause for the operator.
func (c *readiness) run(ctx context.Context) error {
	if !c.serving.Load() {
		return errors.New("stopping")
	}
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	err := c.store.Ping(ctx)
	switch {
	case errors.Is(err, db.ErrUnavailable), errors.Is(err, context.Canceled):
		return fmt.Errorf("the database does not respond, or is read-only: %w", err)
	case err != nil:
		return err // the database is not migrated
	}
	return c.keys.Usable()
}
