package mail

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/password"
)

// addPassword derives the mail's password and makes it the account's pending password before it is sent. All attempts derive the same one.
//
// A successful attempt ends before its deadline. So the password expires MailedPasswordTTL after the deadline, even if the result is never
// recorded. When the mail is recorded as sent, the expiry becomes MailedPasswordTTL after that.
func (d *delivery) addPassword(ctx context.Context, v *Values, account db.Account) error {
	if len(d.mail.Nonce) == 0 {
		return permanent(errors.New("the row of a password has no nonce"))
	}
	var err error
	if v.Password, err = password.Mailed(d.Root, d.mail.Nonce); err != nil {
		return fmt.Errorf("derive the password: %w", err)
	}
	v.Life = d.MailedPasswordTTL
	d.secrets = append(d.secrets, v.Password)
	until := d.mail.latestEnd.Add(d.MailedPasswordTTL)
	if isPendingPasswordOf(account, d.mail.ID) { // set by an earlier attempt
		return d.changePendingPassword(ctx, func(q *db.Queries) (int64, int64, error) {
			changed, err := d.setPasswordExpiry(ctx, q, until)
			return changed, d.mail.PasswordNumber, err
		})
	}

	// Use the salt of the account's other password, so that a login computes one hash for both.
	var saltOf string
	for _, hash := range []*string{account.PendingPasswordHash, account.PasswordHash} {
		if hash != nil {
			saltOf = *hash
		}
	}
	hash, err := d.Hasher.Hash(ctx, v.Password, saltOf)
	if errors.Is(err, context.DeadlineExceeded) {
		// The attempt has waited for a slot until its deadline. The mail is not the reason, so the attempt does not count.
		err = fmt.Errorf("%w: %w", password.BusyError{}, err)
	}
	if err != nil {
		return fmt.Errorf("hash the password: %w", err)
	}
	err = d.changePendingPassword(ctx, func(q *db.Queries) (changed, number int64, err error) {
		// A mail of the previous version has no number. It was not withdrawn, so it is the account's newest.
		if number = d.mail.PasswordNumber; number == 0 {
			number, err = q.NextPasswordNumber(ctx, d.mail.AccountID)
			if errors.Is(err, db.ErrNotFound) {
				return 0, 0, nil
			}
			if err != nil {
				return 0, 0, fmt.Errorf("number the mail: %w", err)
			}
		}
		changed, err = q.SetPendingPassword(ctx, db.SetPendingPasswordParams{
			ID: d.mail.AccountID, MailID: &d.mail.ID, Number: number, PasswordHash: &hash, ExpiresAt: &until})
		return changed, number, err
	})
	if err == nil {
		d.log.InfoContext(ctx, "password.pending")
	}
	return err
}

// changePendingPassword changes the account's pending password. If the password is void, the mail was withdrawn, or another worker has the
// lease, it changes nothing and returns why the mail must not be sent.
//
// The change locks the account. A transaction that withdraws a mail locks the account first, too. So if the mail still exists after the
// change, it cannot be withdrawn before the change is committed, and a later withdrawal also voids the password.
func (d *delivery) changePendingPassword(ctx context.Context, change func(*db.Queries) (changed, number int64, err error)) error {
	err := d.Store.InTx(ctx, func(q *db.Queries) error {
		changed, number, err := change(q)
		if err != nil {
			return err
		}
		if changed == 0 {
			return errSuperseded
		}
		held, err := q.SetMailPasswordNumber(ctx, db.SetMailPasswordNumberParams{Number: number, ID: d.mail.ID, Attempts: d.mail.Attempts})
		if err != nil {
			return fmt.Errorf("check the lease: %w", err)
		}
		if held == 0 {
			return errTakenOver
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("set the pending password: %w", err)
	}
	return nil
}

func (d *delivery) setPasswordExpiry(ctx context.Context, q *db.Queries, until time.Time) (int64, error) {
	return q.SetPendingPasswordExpiry(ctx, db.SetPendingPasswordExpiryParams{
		ExpiresAt: &until, MailID: &d.mail.ID, ID: d.mail.AccountID})
}

// isPendingPasswordOf reports whether a mail's password is the account's latest pending password.
func isPendingPasswordOf(account db.Account, mailID uuid.UUID) bool {
	return account.PendingPasswordMailID != nil && *account.PendingPasswordMailID == mailID
}
