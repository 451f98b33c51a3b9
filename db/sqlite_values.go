package db

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
)

// SQLite stores a uuid as a blob of 16 bytes and a timestamptz as an integer of microseconds since 1970. Both sort as on PostgreSQL.

// sqliteValue converts an argument to one of SQLite's types.
func sqliteValue(arg any) (any, error) {
	switch v := arg.(type) {
	case nil, int64, bool:
		return v, nil
	case string:
		// PostgreSQL refuses it too.
		if !utf8.ValidString(v) || strings.ContainsRune(v, 0) {
			return nil, errors.New("text must be UTF-8 without zero bytes")
		}
		return v, nil
	case []byte:
		if v == nil {
			return nil, nil
		}
		return v, nil
	case uuid.UUID:
		return v[:], nil
	case time.Time:
		return v.UnixMicro(), nil
	case *string:
		return sqlitePointer(v)
	case *int64:
		return sqlitePointer(v)
	case *uuid.UUID:
		return sqlitePointer(v)
	case *time.Time:
		return sqlitePointer(v)
	default:
		return nil, fmt.Errorf("the type %T cannot be stored in SQLite", arg)
	}
}

func sqlitePointer[T any](p *T) (any, error) {
	if p == nil {
		return nil, nil
	}
	return sqliteValue(*p)
}

// sqliteScanner implements sql.Scanner for one destination of the generated code.
type sqliteScanner struct{ dest any }

func (s sqliteScanner) Scan(src any) error {
	switch dest := s.dest.(type) {
	case *string:
		return scanValue(dest, src, sqliteText)
	case **string:
		return scanNullable(dest, src, sqliteText)
	case *int64:
		return scanValue(dest, src, sqliteInteger)
	case **int64:
		return scanNullable(dest, src, sqliteInteger)
	case *bool:
		return scanValue(dest, src, sqliteBool)
	case *uuid.UUID:
		return scanValue(dest, src, sqliteUUID)
	case **uuid.UUID:
		return scanNullable(dest, src, sqliteUUID)
	case *time.Time:
		return scanValue(dest, src, sqliteTime)
	case **time.Time:
		return scanNullable(dest, src, sqliteTime)
	case *[]byte:
		if src == nil {
			*dest = nil
			return nil
		}
		return scanValue(dest, src, sqliteBlob)
	default:
		return fmt.Errorf("cannot scan into %T", s.dest)
	}
}

// scanValue stores src, which read converts, in dest.
func scanValue[T any](dest *T, src any, read func(any) (T, bool)) error {
	value, ok := read(src)
	if !ok {
		return fmt.Errorf("cannot scan %T into %T", src, dest)
	}
	*dest = value
	return nil
}

// scanNullable is scanValue for a column that may be NULL.
func scanNullable[T any](dest **T, src any, read func(any) (T, bool)) error {
	if src == nil {
		*dest = nil
		return nil
	}
	*dest = new(T)
	return scanValue(*dest, src, read)
}

func sqliteText(src any) (string, bool) {
	value, ok := src.(string)
	return value, ok
}

func sqliteInteger(src any) (int64, bool) {
	value, ok := src.(int64)
	return value, ok
}

func sqliteBool(src any) (bool, bool) {
	value, ok := src.(int64)
	return value != 0, ok
}

func sqliteTime(src any) (time.Time, bool) {
	value, ok := src.(int64)
	return time.UnixMicro(value).UTC(), ok
}

func sqliteUUID(src any) (uuid.UUID, bool) {
	value, ok := src.([]byte)
	id, err := uuid.FromBytes(value)
	return id, ok && err == nil
}

// sqliteBlob copies the value, because the driver's bytes are valid until the next row only. An empty value is not NULL.
func sqliteBlob(src any) ([]byte, bool) {
	value, ok := src.([]byte)
	return append(make([]byte, 0, len(value)), value...), ok
}
