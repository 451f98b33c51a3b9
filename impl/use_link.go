package impl

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/emailchange"
	"github.com/financelime/authorization/impl/event"
	"github.com/financelime/authorization/impl/link"
	"github.com/financelime/authorization/impl/page"
	"github.com/financelime/authorization/impl/userdata"
)

// UseLink does what a link of /l/ is for, once. It logs nobody in.
//
// What the user can correct is refused before the link is consumed. The password is hashed before the transaction, which looks for the link
// again: of several requests at the same time, one succeeds.
func (s *Service) UseLink(ctx context.Context, request api.UseLinkRequestObject) (api.UseLinkResponseObject, error) {
	found, account, err := s.findPageLink(ctx, request.LinkKey)
	if errors.Is(err, db.ErrNotFound) {
		return s.linkFailure(ctx, page.Failure{Status: http.StatusNotFound}), nil
	}
	if err != nil {
		return nil, fmt.Errorf("use a link: %w", err)
	}
	refusal, err := s.checkLinkPassword(ctx, request.Body.NewPassword, found, account)
	if refusal != nil || err != nil {
		return refusal, err
	}
	use := linkUse{found: found}
	if chosen := request.Body.NewPassword; chosen != nil {
		if use.passwordHash, err = s.Hasher.Hash(ctx, *chosen, ""); err != nil { // holds no database connection
			return nil, fmt.Errorf("use a link: hash the password: %w", err)
		}
	}
	err = s.Store.InTx(ctx, func(q *db.Queries) error { return s.useLinkTx(ctx, q, &use) })
	switch {
	case errors.Is(err, db.ErrNotFound): // used or replaced meanwhile, or the account was disabled
		event.Record(ctx, s.Log, event.LinkRefused, event.Reason("unusable"))
		return s.linkFailure(ctx, page.Failure{Status: http.StatusNotFound}), nil
	case errors.Is(err, emailchange.ErrTaken):
		event.Record(ctx, s.Log, event.LinkRefused, event.Reason("address_taken"))
		return s.linkFailure(ctx, page.Failure{
			Status: http.StatusConflict, Message: string(api.UseLinkFailure409MessageEMAILTAKEN),
		}), nil
	case err != nil:
		return nil, fmt.Errorf("use a link: %w", err)
	}
	s.logLinkUsed(ctx, use)
	s.MailQueued()
	pages, format := s.linkPages(ctx)
	used, err := pages.Used(format, account.Language, s.describeLink(found, account))
	if err != nil {
		return nil, fmt.Errorf("use a link: %w", err)
	}
	return pageResponse{used}, nil
}

// checkLinkPassword returns the response that refuses a password, or its absence; nil if there is nothing to refuse.
func (s *Service) checkLinkPassword(
	ctx context.Context, chosen *string, found db.Link, account db.Account,
) (api.UseLinkResponseObject, error) {
	needed := link.Purpose(found.Purpose).ChoosesPassword()
	if needed != (chosen != nil) {
		return s.badPassword(ctx), nil
	}
	if !needed {
		return nil, nil
	}
	reason, err := s.refusePassword(*chosen, account.Email)
	switch {
	case errors.Is(err, errNoPassword):
		return s.badPassword(ctx), nil
	case err != nil:
		return nil, fmt.Errorf("use a link: %w", err)
	case reason == "":
		return nil, nil
	}
	event.Record(ctx, s.Log, event.PasswordRefused, event.Reason(string(reason)))
	pages, format := s.linkPages(ctx)
	refused, err := pages.Refused(format, account.Language, s.describeLink(found, account), page.Refusal(reason))
	if err != nil {
		return nil, fmt.Errorf("use a link: %w", err)
	}
	return pageResponse{refused}, nil
}

// badPassword returns the response to a password that is missing, not allowed for the link, or that cannot be one.
func (s *Service) badPassword(ctx context.Context) pageResponse {
	return s.linkFailure(ctx, page.Failure{
		Status: http.StatusBadRequest, Message: string(api.UseLinkFailure400MessageBADPARAMETERS), Parameters: *reject(ctx, "newPassword"),
	})
}

// linkUse is one use of a link.
type linkUse struct {
	found         db.Link
	passwordHash  string // of the chosen password; empty if the link needs none
	sessionsEnded int64
	factors       userdata.RemovedFactors // that the undo of a change of the address has removed
	restored      bool                    // the undo of a change of the address cancelled a deletion
}

// useLinkTx consumes a link and does what it is for, in one transaction. It fails with db.ErrNotFound if the link or its account cannot be used
// any more, and with emailchange.ErrTaken.
func (s *Service) useLinkTx(ctx context.Context, q *db.Queries, use *linkUse) error {
	now, purpose := s.Clock.Now(), link.Purpose(use.found.Purpose)
	if purpose == link.SignUp { // the invite is locked before the account, as in a sign-up
		account, err := q.GetAccount(ctx, use.found.AccountID)
		if err == nil {
			err = consumeReservedInvite(ctx, q, account)
		}
		if err != nil {
			return fmt.Errorf("use the invite: %w", err)
		}
	}
	account, err := q.LockAccount(ctx, use.found.AccountID)
	if err != nil {
		return fmt.Errorf("lock the account: %w", err)
	}
	if !mayUseLink(account, purpose) {
		return db.ErrNotFound
	}
	// Of several requests at the same time, one gets the row. It is the row that was read before: its key is unique.
	if _, err := q.ConsumeLink(ctx, db.ConsumeLinkParams{KeyHash: use.found.KeyHash, Now: now}); err != nil {
		return fmt.Errorf("consume the link: %w", err)
	}
	switch purpose {
	case link.SignUp:
		return s.useSignUpLink(ctx, q, account, use.passwordHash, now)
	case link.PasswordReset:
		use.sessionsEnded, err = s.usePasswordLink(ctx, q, account, use.passwordHash, now)
		return err
	case link.Email:
		return s.useEmailLink(ctx, q, account, use.found, now)
	case link.EmailUndo:
		use.restored = account.ClosingUntil != nil && account.DisabledAt != nil
		undone, err := s.useEmailUndoLink(ctx, q, account, use.found, now)
		use.sessionsEnded, use.factors = undone.Sessions, undone.Factors
		return err
	case link.DeletionUndo:
		return useDeletionUndoLink(ctx, q, account)
	default: // of a newer version: the link stays usable there
		return fmt.Errorf("unknown purpose of a link: %q", purpose)
	}
}

// logLinkUsed logs the use of a link after its commit.
func (s *Service) logLinkUsed(ctx context.Context, use linkUse) {
	purpose := link.Purpose(use.found.Purpose)
	event.Record(ctx, s.Log, event.LinkUsed, slog.String("purpose", string(purpose)))
	switch ended := slog.Int64("sessions_ended", use.sessionsEnded); purpose {
	case link.PasswordReset:
		event.Record(ctx, s.Log, event.PasswordChanged, ended)
	case link.Email:
		event.Record(ctx, s.Log, event.EmailChanged)
	case link.EmailUndo:
		event.Record(ctx, s.Log, event.EmailUndone, ended)
		for _, kind := range use.factors.Kinds() {
			event.Record(ctx, s.Log, event.FactorRemoved, slog.String("kind", kind))
		}
		if use.factors.TurnedOff {
			event.Record(ctx, s.Log, event.FactorOff)
		}
		if use.restored {
			event.Record(ctx, s.Log, event.UserRestored)
		}
	case link.DeletionUndo:
		event.Record(ctx, s.Log, event.UserRestored)
	default:
	}
}
