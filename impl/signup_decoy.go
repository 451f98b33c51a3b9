package impl

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/address"
	"github.com/financelime/authorization/impl/mail"
)

// insertAccountOrDecoy inserts the account of a sign-up while accounts are hidden, and returns the kind of mail to enqueue. If the address
// is taken, it inserts a decoy instead: an account that nobody can confirm. The mail then tells the owner of the address about the sign-up.
// A decoy reserves a use of the invite until it expires, as every unconfirmed account does. So both cases write the same rows.
func insertAccountOrDecoy(
	ctx context.Context, q *db.Queries, account db.InsertAccountParams, linkKind string, now time.Time,
) (kind string, err error) {
	const attempts = 3
	for range attempts {
		row, kind := account, linkKind
		owner, err := address.FindOwner(ctx, q, account.Email, uuid.Nil, now)
		if err != nil && !errors.Is(err, db.ErrNotFound) {
			return "", err
		}
		if err == nil {
			row.Email = owner.Decoy(account.ID)
			row.DecoyOf = &owner.AccountID
			kind = mail.KindSignUpNotice
		}
		inserted, err := insertUnreserved(ctx, q, row, account.Email, now)
		if err != nil {
			return "", err
		}
		if inserted {
			return kind, nil
		}
		// Another request has just signed up with the address, or changed from it: check again.
	}
	return "", errors.New("the address was repeatedly taken and released during the sign-up")
}
