package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
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

// openStore opens the database that the settings name, for commands that work beside the service. They neither make a database
// nor change its schema.
func openStore(ctx context.Context, s *Settings) (*db.Store, error) {
	return existing(ctx, s, db.OpenMigrated)
}

func existing(ctx context.Context, s *Settings, open func(context.Context, string) (*db.Store, error)) (*db.Store, error) {
	store, err := open(ctx, s.DatabaseURL)
	switch {
	case errors.Is(err, db.ErrNoDatabase):
		where := "in it"
		if path := s.sqlitePath(); path != "" {
			where = "at " + path
		}
		return nil, fmt.Errorf("AUTH_DATABASE_URL: there is no database of this service %s: "+
			"`financelime-auth serve` and `financelime-auth migrate` make one", where)
	case err != nil:
		return nil, fmt.Errorf("AUTH_DATABASE_URL: %w", err)
	}
	return store, nil
}

// checkTime bounds each part of the check of an SQLite file at the start.
const checkTime = 5 * time.Second

// served is a database that this process may make, check and migrate: serve holds it for as long as it runs.
type served struct {
	*db.Store

	lock *db.Lock // of an SQLite file; nil if there is none
}

func (s served) Close() error {
	err := s.Store.Close()
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
	}
	return err
}

// makeStore opens the database that the settings name, makes it if there is none, and brings it to this version's schema. A damaged one is
// refused, and so is an SQLite file that another process serves. Only serve, migrate and restore make a database; where the secret is
// a file beside it, they make that first, or ask for it.
func makeStore(ctx context.Context, s *Settings, log *slog.Logger) (made served, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("AUTH_DATABASE_URL: %w", err)
			if made.lock != nil {
				err = errors.Join(err, made.lock.Close())
			}
		}
	}()
	if path := s.sqlitePath(); path != "" {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return made, err
		}
		if made.lock, err = db.LockSQLite(path); err != nil {
			return made, err
		}
		notes, err := db.CheckSQLite(ctx, path, checkTime)
		if err != nil {
			return made, err
		}
		for _, note := range notes {
			log.WarnContext(ctx, "database.not_checked", slog.String("reason", note))
		}
	}
	made.Store, err = db.Open(ctx, s.DatabaseURL)
	if err != nil {
		return made, err
	}
	if err := made.Migrate(ctx); err != nil {
		return made, errors.Join(err, made.Store.Close())
	}
	return made, nil
}

// openWithSecret opens the database and reads the secret, for commands that make or find what only the service with the same
// secret can use: it must be the one that the database knows.
func openWithSecret(ctx context.Context, s *Settings) (secret.Root, *db.Store, error) {
	store, err := openStore(ctx, s)
	if err != nil {
		return secret.Root{}, nil, err
	}
	root, err := s.root()
	if err == nil {
		err = token.CheckSecret(ctx, store, root)
	}
	if err != nil {
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
