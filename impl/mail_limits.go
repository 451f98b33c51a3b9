package impl

import (
	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/limit"
)

// Mails to an address are limited separately for each cause. So a stranger who requests resets for an address cannot prevent its owner from
// signing up, from requesting the sign-up link again, or from changing to it.

// signUpMailQuota limits the sign-up links that are mailed to an address.
func (s *Service) signUpMailQuota(email string) limit.Quota {
	return s.Limits.Quota(limit.MailAddress, "signup "+email)
}

// emailChangeMailQuota limits the links that are mailed to an address because a user wants to have it.
func (s *Service) emailChangeMailQuota(email string) limit.Quota {
	return s.Limits.Quota(limit.MailAddress, "email "+email)
}

// resetMailQuota limits the links that are mailed to a user on request. An address without an account is limited as if mails were sent, so
// that a refusal does not reveal whether it has one.
func (s *Service) resetMailQuota(account db.Account, email string) limit.Quota {
	if account.ID == uuid.Nil {
		return s.Limits.Quota(limit.MailAddress, "address "+email)
	}
	return s.Limits.Quota(limit.MailAddress, "user "+account.ID.String())
}
