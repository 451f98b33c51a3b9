package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/dev"
	"github.com/financelime/authorization/impl/limit"
)

// This file has everything that serve does differently with --dev: its defaults, what it refuses, and the handler of package dev. Without
// --dev, the service only calls keepApart, which refuses a database of --dev.

// setDevDefaults sets the defaults that differ with --dev, for the settings that were not given.
func (s *Settings) setDevDefaults() error {
	if !s.Dev {
		if s.DevExpose {
			return errors.New("AUTH_DEV_EXPOSE is only allowed with AUTH_DEV (--dev)")
		}
		return nil
	}
	if !s.given["AUTH_HTTP_ADDR"] && !s.DevExpose {
		s.HTTPAddr = "127.0.0.1:8080"
	}
	if !s.given["AUTH_DATABASE_URL"] && !s.given["AUTH_DATABASE_URL_FILE"] {
		s.DatabaseURL = "sqlite:data/dev/auth.db"
	}
	if !s.given["AUTH_MAIL_URL"] && !s.given["AUTH_MAIL_URL_FILE"] {
		s.MailURL = "file:data/dev/mail"
	}
	for env, rate := range map[string]*limit.Rate{
		"AUTH_LIMIT_LOGIN_ACCOUNT": &s.LoginAccount, "AUTH_LIMIT_LOGIN_SOURCE": &s.LoginSource, "AUTH_LIMIT_MAIL_ADDRESS": &s.MailAddress,
		"AUTH_LIMIT_SIGNUP_SOURCE": &s.SignUpSource, "AUTH_LIMIT_RESET_SOURCE": &s.ResetSource,
		"AUTH_LIMIT_INVITE_SOURCE": &s.InviteSource, "AUTH_LIMIT_LINK_SOURCE": &s.LinkSource,
		"AUTH_LIMIT_EMAIL_ACCOUNT":  &s.EmailAccount,
		"AUTH_LIMIT_EXPORT_ACCOUNT": &s.ExportAccount,
	} {
		if !s.given[env] {
			rate.Count *= devLimitFactor
		}
	}
	return nil
}

// devLimitFactor is how many times more a limit allows with --dev.
const devLimitFactor = 1000

// checkDev refuses settings with which people or machines elsewhere could use a service with --dev, or get its emails.
func (s *Settings) checkDev() error {
	if !s.Dev {
		return nil
	}
	if u, err := url.Parse(s.PublicURL); err != nil || !isLoopbackHost(u.Hostname()) {
		return fmt.Errorf("AUTH_PUBLIC_URL: %q is not on this machine: AUTH_DEV (--dev) is only for development, with http://localhost:PORT", s.PublicURL)
	}
	for _, a := range []struct{ name, addr string }{{"AUTH_HTTP_ADDR", s.HTTPAddr}, {"AUTH_ADMIN_ADDR", s.AdminAddr}} {
		if host, _, _ := net.SplitHostPort(a.addr); !isLoopbackHost(host) && !s.DevExpose {
			return fmt.Errorf("%s: %q can be reached from other machines: with AUTH_DEV (--dev) use 127.0.0.1:PORT, "+
				"or set AUTH_DEV_EXPOSE=true in a container", a.name, a.addr)
		}
	}
	if strings.HasPrefix(strings.ToLower(s.MailURL), "file:") {
		return nil
	}
	if u, err := url.Parse(s.MailURL); err != nil || !isLoopbackHost(u.Hostname()) && !isContainerHost(u.Hostname()) {
		return errors.New("AUTH_MAIL_URL: AUTH_DEV (--dev) sends no email to the internet: " +
			"remove it for the local mailbox, or use a mail catcher such as smtp://localhost:1025")
	}
	return nil
}

// isLoopbackHost reports whether a host name or IP address always means this machine.
func isLoopbackHost(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap().IsLoopback()
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// isContainerHost reports whether a host is another container, which has a name without dots, or the machine that runs the container.
func isContainerHost(host string) bool {
	// An IP address has a dot or a colon, or is one number: 134744072 and 0x08080808 are 8.8.8.8 for the resolvers of operating systems.
	_, err := strconv.ParseUint(host, 0, 64)
	_, decimalErr := strconv.ParseUint(host, 10, 64)
	isNumber := err == nil || decimalErr == nil
	return host != "" && !isNumber && !strings.ContainsAny(host, ".:") || host == "host.docker.internal"
}

// keepApart makes sure that a database is either for --dev or not: a production database must never get the example user.
func (s *Settings) keepApart(ctx context.Context, store *db.Store) error {
	check := dev.Refuse
	if s.Dev {
		check = dev.Claim
	}
	if err := check(ctx, store); err != nil {
		return fmt.Errorf("AUTH_DATABASE_URL: %w", err)
	}
	return nil
}

// keepOlderApart is keepApart for an older database, before it is migrated.
func (s *Settings) keepOlderApart(ctx context.Context, store *db.Store) error {
	if s.Dev {
		return dev.ClaimableOlder(ctx, store)
	}
	return dev.RefuseOlder(ctx, store)
}

// devOrigins returns the function that allows origins besides AUTH_CORS_ORIGINS; nil without --dev.
func (s *Settings) devOrigins() func(string) bool {
	if !s.Dev {
		return nil
	}
	return dev.AllowsOrigin
}

// withExamples puts the handler that makes the examples of openapi.yaml work before next.
func withExamples(ctx context.Context, cfg dev.Config, next http.Handler) (http.Handler, error) {
	handler, err := dev.New(ctx, cfg, next)
	if err != nil {
		return nil, fmt.Errorf("AUTH_DEV: %w", err)
	}
	cfg.Log.WarnContext(ctx, "service.dev", slog.String("user", handler.UserEmail()), slog.String("invite_code", handler.InviteCode()),
		slog.String("consequence", "everyone who reaches this service can log in with the examples of openapi.yaml: use it for development only"))
	return handler, nil
}
