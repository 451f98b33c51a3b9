package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/admin"
)

func printJSON(c console, v any) error {
	encoder := json.NewEncoder(c.out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}

// parseIDs reads ids as the lists show them.
func parseIDs(texts []string, thing string) ([]uuid.UUID, error) {
	ids := make([]uuid.UUID, len(texts))
	for i, text := range texts {
		id, err := uuid.Parse(text)
		if err != nil {
			return nil, fmt.Errorf("%q is not the id of %s", text, thing)
		}
		ids[i] = id
	}
	return ids, nil
}

// paging are the flags of a list that may be long.
type paging struct {
	Limit int64     `default:"100" help:"How many, the newest first."`
	After uuid.UUID `placeholder:"ID" help:"Go on after this one, the last of the list before."`
}

// open opens the database for a page of a list.
func (p paging) open(ctx context.Context, s *Settings) (*db.Store, admin.Page, error) {
	if p.Limit < 1 {
		return nil, admin.Page{}, errors.New("--limit must be at least 1")
	}
	store, err := openStore(ctx, s)
	return store, admin.Page{After: p.After, Limit: p.Limit}, err
}

// noteAfter says to c.err if a list goes on after an entry that there is not: it may have gone since, or never was one of this list.
func (p paging) noteAfter(c console, thing string, find func(uuid.UUID) error) {
	if p.After == uuid.Nil {
		return
	}
	if errors.Is(find(p.After), db.ErrNotFound) {
		fmt.Fprintf(c.err, "--after=%s: there is no such %s; what is listed was made before the time in that id.\n", p.After, thing)
	}
}

// successor is the next greater id.
func successor(id uuid.UUID) uuid.UUID {
	for i := len(id) - 1; i >= 0; i-- {
		id[i]++
		if id[i] != 0 {
			return id
		}
	}
	return uuid.Max
}

// line is a line of a table.
type line interface {
	cells(now time.Time) []any // under the header's columns
}

// listed is an entry of a list that may be long.
type listed interface {
	line
	key() uuid.UUID
}

// printList prints entries as JSON or as a table, and says to c.err how to go on where the list ends because of its limit only.
func printList[E listed](c console, asJSON bool, p paging, header string, entries []E) error {
	if asJSON {
		return printJSON(c, entries)
	}
	if err := printTable(c, header, entries); err != nil {
		return err
	}
	if n := len(entries); n > 0 && int64(n) == p.Limit {
		fmt.Fprintf(c.err, "There may be more: --after=%s\n", entries[n-1].key())
	}
	return nil
}

// printTable aligns entries under a header, whose columns are separated by "|". Times are in UTC.
func printTable[E line](c console, header string, entries []E) error {
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, strings.ReplaceAll(header, "|", "\t"))
	now := time.Now()
	for _, e := range entries {
		var texts []string
		for _, cell := range e.cells(now) {
			texts = append(texts, printable(cell))
		}
		fmt.Fprintln(w, strings.Join(texts, "\t"))
	}
	return w.Flush()
}

// printable is a value as a table shows it: one line, whatever a client or a mail server has put into it.
func printable(v any) string {
	switch v := v.(type) {
	case time.Time:
		return v.UTC().Format(time.DateTime)
	case *time.Time:
		if v == nil {
			return "-"
		}
		return printable(*v)
	case *uuid.UUID:
		if v == nil {
			return "-"
		}
		return v.String()
	case string:
		return oneLine(v)
	default:
		return fmt.Sprint(v)
	}
}

// oneLine replaces what would move the cursor of a terminal, or break a line of the table.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if !strconv.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

// utc is a time that JSON shows in UTC, whatever the database's driver made of it.
func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	return new(t.UTC())
}

// count is a number of things in words: "1 session", "2 sessions".
func count(n int64, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}
