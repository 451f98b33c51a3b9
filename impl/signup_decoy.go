package impl

import (
	"context"
	"errors"
	"fmt"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/mail"
)

// insertAccountOrDecoy inserts the account of a sign-up while accounts are hidden, and returns the kind of mail to enqueue. If the address
// is taken, it inserts a decoy instead: an account that nobody can confirm. The mail then tells the owner of the address about the sign-up.
// A decoy reserves a use of the invite until it expires, as every unconfirmed account does. So both cases write the same rows.
func insertAccountOrDecoy(
	ctx context.Context, q *db.Queries, account db.InsertAccountParams, linkKind string,
) (kind string, err error) {
	const attempts = 3
	for range attempts {
		row, kind := account, linkKind
		owner, err := q.GetAccountByEmail(ctx, account.Email)
		if err != nil && !errors.Is(err, db.ErrNotFound) {
			return "", fmt.Errorf("check whether the address is taken: %w", err)
		}
		if err == nil {
			row.Email = account.ID.String() // not an address
			row.DecoyOf = &owner.ID
			kind = mail.KindSignUpNotice
		}
		inserted, err := q.InsertAccount(ctx, row)
		if err != nil {
			return "", fmt.Errorf("insert the account: %w", err)
		}
		if inserted > 0 {
			return kind, nil
		}
		// Another request has just signed up with the address: check again.
	}
	return "", errors.New("the address was repeatedly taken and released during the sign-up")
}
