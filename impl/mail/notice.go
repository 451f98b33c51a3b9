package mail

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/financelime/authorization/db"
)

// noticeInterval limits how often strangers can cause a notice by signing up with somebody's address.
const noticeInterval = 24 * time.Hour

// addLogin fills in the login that the mail is about.
func (d *delivery) addLogin(v *Values) error {
	if d.mail.HappenedAt == nil || d.mail.Platform == nil || d.mail.RemoteAddr == nil {
		return permanent(errors.New("the row of a notice does not say what happened"))
	}
	v.Login = Login{
		At: *d.mail.HappenedAt, Platform: sanitizePlatform(*d.mail.Platform), Addr: *d.mail.RemoteAddr, NewDevice: d.NoticeOnlyNewDevices,
	}
	return nil
}

// findOwner returns the account whose address was used for a sign-up, unless its owner was notified of another one recently. The worker
// decides this, not the sign-up, so that a sign-up takes the same time in either case.
func (d *delivery) findOwner(ctx context.Context, signUp db.Account) (owner db.Account, err error) {
	if signUp.DecoyOf == nil {
		return owner, permanent(errors.New("the address of the sign-up was not taken"))
	}
	owner, err = d.Store.Read().GetAccount(ctx, *signUp.DecoyOf)
	switch {
	case errors.Is(err, db.ErrNotFound):
		return owner, errAccountDeleted
	case err != nil:
		return owner, fmt.Errorf("read the owner's account: %w", err)
	case owner.DisabledAt != nil:
		return owner, errAccountDisabled
	}
	d.secrets = append(d.secrets, owner.Email)
	before := db.FirstIDAt(d.Clock.Now().Add(-noticeInterval))
	var first int64
	err = d.Store.Write(ctx, func(q *db.Queries) (err error) {
		first, err = q.MarkOwnerNotified(ctx, db.MarkOwnerNotifiedParams{MailID: &d.mail.ID, ID: owner.ID, NotifiedBefore: &before})
		return err
	})
	if err != nil {
		return owner, fmt.Errorf("mark the owner as notified: %w", err)
	}
	if first == 0 {
		return owner, errNotifiedRecently
	}
	return owner, nil
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
