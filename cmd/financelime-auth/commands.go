package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/financelime/authorization"
	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/secret"
	"github.com/financelime/authorization/impl/token"
)

// openStore opens the database that the settings name and brings it to this version's schema.
func openStore(ctx context.Context, s *Settings) (*db.Store, error) {
	if path := s.sqlitePath(); path != "" {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return nil, fmt.Errorf("AUTH_DATABASE_URL: %w", err)
		}
	}
	store, err := db.Open(ctx, s.DatabaseURL)
	if err != nil {
		return nil, fmt.Errorf("AUTH_DATABASE_URL: %w", err)
	}
	if err := store.Migrate(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("AUTH_DATABASE_URL: %w", err), store.Close())
	}
	return store, nil
}

// openWithSecret opens the database and reads the secret, for commands that make or find what only the service with the same
// secret can use: it must be the one that the database knows.
func openWithSecret(ctx context.Context, s *Settings) (secret.Root, *db.Store, error) {
	root, err := s.root()
	if err != nil {
		return root, nil, err
	}
	store, err := openStore(ctx, s)
	if err != nil {
		return root, nil, err
	}
	if err := token.CheckSecret(ctx, store, root); err != nil {
		return root, nil, errors.Join(err, store.Close())
	}
	return root, store, nil
}

type openAPI struct{}

// Run prints openapi.yaml.
func (openAPI) Run(c console) error {
	_, err := c.out.Write(authorization.Spec())
	return err
}

type healthcheck struct{}

// Run asks the admin port of a running service whether it is ready, for containers without curl.
func (healthcheck) Run(ctx context.Context, s *Settings) error {
	host, port, err := net.SplitHostPort(s.AdminAddr)
	if err != nil {
		return fmt.Errorf("AUTH_ADMIN_ADDR: %w", err)
	}
	if host == "" || net.ParseIP(host).IsUnspecified() {
		host = "127.0.0.1"
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/readyz", nil)
	if err != nil {
		return fmt.Errorf("AUTH_ADMIN_ADDR: %w", err)
	}
	// Never through a proxy: it would say how the proxy is. Nor after a redirection: the service gives none.
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("not running: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusOK {
		return nil
	}
	reason, err := io.ReadAll(io.LimitReader(response.Body, 1000))
	if err != nil || len(reason) == 0 {
		return fmt.Errorf("not ready: %s", response.Status)
	}
	return fmt.Errorf("not ready: %s", oneLine(strings.TrimSpace(string(reason))))
}
