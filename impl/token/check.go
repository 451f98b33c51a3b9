package token

import (
	"context"
	"fmt"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/secret"
)

// CheckSecret fails where a secret is not the one of a database, which its signing keys tell. Before the first start
// there are none, and any secret is right.
func CheckSecret(ctx context.Context, store *db.Store, root secret.Root) error {
	seals, err := newSealer(root)
	if err != nil {
		return err
	}
	rows, err := store.Read().ListSigningKeys(ctx)
	if err != nil {
		return fmt.Errorf("read signing keys: %w", err)
	}
	for _, row := range rows {
		if _, err := seals.open(row); err != nil {
			return err
		}
	}
	return nil
}
