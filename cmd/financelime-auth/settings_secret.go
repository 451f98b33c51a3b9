package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/financelime/authorization/impl/secret"
)

// root returns AUTH_SECRET, with AUTH_SECRET_PREVIOUS as a second accepted secret if it is set.
func (s *Settings) root() (secret.Root, error) {
	root, err := s.currentRoot()
	if err != nil || s.SecretPrevious == "" && s.SecretPreviousFile == "" {
		return root, err
	}
	previous, err := secret.Parse(s.SecretPrevious)
	if err != nil {
		return root, fmt.Errorf("AUTH_SECRET_PREVIOUS: %w", err)
	}
	if previous.Encode() == root.Encode() {
		return root, errors.New("AUTH_SECRET_PREVIOUS is the same as AUTH_SECRET")
	}
	return root.Accepting(previous), nil
}

// currentRoot returns AUTH_SECRET. With SQLite it is by default in a file beside the database, which is created on the first start.
func (s *Settings) currentRoot() (secret.Root, error) {
	if s.Secret != "" || s.SecretFile != "" {
		root, err := secret.Parse(s.Secret)
		if err != nil {
			return root, fmt.Errorf("AUTH_SECRET: %w", err)
		}
		return root, nil
	}
	database := s.sqlitePath()
	if database == "" {
		return secret.Root{}, errors.New("AUTH_SECRET is required with PostgreSQL: create one with `openssl rand -base64 32`, and use the same on every replica")
	}
	return secretFromFile(database)
}

// secretPath returns the path of the default secret file of an SQLite database.
func secretPath(database string) string { return filepath.Join(filepath.Dir(database), "secret") }

// secretFromFile reads the default secret file of an SQLite database. If neither the database nor the file exists, it creates the file.
func secretFromFile(database string) (secret.Root, error) {
	path := secretPath(database)
	content, err := os.ReadFile(path) //nolint:gosec // the operator chose the directory
	if errors.Is(err, os.ErrNotExist) {
		if fileExists(database) {
			return secret.Root{}, fmt.Errorf("AUTH_SECRET: %s is missing, and %s cannot be used without it: restore the file", path, database)
		}
		if err := createSecret(path); err != nil {
			return secret.Root{}, fmt.Errorf("AUTH_SECRET: %w", err)
		}
		content, err = os.ReadFile(path) //nolint:gosec // as above
	}
	if err != nil {
		return secret.Root{}, fmt.Errorf("AUTH_SECRET: %w", err)
	}
	root, err := secret.Parse(string(content))
	if err != nil {
		return root, fmt.Errorf("AUTH_SECRET: %s: %w", path, err)
	}
	return root, nil
}

// createSecret writes a new secret to path, readable only by the owner. The file appears complete or not at all. If several processes
// create it at the same time, one succeeds and the others keep its file.
func createSecret(path string) error {
	root, err := secret.Generate()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(path), "secret-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(file.Name()) //nolint:errcheck // if this fails, a copy with mode 0600 remains
	_, err = file.WriteString(root.Encode() + "\n")
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("write %s: %w", file.Name(), err)
	}
	if err := os.Link(file.Name(), path); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return nil
}
