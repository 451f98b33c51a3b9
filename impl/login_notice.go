package impl

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/mail"
)

// LoginNotice says when a log-in is told by mail: AUTH_LOGIN_NOTICE.
type LoginNotice string

// When a log-in is told by mail. The first one of a new account never is.
const (
	NoticeNewDevice LoginNotice = "new-device"
	NoticeAlways    LoginNotice = "always"
	NoticeNever     LoginNotice = "never"
)

const (
	// devicesKept is how many devices of an account are remembered, those that were seen last.
	devicesKept = 100

	// noticesAnHour bounds what somebody who knows the password can do to its owner's mailbox.
	noticesAnHour = 10
)

// tellOfLogin owes the owner of an account a mail about a log-in, if he should know of it, in the log-in's transaction. That
// a password was changed is told whatever the setting (ASVS 6.3.7), and then the log-in is part of that mail.
func (s *Service) tellOfLogin(
	ctx context.Context, q *db.Queries, account db.Account, session db.Session, now time.Time, passwordChanged bool,
) (told bool, err error) {
	known, err := seeDevice(ctx, q, session, now)
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
		// Clocks: a replica that is 5 s off counts an hour that is 5 s longer or shorter; after a clock was set back by 10 min, it is 10 min
		// longer for a while: a few notices fewer.
		lately, err := q.CountLoginNotices(ctx, db.CountLoginNoticesParams{AccountID: account.ID, Since: now.Add(-time.Hour)})
		if err != nil {
			return false, fmt.Errorf("count the latest notices: %w", err)
		}
		if lately >= noticesAnHour {
			return false, nil
		}
	}
	return true, queueMail(ctx, q, db.InsertMailParams{
		AccountID: account.ID, Kind: kind, Now: now,
		HappenedAt: &now, Platform: &session.Platform, RemoteAddr: &session.RemoteAddr,
	})
}

// seeDevice tells whether an account has been logged in from a device before, and remembers it. The caller has the account's row.
//
// Clocks: seen_at counts in days, and orders the devices of an account only to forget the oldest of a hundred. A clock that is 5 s off,
// or set back by 10 min, forgets a device at worst: its next log-in is told once more.
func seeDevice(ctx context.Context, q *db.Queries, session db.Session, now time.Time) (known bool, err error) {
	mark := deviceMark(session)
	seen, err := q.TouchDevice(ctx, db.TouchDeviceParams{Now: now, AccountID: session.AccountID, Fingerprint: mark})
	if err != nil {
		return false, fmt.Errorf("look for the device: %w", err)
	}
	if seen > 0 {
		return true, nil
	}
	err = q.InsertDevice(ctx, db.InsertDeviceParams{ID: newID(), AccountID: session.AccountID, Fingerprint: mark, Now: now})
	if err != nil {
		return false, fmt.Errorf("remember the device: %w", err)
	}
	_, err = q.DeleteExcessDevices(ctx, db.DeleteExcessDevicesParams{AccountID: session.AccountID, MaxDevices: devicesKept})
	if err != nil {
		return false, fmt.Errorf("forget the oldest devices: %w", err)
	}
	return false, nil
}

// deviceMark tells devices apart by what the client says of itself and by the network that it comes from.
func deviceMark(session db.Session) []byte {
	hash := sha256.New()
	for _, part := range []string{session.ClientID, session.Platform, network(session.RemoteAddr)} {
		hash.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part)))) // so that no two sets of parts run together alike
		hash.Write([]byte(part))
	}
	return hash.Sum(nil)
}

// network is about the provider's part of an address, IPv4 /16 and IPv6 /32: people change their addresses within it without
// changing anything else, and hardly anybody who steals a password shares it.
func network(remoteAddr string) string {
	addr, err := netip.ParseAddr(remoteAddr)
	if err != nil {
		return ""
	}
	bits := 32
	if addr.Is4() {
		bits = 16
	}
	return netip.PrefixFrom(addr, bits).Masked().String()
}
