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

// tellEvery bounds what strangers who sign up with somebody's address can do to his mailbox.
const tellEvery = 24 * time.Hour

// addLogin fills in what the mail tells of a log-in.
func (d *delivery) addLogin(v *Values) error {
	if d.mail.HappenedAt == nil || d.mail.Platform == nil || d.mail.RemoteAddr == nil {
		return permanent(errors.New("the row of a notice does not say what happened"))
	}
	v.Login = Login{
		At: *d.mail.HappenedAt, Platform: sanitizePlatform(*d.mail.Platform), Addr: *d.mail.RemoteAddr, NewDevice: d.NoticeOnlyNewDevices,
	}
	return nil
}

// findOwner finds whom to tell of a sign-up with his address, unless he was told of another one lately. That is decided here and
// not when the mail is queued: the sign-up costs the same whatever becomes of the mail.
func (d *delivery) findOwner(ctx context.Context, signUp db.Account) (owner db.Account, err error) {
	if signUp.DecoyOf == nil {
		return owner, permanent(errors.New("the address of the sign-up was not taken"))
	}
	owner, err = d.Store.Read().GetAccount(ctx, *signUp.DecoyOf)
	switch {
	case errors.Is(err, db.ErrNotFound):
		return owner, ownerless
	case err != nil:
		return owner, fmt.Errorf("read the owner's account: %w", err)
	case owner.DisabledAt != nil:
		return owner, disabled
	}
	d.secrets = append(d.secrets, owner.Email)
	before := db.FirstIDAt(d.Clock.Now().Add(-tellEvery))
	var first int64
	err = d.Store.Write(ctx, func(q *db.Queries) (err error) {
		first, err = q.MarkOwnerNotified(ctx, db.MarkOwnerNotifiedParams{MailID: &d.mail.ID, ID: owner.ID, NotifiedBefore: &before})
		return err
	})
	if err != nil {
		return owner, fmt.Errorf("note that the owner is told: %w", err)
	}
	if first == 0 {
		return owner, told
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
