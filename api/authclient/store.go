package authclient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// TokenStore stores the tokens of one session. Its methods may be called concurrently, and by several processes.
type TokenStore interface {
	// Load returns the tokens, or nil if there are none.
	Load(ctx context.Context) (*Tokens, error)
	// Save replaces the tokens. When it returns, they are as durable as the store can make them: the service takes an older refresh token
	// for stolen some minutes later.
	Save(ctx context.Context, tokens Tokens) error
	// Delete removes the tokens. It does nothing if there are none.
	Delete(ctx context.Context) error
}

// MemoryStore stores tokens in memory. Its zero value is empty and ready for use.
type MemoryStore struct {
	mu     sync.Mutex
	tokens *Tokens
}

// Load returns the tokens, or nil if there are none.
func (m *MemoryStore) Load(context.Context) (*Tokens, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.tokens == nil {
		return nil, nil
	}
	tokens := *m.tokens
	return &tokens, nil
}

// Save replaces the tokens.
func (m *MemoryStore) Save(_ context.Context, tokens Tokens) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tokens = &tokens
	return nil
}

// Delete removes the tokens.
func (m *MemoryStore) Delete(context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tokens = nil
	return nil
}

// FileStore stores tokens in a file that only its owner can read (mode 0600), for programs such as command-line tools. A reader sees the old
// file or the new one, never a part, also after a crash. Several processes may use the same file.
type FileStore struct {
	Path string // required; a missing directory is created
}

var errNoPath = errors.New("authclient: FileStore.Path is empty")

// Load returns the tokens, or nil if there is no file.
func (f FileStore) Load(context.Context) (*Tokens, error) {
	if f.Path == "" {
		return nil, errNoPath
	}
	content, err := os.ReadFile(f.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var tokens Tokens
	if err := json.Unmarshal(content, &tokens); err != nil {
		return nil, fmt.Errorf("read %s: %w", f.Path, err)
	}
	if tokens.RefreshToken == "" {
		return nil, fmt.Errorf("read %s: it has no refresh token", f.Path)
	}
	return &tokens, nil
}

// Save replaces the file.
func (f FileStore) Save(_ context.Context, tokens Tokens) error {
	if f.Path == "" {
		return errNoPath
	}
	content, err := json.Marshal(tokens)
	if err != nil {
		return fmt.Errorf("encode the tokens: %w", err)
	}
	dir := filepath.Dir(f.Path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	temporary, err := os.CreateTemp(dir, "."+filepath.Base(f.Path)+"-*") // with mode 0600
	if err != nil {
		return err
	}
	_, err = temporary.Write(content)
	err = errors.Join(err, temporary.Sync(), temporary.Close())
	if err == nil {
		err = os.Rename(temporary.Name(), f.Path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temporary.Name()))
	}
	syncDirectory(dir)
	return nil
}

// Delete removes the file.
func (f FileStore) Delete(context.Context) error {
	if f.Path == "" {
		return errNoPath
	}
	if err := os.Remove(f.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	syncDirectory(filepath.Dir(f.Path))
	return nil
}

// syncDirectory makes the new name of a file durable where the operating system can. Where it cannot, the file itself still is complete.
func syncDirectory(dir string) {
	if d, err := os.Open(dir); err == nil { //nolint:gosec // the caller has chosen the path
		_ = d.Sync()
		_ = d.Close()
	}
}
