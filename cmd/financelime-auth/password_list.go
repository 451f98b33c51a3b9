package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/mattn/go-isatty"

	"github.com/financelime/authorization/impl/password"
	"github.com/financelime/authorization/impl/password/known"
)

type passwordLists struct {
	Build passwordListBuild `cmd:"" help:"Build a list of passwords that users cannot choose, for AUTH_PASSWORD_BLOCKLIST."`
}

type passwordListBuild struct {
	File      string   `arg:"" help:"The list to write. An existing list is replaced when the new one is complete."`
	Sources   []string `arg:"" optional:"" help:"Files to read. Default: standard input."`
	SHA1      bool     `name:"sha1" help:"Each line has a SHA-1 hash and a number of occurrences, as in the download of Have I Been Pwned. Default: each line is a password."`
	MinLength int      `default:"8" help:"Leave out passwords with fewer characters. Not with --sha1."`
	MinCount  int64    `help:"Leave out hashes with fewer occurrences. Only with --sha1."`
	JSON      bool     `name:"json" help:"Print JSON."`
}

// Run builds a list. It needs no database.
func (cmd *passwordListBuild) Run(ctx context.Context, c console) error {
	if cmd.MinCount != 0 && !cmd.SHA1 || cmd.MinCount < 0 {
		return errors.New("password-list build: --min-count needs --sha1 and must be at least 0")
	}
	sources, closeAll, err := cmd.open()
	if err != nil {
		return fmt.Errorf("password-list build: %w", err)
	}
	defer closeAll()
	result, err := known.Build(ctx, cmd.File, sources, known.Options{
		SHA1: cmd.SHA1, MinLength: cmd.MinLength, MinCount: cmd.MinCount,
		Progress: func(lines int64) { fmt.Fprintf(c.err, "%d million lines read\n", lines/1_000_000) },
	})
	if err != nil {
		return fmt.Errorf("password-list build: %w", err)
	}
	if cmd.JSON {
		return printJSON(c, map[string]any{
			"file": cmd.File, "lines": result.Lines, "leftOut": result.LeftOut, "unusable": result.Unusable,
			"passwords": result.Passwords, "falseRate": result.FalseRate,
		})
	}
	_, err = fmt.Fprintf(c.out, "Wrote %s with %d passwords from %d lines: %d were too short or rare, %d cannot be passwords. Of a million other passwords, it refuses %.2g.\n",
		cmd.File, result.Passwords, result.Lines, result.LeftOut, result.Unusable, result.FalseRate*1e6)
	return err
}

// open opens the sources.
func (cmd *passwordListBuild) open() (sources []io.Reader, closeAll func(), err error) {
	if len(cmd.Sources) == 0 {
		if isatty.IsTerminal(os.Stdin.Fd()) {
			return nil, nil, errors.New("name the files to read, or write to standard input")
		}
		return []io.Reader{os.Stdin}, func() {}, nil
	}
	var files []*os.File
	closeAll = func() {
		for _, file := range files {
			_ = file.Close() // nothing was written
		}
	}
	for _, name := range cmd.Sources {
		file, err := os.Open(name) //nolint:gosec // the operator chose the file
		if err != nil {
			closeAll()
			return nil, nil, err
		}
		files, sources = append(files, file), append(sources, file)
	}
	return sources, closeAll, nil
}

// openPolicy returns the policy for chosen passwords, with the blocklist, which it reads once to find damage.
func (s *Settings) openPolicy() (*password.Policy, error) {
	policy := &password.Policy{MinLength: int(s.PasswordMinLength)}
	if s.PasswordBlocklist == "" {
		return policy, nil
	}
	var err error
	if policy.Blocklist, err = known.Open(s.PasswordBlocklist); err != nil {
		return nil, fmt.Errorf("AUTH_PASSWORD_BLOCKLIST: %w", err)
	}
	return policy, nil
}
