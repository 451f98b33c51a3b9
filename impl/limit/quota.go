package limit

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/financelime/authorization/db"
)

// Quota is the limit for one subject (address or client IP). The zero Quota is unlimited.
type Quota struct {
	limit Name
	rate  Rate
	key   []byte // of the row in rate_limit; nil: unlimited
}

// Quota returns the quota of a subject, such as an address.
func (l *Limits) Quota(name Name, subject string) Quota {
	rate, limited := l.rates[name]
	if !limited {
		return Quota{}
	}
	return Quota{limit: name, rate: rate, key: l.key(name, subject)}
}

// ClientIPQuota returns the quota of a client IP.
func (l *Limits) ClientIPQuota(name Name, addr netip.Addr) Quota {
	return l.Quota(name, ClientIP(addr))
}

// Check fails with an [ExceededError] at the first quota that is used up. It locks and writes nothing, so that a flood of refused requests
// does not queue for a row. A request that passes takes the quotas in a transaction.
func (l *Limits) Check(ctx context.Context, store *db.Store, now time.Time, quotas ...Quota) error {
	for _, quota := range quotas {
		if quota.key == nil {
			continue
		}
		row, err := store.Read().GetRateLimit(ctx, quota.key)
		if err != nil && !errors.Is(err, db.ErrNotFound) {
			return fmt.Errorf("read the limit %s: %w", quota.limit, err)
		}
		if err := quota.exceeded(bucketOf(row).asOf(now)); err != nil {
			return err
		}
	}
	return nil
}

// Serialize locks a quota within this process. Waiting requests hold no database connection: the caller runs its transaction, which locks
// the row of the quota, before it calls unlock.
func (l *Limits) Serialize(ctx context.Context, quota Quota) (unlock func(), err error) {
	if quota.key == nil {
		return func() {}, nil
	}
	unlock, err = l.quotaLocks.lock(ctx, string(quota.key))
	if err != nil {
		return nil, fmt.Errorf("wait for requests with the same limit: %w", err)
	}
	return unlock, nil
}

// Take takes one unit of each quota, in the given order, in the transaction of q. It fails with an [ExceededError] at the first quota that
// is used up. The caller then rolls back, so that no quota is taken.
func (l *Limits) Take(ctx context.Context, q *db.Queries, now time.Time, quotas ...Quota) error {
	for _, quota := range quotas {
		locked, err := l.Lock(ctx, q, now, quota)
		if err != nil {
			return err
		}
		if err := locked.Take(ctx, q); err != nil {
			return err
		}
	}
	return nil
}

// Lock locks a quota until the transaction of q ends and takes nothing: the transaction decides later whether the request counts. It fails
// with an [ExceededError] if the quota is used up; the quota is locked then too.
func (l *Limits) Lock(ctx context.Context, q *db.Queries, now time.Time, quota Quota) (LockedQuota, error) {
	if quota.key == nil {
		return LockedQuota{}, nil
	}
	row, err := q.LockRateLimit(ctx, quota.key)
	if err != nil {
		return LockedQuota{}, fmt.Errorf("lock the limit %s: %w", quota.limit, err)
	}
	locked := LockedQuota{quota: quota, bucket: bucketOf(row).asOf(now)}
	return locked, quota.exceeded(locked.bucket)
}

// LockedQuota is a quota that a transaction has locked. The zero LockedQuota is unlimited.
type LockedQuota struct {
	quota  Quota
	bucket bucket
}

// Take takes one unit, in the transaction that locked the quota.
func (k LockedQuota) Take(ctx context.Context, q *db.Queries) error {
	if k.quota.key == nil {
		return nil
	}
	used := k.bucket.take(k.quota.rate)
	if err := q.UpdateRateLimit(ctx, db.UpdateRateLimitParams{Key: k.quota.key, FullAt: used.fullAt, SeenAt: used.seenAt}); err != nil {
		return fmt.Errorf("update the limit %s: %w", k.quota.limit, err)
	}
	return nil
}

// exceeded returns an [ExceededError] if nothing is available, and otherwise nil.
func (quota Quota) exceeded(b bucket) error {
	if b.available(quota.rate) > 0 {
		return nil
	}
	return &ExceededError{Limit: quota.limit, Rate: quota.rate, Wait: b.wait(quota.rate)}
}
