package token

import (
	"context"
	"fmt"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/secret"
)

// CheckSecret returns [ErrWrongSecret] if the secret does not decrypt the signing keys of the database. A database that has no keys yet
// accepts any secret.
func CheckSecret(ctx context.Context, store *db.Store, root secret.Root) error {
	sealer, err := newSealer(root)
	if err != nil {
		return err
	}
	rows, err := store.Read().ListSigningKeys(ctx)
	if err != nil {
		return fmt.Errorf("read signing keys: %w", err)
	}
	for _, row := range rows {
		if _, err := sealer.open(row); err != nil {
			return err
		}
	}
	return nil
}
