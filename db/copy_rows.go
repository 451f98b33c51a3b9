package db

import (
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/google/uuid"
)

// copyRows implements [pgx.CopyFromSource] over the rows of an SQLite table and computes their checksum.
type copyRows struct {
	table table
	rows  *sql.Rows
	sum   rowsChecksum

	values []any
	err    error
}

// Next reads the next row.
func (r *copyRows) Next() bool {
	if r.err != nil || !r.rows.Next() {
		return false
	}
	r.values = make([]any, len(r.table.columns))
	cells := make([]any, len(r.values))
	for i := range cells {
		cells[i] = &r.values[i]
	}
	if r.err = r.rows.Scan(cells...); r.err != nil {
		return false
	}
	for i, value := range r.values {
		if r.values[i], r.err = fromSQLite(r.table.types[i], value); r.err != nil {
			r.err = fmt.Errorf("column %s: %w", r.table.columns[i], r.err)
			return false
		}
	}
	r.err = r.sum.add(r.values)
	return r.err == nil
}

// Values returns the current row.
func (r *copyRows) Values() ([]any, error) { return r.values, nil }

// Err returns the error that ended the rows early, or nil.
func (r *copyRows) Err() error {
	if r.err != nil {
		return r.err
	}
	return r.rows.Err()
}

// fromSQLite converts a value from SQLite to the type that pgx uses for the column. It is the inverse of sqliteValue.
func fromSQLite(declared string, value any) (any, error) {
	switch v := value.(type) {
	case nil:
		return nil, nil
	case []byte:
		if declared == "uuid" {
			id, err := uuid.FromBytes(v)
			return [16]byte(id), err
		}
		if declared == "bytea" {
			return append([]byte{}, v...), nil // an empty value is not NULL
		}
	case int64:
		switch declared {
		case "timestamptz":
			return time.UnixMicro(v), nil
		case "boolean":
			return v != 0, nil
		case "bigint", "integer", "smallint":
			return v, nil
		}
	case float64:
		if declared == "double precision" {
			return v, nil
		}
	case string:
		if declared == "text" {
			return v, nil
		}
	}
	return nil, fmt.Errorf("a %T in a column of type %s", value, declared)
}

// rowsChecksum is the checksum of a set of rows in any order: their number and the sum of their hashes.
type rowsChecksum struct {
	rows int64
	sum  [4]uint64
}

func (c *rowsChecksum) add(row []any) error {
	var text []byte
	for _, value := range row {
		var err error
		if text, err = appendValue(text, value); err != nil {
			return err
		}
	}
	hash := sha256.Sum256(text)
	for i := range c.sum {
		c.sum[i] += binary.BigEndian.Uint64(hash[8*i:])
	}
	c.rows++
	return nil
}

// appendValue appends an unambiguous encoding of a value.
//
//nolint:gosec // only the bits of the numbers are used
func appendValue(text []byte, value any) ([]byte, error) {
	number := func(kind byte, n uint64) []byte { return binary.BigEndian.AppendUint64(append(text, kind), n) }
	switch v := value.(type) {
	case nil:
		return append(text, 'n'), nil
	case [16]byte:
		return append(append(text, 'u'), v[:]...), nil
	case []byte:
		return append(number('b', uint64(len(v))), v...), nil
	case string:
		return append(number('s', uint64(len(v))), v...), nil
	case time.Time:
		return number('t', uint64(v.UnixMicro())), nil
	case int64:
		return number('i', uint64(v)), nil
	case int32:
		return number('i', uint64(int64(v))), nil
	case int16:
		return number('i', uint64(int64(v))), nil
	case float64:
		return number('f', math.Float64bits(v)), nil
	case bool:
		if v {
			return append(text, 'y'), nil
		}
		return append(text, 'x'), nil
	}
	return nil, fmt.Errorf("a %T cannot be compared", value)
}
