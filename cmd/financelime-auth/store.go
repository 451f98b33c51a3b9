package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/admin"
	"github.com/financelime/authorization/impl/secret"
	"github.com/financelime/authorization/impl/token"
)

// This file opens the database for the commands: openStore for an existing one, openWithSecret where the command also needs the
// secret, withUser where it works on one user, openOrCreateStore for serve, migrate and restore.

// openStore opens the database of the settings, for commands that run while the service runs. Such commands neither create a
// database nor change its schema.
func openStore(ctx context.Context, s *Settings) (*db.Store, error) {
	return openExisting(ctx, s, db.OpenMigrated)
}

// openExisting opens the database of the settings with open, and explains the error if there is no database.
func openExisting(ctx context.Context, s *Settings, open func(context.Context, string) (*db.Store, error)) (*db.Store, error) {
	store, err := open(ctx, s.DatabaseURL)
	switch {
	case errors.Is(err, db.ErrNoDatabase):
		where := "in it"
		if path := s.sqlitePath(); path != "" {
			where = "at " + path
		}
		return nil, fmt.Errorf("AUTH_DATABASE_URL: there is no database of this service %s: "+
			"create one with `financelime-auth serve` or `financelime-auth migrate`", where)
	case err != nil:
		return nil, fmt.Errorf("AUTH_DATABASE_URL: %w", err)
	}
	return store, nil
}

// withUser opens the database, finds the user by ID or address, and calls do with both.
func withUser(ctx context.Context, s *Settings, name, command string, do func(*db.Store, db.Account) error) error {
	store, err := openStore(ctx, s)
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // all writes are committed
	account, err := admin.Find(ctx, store, name)
	if err == nil {
		err = do(store, account)
	}
	if err != nil {
		return fmt.Errorf("%s: %q: %w", command, name, err)
	}
	return nil
}

// openWithSecret opens the database and reads the secret, for commands whose results depend on the secret. The secret must be the
// one of the database.
func openWithSecret(ctx context.Context, s *Settings) (secret.Root, *db.Store, error) {
	store, err := openStore(ctx, s)
	if err != nil {
		return secret.Root{}, nil, err
	}
	root, err := s.databaseRoot(ctx, store)
	if err != nil {
		return root, nil, errors.Join(err, store.Close())
	}
	return root, store, nil
}

// databaseRoot reads the secret, which must be the one of the database.
func (s *Settings) databaseRoot(ctx context.Context, store *db.Store) (secret.Root, error) {
	root, err := s.root()
	if err == nil {
		err = token.CheckSecret(ctx, store, root)
	}
	return root, err
}

// sqliteCheckTimeout limits the whole check of an SQLite file at startup.
const sqliteCheckTimeout = 5 * time.Second

// ownedStore is a database that this process may create, check and migrate. A process that has one of SQLite holds its lock.
type ownedStore struct {
	*db.Store

	lock *db.Lock // of the SQLite file; nil with PostgreSQL
}

// Close closes the database and releases its lock.
func (s ownedStore) Close() error {
	err := s.Store.Close()
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
	}
	return err
}

// openOrCreateStore opens the database of the settings, creates it if there is none, and migrates it to the schema of this version.
// It refuses a damaged SQLite file, and one that another process has locked. Only serve, migrate and restore create a database. If
// the secret is a file beside the database, they create or require the secret first. An error of beforeMigration, which may be nil, keeps
// an older database as it is.
func openOrCreateStore(
	ctx context.Context, s *Settings, log *slog.Logger, beforeMigration func(context.Context, *db.Store) error,
) (store ownedStore, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("AUTH_DATABASE_URL: %w", err)
			if store.lock != nil {
				err = errors.Join(err, store.lock.Close())
			}
		}
	}()
	if path := s.sqlitePath(); path != "" {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return store, err
		}
		if store.lock, err = db.LockSQLite(path); err != nil {
			return store, err
		}
		notes, err := db.CheckSQLite(ctx, path, sqliteCheckTimeout)
		if err != nil {
			return store, err
		}
		for _, note := range notes {
			log.WarnContext(ctx, "database.not_checked", slog.String("reason", note))
		}
	}
	store.Store, err = db.Open(ctx, s.DatabaseURL)
	if err != nil {
		return store, err
	}
	outdated, err := store.Outdated(ctx)
	if err == nil && outdated && beforeMigration != nil {
		err = beforeMigration(ctx, store.Store)
	}
	if err == nil {
		err = store.Migrate(ctx)
	}
	if err != nil {
		return store, errors.Join(err, store.Store.Close())
	}
	return store, nil
}

// fileExists reports whether there is a file at path.
func fileExists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, os.ErrNotExist)
}
