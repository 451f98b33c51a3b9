package impl

import (
	"context"
	"log/slog"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/event"
	"github.com/financelime/authorization/impl/limit"
)

// take takes uses of limits before what they are for, in a transaction of their own: what is refused afterwards has been tried
// all the same.
func (s *Service) take(ctx context.Context, uses ...limit.Use) error {
	if limit.None(uses...) {
		return nil
	}
	return s.Limits.TakeNow(ctx, s.Store, s.now(), uses...)
}

// giveBack gives uses back that no transaction of the operation could give back. Where that fails, they refill.
func (s *Service) giveBack(ctx context.Context, uses ...limit.Use) {
	if limit.None(uses...) {
		return
	}
	err := s.Store.InTx(ctx, func(q *db.Queries) error { return s.Limits.GiveBack(ctx, q, uses...) })
	if err != nil {
		event.Record(ctx, s.Log, event.LimitGiveBackFailed, slog.Any("error", err))
	}
}
