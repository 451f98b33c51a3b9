package db

import (
	"context"
	"fmt"
)

// BatchRows is how many rows one batch of DeleteInBatches reads, and deletes at most: the limit for the queries given to it.
const BatchRows = 500

// DeleteInBatches deletes rows in batches, each in a write of its own, so that no other write waits long. It returns how many rows
// it deleted, also with an error.
//
// list returns up to BatchRows keys after a key, in ascending order. remove deletes the rows with the keys from first to last that are
// to be deleted. The walk starts after the key start and ends when list returns nothing.
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
