package db

import (
	"context"
	"fmt"
)

// BatchRows is the maximum number of rows that one batch of [DeleteInBatches] lists and deletes. The list query uses it as its limit.
const BatchRows = 500

// DeleteInBatches deletes rows in batches. Each batch is a separate [Store.Write], so that other writes do not wait long. It returns the
// number of deleted rows, also with an error.
//
// list returns up to [BatchRows] keys after a key, in ascending order. remove deletes rows with keys from first to last, both included; its
// condition may skip some of them. The first call of list gets the key start. DeleteInBatches ends when list returns no keys.
func DeleteInBatches[Key any](
	ctx context.Context, s *Store, start Key,
	list func(q *Queries, after Key) ([]Key, error),
	remove func(q *Queries, first, last Key) (int64, error),
) (deleted int64, err error) {
	for after := start; ; {
		keys, err := list(s.Read(), after)
		if err != nil {
			return deleted, fmt.Errorf("list: %w", err)
		}
		if len(keys) == 0 {
			return deleted, nil
		}
		after = keys[len(keys)-1]
		var n int64
		err = s.Write(ctx, func(q *Queries) (err error) {
			n, err = remove(q, keys[0], after)
			return err
		})
		if err != nil {
			return deleted, fmt.Errorf("delete: %w", err)
		}
		deleted += n
	}
}
