package impl

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/event"
	"github.com/financelime/authorization/impl/limit"
	"github.com/financelime/authorization/impl/link"
	"github.com/financelime/authorization/impl/page"
	"github.com/financelime/authorization/impl/reqinfo"
)

// OpenLink shows the page of a link, on which the user decides. It changes nothing, because a mail scanner may open the link: it only counts
// a guess at an unknown one.
func (s *Service) OpenLink(ctx context.Context, request api.OpenLinkRequestObject) (api.OpenLinkResponseObject, error) {
	found, account, err := s.findPageLink(ctx, request.LinkKey)
	if errors.Is(err, db.ErrNotFound) {
		return s.linkFailure(ctx, page.Failure{Status: http.StatusNotFound}), nil
	}
	if err != nil {
		return nil, fmt.Errorf("open a link: %w", err)
	}
	pages, format := s.linkPages(ctx)
	opened, err := pages.Open(format, account.Language, s.describeLink(found, account))
	if err != nil {
		return nil, fmt.Errorf("open a link: %w", err)
	}
	return pageResponse{opened}, nil
}

// findPageLink returns a usable link of /l/ and its account, or db.ErrNotFound, which it logs. An unknown link counts as a guess. It locks
// nothing: UseLink looks again in its transaction.
func (s *Service) findPageLink(ctx context.Context, key string) (found db.Link, account db.Account, err error) {
	req := reqinfo.FromContext(ctx)
	keyHash, ok := link.Hash(key)
	if !ok {
		event.Record(ctx, s.Log, event.LinkRefused, event.Reason("malformed"))
		return found, account, db.ErrNotFound
	}
	if s.Links.Issued(key) { // not a guess: it is read without a transaction
		found, account, err = s.readPageLink(ctx, s.Store.Read(), keyHash)
	} else {
		found, account, err = s.guessPageLink(ctx, keyHash, s.unknownLinkQuota(req, key))
	}
	if errors.Is(err, db.ErrNotFound) {
		event.Record(ctx, s.Log, event.LinkRefused, event.Reason("unusable"))
		return found, account, db.ErrNotFound
	}
	if err != nil {
		return found, account, err
	}
	req.AccountID = account.ID.String()
	return found, account, nil
}

// guessPageLink looks for a link whose key the service has not issued: it is a guess, or was derived from an AUTH_SECRET that is no longer
// known. The limit is locked meanwhile, so that parallel guesses gain nothing over sequential ones.
func (s *Service) guessPageLink(ctx context.Context, keyHash []byte, guesses limit.Quota) (found db.Link, account db.Account, err error) {
	if err := s.Limits.Check(ctx, s.Store, s.Clock.Now(), guesses); err != nil {
		return found, account, err
	}
	var unknown error
	err = s.Store.InTx(ctx, func(q *db.Queries) error {
		guess, err := s.Limits.Lock(ctx, q, s.Clock.Now(), guesses)
		if err != nil {
			return err
		}
		found, account, unknown = s.readPageLink(ctx, q, keyHash)
		switch {
		case errors.Is(unknown, db.ErrNotFound):
			return guess.Take(ctx, q)
		default:
			return unknown
		}
	})
	if err == nil {
		err = unknown
	}
	return found, account, err
}

// readPageLink returns a link and its account, or db.ErrNotFound if the link cannot be used now.
//
// Clocks: as in consumeLink.
func (s *Service) readPageLink(ctx context.Context, q *db.Queries, keyHash []byte) (found db.Link, account db.Account, err error) {
	found, err = q.GetLinkByKey(ctx, db.GetLinkByKeyParams{KeyHash: keyHash, Now: s.Clock.Now()})
	if err != nil {
		return found, account, fmt.Errorf("find the link: %w", err)
	}
	account, err = q.GetAccount(ctx, found.AccountID)
	if err != nil {
		return found, account, fmt.Errorf("find the account: %w", err)
	}
	if !mayUseLink(account, link.Purpose(found.Purpose)) {
		return found, account, db.ErrNotFound
	}
	return found, account, nil
}

// mayUseLink reports whether an account may use a link with a purpose. A disabled account may use none, and one that its owner has deleted only
// those that undo something.
func mayUseLink(account db.Account, purpose link.Purpose) bool {
	if account.DisabledAt == nil {
		return true
	}
	return account.ClosingUntil != nil && purpose.Undoes()
}

// describeLink returns what the pages about a link depend on.
func (s *Service) describeLink(found db.Link, account db.Account) page.Link {
	return page.Link{
		Purpose: link.Purpose(found.Purpose), Email: account.Email, Address: deref(found.Address), MinLength: s.PasswordPolicy.Minimum(),
	}
}

// linkPages returns the renderer and the format of the pages about links.
func (s *Service) linkPages(ctx context.Context) (*page.Renderer, page.Format) {
	return page.NewRenderer(s.Name, s.AppURL), page.Negotiate(reqinfo.FromContext(ctx).Accept)
}

// linkFailure returns a failure of a link of /l/ as a page.
func (s *Service) linkFailure(ctx context.Context, failure page.Failure) pageResponse {
	pages, format := s.linkPages(ctx)
	failure.OpensPage = true
	return pageResponse{pages.Failure(format, reqinfo.FromContext(ctx).AcceptLanguage, failure)}
}
