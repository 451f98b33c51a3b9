package limit

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/financelime/authorization/impl/secret"
)

// Name is the public name of a limit, as clients and operators see it.
type Name string

// The limits. docs/limits.md describes them.
const (
	LoginAccount Name = "login-account"
	LoginSource  Name = "login-source"
	MailAddress  Name = "mail-address"
	SignUpSource Name = "signup-source"
	ResetSource  Name = "reset-source"
	InviteSource Name = "invite-source"
	LinkSource   Name = "link-source"
	EmailAccount Name = "email-account"

	ExportAccount Name = "export-account"
)

// Limits are the limits of a service. The zero Limits refuse nothing and write nothing.
type Limits struct {
	// LoginWait is how long a login waits for logins in progress; 0 means one second.
	LoginWait time.Duration

	root       secret.Root
	rates      map[Name]Rate
	loginLocks keyedMutex // of the logins of one account, one at a time tries to reserve quota
	quotaLocks keyedMutex // one transaction at a time locks the row of a quota
}

// New returns limits with the given rates. A limit without a rate refuses nothing.
func New(root secret.Root, rates map[Name]Rate) *Limits {
	return &Limits{root: root, rates: rates, loginLocks: keyedMutex{maxUsersIfBlocked: maxWaitingLogins}}
}

// ExceededError means that a limit is exceeded. The response is 429.
type ExceededError struct {
	Limit Name
	Rate  Rate
	Wait  time.Duration // until the next attempt is allowed
}

func (e *ExceededError) Error() string { return fmt.Sprintf("limit %s (%s) exceeded", e.Limit, e.Rate) }

// LimitName returns the limit's name, as clients see it.
func (e *ExceededError) LimitName() string { return string(e.Limit) }

// Quota returns how many requests the limit allows in a Window.
func (e *ExceededError) Quota() int64 { return e.Rate.Count }

// Window returns how long the whole quota takes to refill.
func (e *ExceededError) Window() time.Duration { return e.Rate.Per }

// RetryAfter returns how long the client has to wait.
func (e *ExceededError) RetryAfter() time.Duration { return e.Wait }

// ClientIP returns the canonical text of what counts as one client: an IPv4 address, or the /64 network of an IPv6 address. A provider
// assigns a /64 to one customer, who chooses the addresses in it.
func ClientIP(addr netip.Addr) string {
	addr = addr.Unmap().WithZone("")
	// 64:ff9b::/96 contains the IPv4 addresses of the internet, as an IPv6-only network sees them (RFC 6052 section 2.1).
	bytes := addr.As16()
	if [12]byte(bytes[:12]) == [12]byte{0, 0x64, 0xff, 0x9b} {
		addr = netip.AddrFrom4([4]byte(bytes[12:]))
	}
	if !addr.Is6() {
		return addr.String()
	}
	network, _ := addr.Prefix(64) // fails for no IPv6 address
	return network.String()
}

// key returns what the database stores for a subject: a keyed hash, so that the database contains no address.
func (l *Limits) key(name Name, subject string) []byte {
	return l.root.Hash("limit", []byte(string(name)+"\x00"+subject))
}
