package impl

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"github.com/financelime/authorization/db"
)

// maxDevices is how many devices of an account are remembered: the most recently used ones.
const maxDevices = 100

// rememberDevice stores the device of a login, and reports whether the account was logged in from it before. The caller has locked the
// account's row.
//
// Clocks: a device is kept for months, and times only decide which of a hundred devices of an account is the oldest. A clock that is 5 s
// off, or was set back by 10 min, may delete a device too early: its next login is reported once more.
func rememberDevice(ctx context.Context, q *db.Queries, session db.Session, now time.Time) (known bool, err error) {
	fingerprint := deviceFingerprint(session)
	touched, err := q.TouchDevice(ctx, db.TouchDeviceParams{Now: now, AccountID: session.AccountID, Fingerprint: fingerprint})
	if err != nil {
		return false, fmt.Errorf("find the device: %w", err)
	}
	if touched > 0 {
		return true, nil
	}
	err = q.InsertDevice(ctx, db.InsertDeviceParams{ID: newID(), AccountID: session.AccountID, Fingerprint: fingerprint, Now: now})
	if err != nil {
		return false, fmt.Errorf("insert the device: %w", err)
	}
	_, err = q.DeleteExcessDevices(ctx, db.DeleteExcessDevicesParams{AccountID: session.AccountID, MaxDevices: maxDevices})
	if err != nil {
		return false, fmt.Errorf("delete the oldest devices: %w", err)
	}
	return false, nil
}

// deviceFingerprint distinguishes devices by what the client reports and by the network of its address.
func deviceFingerprint(session db.Session) []byte {
	hash := sha256.New()
	for _, part := range []string{session.ClientID, session.Platform, providerNetwork(session.RemoteAddr)} {
		hash.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part)))) // so that different parts never have the same concatenation
		hash.Write([]byte(part))
	}
	return hash.Sum(nil)
}

// providerNetwork returns roughly the provider's network of an address: IPv4 /16 or IPv6 /32. The address of a device often changes within
// it, and someone who steals a password is rarely in the same one.
func providerNetwork(remoteAddr string) string {
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
