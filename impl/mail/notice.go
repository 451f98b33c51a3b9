package mail

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/address"
	"github.com/financelime/authorization/impl/link"
)

// noticeInterval limits how often strangers can cause a notice by giving somebody's address as theirs.
const noticeInterval = 24 * time.Hour

// addLogin fills in the login that the mail is about. What happened may be without a platform.
func (d *delivery) addLogin(v *Values) error {
	if d.mail.HappenedAt == nil || d.mail.RemoteAddr == nil {
		return permanent(errors.New("the row of a notice does not say what happened"))
	}
	v.Login = Login{At: *d.mail.HappenedAt, Addr: *d.mail.RemoteAddr, NewDevice: d.NoticeOnlyNewDevices}
	if d.mail.Platform != nil {
		v.Login.Platform = sanitizePlatform(*d.mail.Platform)
	}
	return nil
}

// findOwner returns the account whose address was used for a sign-up, and that address, unless its owner was notified recently. The worker
// decides this, not the sign-up, so that a sign-up takes the same time in either case.
func (d *delivery) findOwner(ctx context.Context, signUp db.Account) (owner db.Account, recipient string, err error) {
	if signUp.DecoyOf == nil {
		return owner, "", permanent(errors.New("the address of the sign-up was not taken"))
	}
	owner, err = d.readOwner(ctx, *signUp.DecoyOf)
	if err != nil {
		return owner, "", err
	}
	recipient = owner.Email
	if address.IsReservedDecoy(signUp.Email) { // the sign-up was with the address to which the owner can return
		undo, err := d.Store.Read().GetLink(ctx, db.GetLinkParams{AccountID: owner.ID, Purpose: string(link.EmailUndo)})
		switch {
		case errors.Is(err, db.ErrNotFound) || err == nil && undo.Address == nil:
			return owner, "", errLinkExpired
		case err != nil:
			return owner, "", fmt.Errorf("read the undo: %w", err)
		}
		recipient = *undo.Address
		d.secrets = append(d.secrets, recipient)
	}
	return owner, recipient, d.markNotified(ctx, owner.ID)
}

// addEmailLink fills in the link to a new address. If the address is taken, or its owner can return to it, the owner gets a notice instead, and
// nobody a link. As in findOwner, the worker decides this, and not the request.
func (d *delivery) addEmailLink(
	ctx context.Context, v *Values, account db.Account,
) (kind, recipient string, reader db.Account, err error) {
	withLink := *v
	recipient, err = d.addLink(ctx, &withLink, account)
	if err != nil {
		return "", "", account, err
	}
	found, err := address.FindOwner(ctx, d.Store.Read(), recipient, account.ID, d.Clock.Now())
	if errors.Is(err, db.ErrNotFound) {
		*v = withLink
		return KindEmailLink, recipient, account, nil
	}
	if err != nil {
		return "", "", account, err
	}
	owner, err := d.readOwner(ctx, found.AccountID)
	if err == nil {
		err = d.markNotified(ctx, owner.ID)
	}
	return KindEmailNotice, recipient, owner, err
}

// readOwner returns the account that owns an address, if it is not disabled.
func (d *delivery) readOwner(ctx context.Context, id uuid.UUID) (owner db.Account, err error) {
	owner, err = d.Store.Read().GetAccount(ctx, id)
	switch {
	case errors.Is(err, db.ErrNotFound):
		return owner, errAccountDeleted
	case err != nil:
		return owner, fmt.Errorf("read the owner's account: %w", err)
	case owner.DisabledAt != nil:
		return owner, errAccountDisabled
	}
	d.secrets = append(d.secrets, owner.Email)
	return owner, nil
}

// markNotified records that this mail notifies an owner, or fails with errNotifiedRecently if another one did.
func (d *delivery) markNotified(ctx context.Context, owner uuid.UUID) error {
	before := db.FirstIDAt(d.Clock.Now().Add(-noticeInterval))
	var first int64
	err := d.Store.Write(ctx, func(q *db.Queries) (err error) {
		first, err = q.MarkOwnerNotified(ctx, db.MarkOwnerNotifiedParams{MailID: &d.mail.ID, ID: owner, NotifiedBefore: &before})
		return err
	})
	if err != nil {
		return fmt.Errorf("mark the owner as notified: %w", err)
	}
	if first == 0 {
		return errNotifiedRecently
	}
	return nil
}

// sanitizePlatform returns the platform that a client reported as one short line in which no mail program finds a link.
// It keeps a dot only between two digits, as in a version.
func sanitizePlatform(platform string) string {
	const most = 60
	var out []rune
	runes := []rune(platform)
	for i, r := range runes {
		digitsAround := i > 0 && i+1 < len(runes) && isDigit(runes[i-1]) && isDigit(runes[i+1])
		switch {
		case unicode.IsLetter(r), unicode.IsDigit(r), strings.ContainsRune("_-(),;+", r), r == '.' && digitsAround:
			out = append(out, r)
		default:
			out = append(out, ' ')
		}
	}
	words := []rune(strings.Join(strings.Fields(string(out)), " "))
	return strings.TrimSpace(string(words[:min(len(words), most)]))
}

func isDigit(r rune) bool { return r >= '0' && r <= '9' }
