package impl

import (
	"context"
	"fmt"
	"time"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/mail"
)

// LoginNotice is the setting AUTH_LOGIN_NOTICE: which logins are reported to the user by e-mail.
type LoginNotice string

// The values of AUTH_LOGIN_NOTICE. The first login to a new account is never reported.
const (
	NoticeNewDevice LoginNotice = "new-device"
	NoticeAlways    LoginNotice = "always"
	NoticeNever     LoginNotice = "never"
)

// maxNoticesPerHour bounds the e-mail that an attacker who has the password can cause.
const maxNoticesPerHour = 10

// enqueueLoginNotice enqueues a mail to the user about a login, if the setting requires one, in the transaction of the login. A changed
// password is reported whatever the setting (ASVS 6.3.7); that mail also describes the login.
func (s *Service) enqueueLoginNotice(
	ctx context.Context, q *db.Queries, account db.Account, session db.Session, now time.Time, passwordChanged bool,
) (enqueued bool, err error) {
	known, err := rememberDevice(ctx, q, session, now)
	if err != nil {
		return false, err
	}
	kind := mail.KindLoginNotice
	switch {
	case passwordChanged:
		kind = mail.KindPasswordNotice
	case account.LastLoginAt == nil || s.LoginNotice == NoticeNever || known && s.LoginNotice != NoticeAlways:
		return false, nil
	default:
		// Clocks: on a replica that is 5 s off, the hour is 5 s longer or shorter. After a clock is set back by 10 min, the hour covers
		// 70 min, so fewer notices are sent.
		recent, err := q.CountLoginNotices(ctx, db.CountLoginNoticesParams{AccountID: account.ID, Since: now.Add(-time.Hour)})
		if err != nil {
			return false, fmt.Errorf("count the recent notices: %w", err)
		}
		if recent >= maxNoticesPerHour {
			return false, nil
		}
	}
	return true, enqueueMail(ctx, q, db.InsertMailParams{
		AccountID: account.ID, Kind: kind, Now: now,
		HappenedAt: &now, Platform: &session.Platform, RemoteAddr: &session.RemoteAddr,
	})
}
