package impl

import (
	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/limit"
)

// The mails to an address are limited by what causes them, so that a stranger who asks for resets of an address cannot keep its owner from
// signing up, nor from asking for the link again afterwards.

// signUpMails limits the links of sign-ups that are mailed to an address.
func (s *Service) signUpMails(email string) limit.Quota {
	return s.Limits.Quota(limit.MailAddress, "signup "+email)
}

// resetMails limits the links that are mailed to the user of an address who asks for them. An address that is nobody's is limited as if mails
// were sent: a refusal tells nothing.
func (s *Service) resetMails(account db.Account, email string) limit.Quota {
	if account.ID == uuid.Nil {
		return s.Limits.Quota(limit.MailAddress, "address "+email)
	}
	return s.Limits.Quota(limit.MailAddress, "user "+account.ID.String())
}
