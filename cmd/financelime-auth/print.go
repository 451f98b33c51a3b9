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

// parseIDs parses IDs that the lists print.
func parseIDs(texts []string, thing string) ([]uuid.UUID, error) {
	ids := make([]uuid.UUID, len(texts))
	for i, text := range texts {
		id, err := uuid.Parse(text)
		if err != nil {
			return nil, fmt.Errorf("%q is not the ID of %s", text, thing)
		}
		ids[i] = id
	}
	return ids, nil
}

// paging has the flags of lists that can be long.
type paging struct {
	Limit int64     `default:"100" help:"How many to list, newest first."`
	After uuid.UUID `placeholder:"ID" help:"Continue after this ID, the last one of the previous list."`
}

// open opens the database for one page of a list.
func (p paging) open(ctx context.Context, s *Settings) (*db.Store, admin.Page, error) {
	if p.Limit < 1 {
		return nil, admin.Page{}, errors.New("--limit must be at least 1")
	}
	store, err := openStore(ctx, s)
	return store, admin.Page{After: p.After, Limit: p.Limit}, err
}

// warnUnknownAfter prints a note to c.err if the entry of --after does not exist: it was deleted, or it belongs to another list.
func (p paging) warnUnknownAfter(c console, thing string, find func(uuid.UUID) error) {
	if p.After == uuid.Nil {
		return
	}
	if errors.Is(find(p.After), db.ErrNotFound) {
		fmt.Fprintf(c.err, "--after=%s: there is no such %s; the list continues before the time that this ID contains.\n", p.After, thing)
	}
}

// successor returns the next greater ID.
func successor(id uuid.UUID) uuid.UUID {
	for i := len(id) - 1; i >= 0; i-- {
		id[i]++
		if id[i] != 0 {
			return id
		}
	}
	return uuid.Max
}

// tableRow is a row of a table.
type tableRow interface {
	cells(now time.Time) []any // in the order of the header's columns
}

// listEntry is a row of a list that has pages.
type listEntry interface {
	tableRow
	key() uuid.UUID // for --after
}

// printList prints entries as JSON or as a table. If a table may continue on another page, it prints to c.err how to list that page.
func printList[E listEntry](c console, asJSON bool, p paging, header string, entries []E) error {
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

// printTable prints entries as a table. The header's columns are separated by "|". Times are in UTC.
func printTable[E tableRow](c console, header string, entries []E) error {
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

// printSection prints a table under a title, for example "Mails (the newest 20)". An empty one is printed as "Mails: none".
func printSection[E tableRow](c console, title, header string, entries []E) error {
	if len(entries) == 0 {
		_, err := fmt.Fprintf(c.out, "\n%s: none\n", strings.SplitN(title, " (", 2)[0])
		return err
	}
	fmt.Fprintf(c.out, "\n%s\n", title)
	return printTable(c, header, entries)
}

// printable formats a value for a table, on one line even if a client or a mail server chose the text.
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

// oneLine replaces characters that would move a terminal's cursor or break a table row.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if !strconv.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

// utc returns t in UTC for JSON output. Database drivers return times in other zones.
func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	return new(t.UTC())
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// count formats a number of things: "1 session", "2 sessions".
func count(n int64, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}
