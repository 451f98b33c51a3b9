package token

import (
	"context"
	"errors"
	"fmt"

	"github.com/financelime/authorization/db"
)

// lookup returns the key with an ID, or nil if there is none. For an unknown ID it reads the keys from the database, because another
// replica may have created the key, but at most once in each reloadInterval. An error means that the database is unavailable or ctx
// ended, so that it is unknown whether the key exists.
func (k *Keys) lookup(ctx context.Context, id string) (*signingKey, error) {
	if found := k.current.Load().byID[id]; found != nil {
		return found, nil
	}
	select {
	case k.refreshLock <- struct{}{}:
		defer func() { <-k.refreshLock }()
	case <-ctx.Done():
		return nil, lookupUnavailable(ctx.Err())
	}
	if found := k.current.Load().byID[id]; found != nil { // the previous holder of the lock has read it
		return found, nil
	}
	now := k.cfg.Clock.Now()
	if since := now.Sub(k.reloadedAt); since < 0 || since >= reloadInterval { // below zero: the clock was set back
		// Other requests wait for the result too, so the query continues if this request is cancelled.
		shared, cancel := context.WithTimeout(context.WithoutCancel(ctx), reloadTimeout)
		defer cancel()
		k.reloadErr = k.reload(shared)
		k.reloadedAt = k.cfg.Clock.Now() // the time after the query: requests that waited for it use its result
	}
	if k.reloadErr != nil {
		return nil, lookupUnavailable(fmt.Errorf("look up a signing key: %w", k.reloadErr))
	}
	return k.current.Load().byID[id], nil
}

// lookupUnavailable makes err match [db.ErrUnavailable]: the request gets 503, and its token is not refused.
func lookupUnavailable(err error) error {
	if errors.Is(err, db.ErrUnavailable) {
		return err
	}
	return &db.UnavailableError{Cause: err}
}

// reload reads the keys and changes nothing in the database.
func (k *Keys) reload(ctx context.Context) error {
	keys, err := k.load(ctx)
	if err != nil {
		return err
	}
	k.use(k.unexpired(keys))
	return nil
}
