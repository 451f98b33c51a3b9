// Command financelime-auth is the authorization service and its command-line administration.
//
// Each command is a struct with a Run method in the file that has its name: serve.go, migrate.go, backup.go, invite.go, user.go,
// session.go, mail.go, keys.go, password_list.go, audit.go, completion.go, openapi.go, healthcheck.go, version.go. The struct tags
// are what --help prints. Shared by the commands:
//
//   - settings.go has every setting; settings_*.go read and check them, settings_warn.go warns about unlikely values
//   - store.go opens the database, with the secret or for one user
//   - print.go prints lists, tables and JSON; audit.go records what operators change
//
// The command serve is the composition root: serve.go creates every part of the service and connects them, admin.go serves the
// admin port, hooks.go connects metrics and traces, memory.go limits memory, banner.go prints the addresses at startup,
// dev.go has what differs with --dev.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"reflect"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
)

func main() {
	os.Exit(run(untilSignal(), os.Args[1:], os.Stdout, os.Stderr))
}

// untilSignal returns a context that the first SIGINT or SIGTERM cancels. By then the second one has its default action again: it ends the
// process immediately. (signal.NotifyContext would still catch a second signal for a moment.)
func untilSignal() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		signal.Stop(signals)
		cancel()
	}()
	return ctx
}

// commands is the command line. --help prints its tags.
type commands struct {
	Settings `embed:""`

	Serve       serve         `cmd:"" default:"1" help:"Run the service (the default)."`
	Migrate     migrate       `cmd:"" help:"Migrate the database to this version's schema (serve does this too). With --from: copy an SQLite database to PostgreSQL."`
	Backup      backup        `cmd:"" help:"Copy the SQLite database to a file, while the service runs."`
	Restore     restore       `cmd:"" help:"Restore the SQLite database from a backup, and end all sessions."`
	Invite      invites       `cmd:"" help:"Create, list and revoke invite codes, while the service runs."`
	User        users         `cmd:"" help:"List, show, disable, enable and delete users, while the service runs."`
	Session     sessions      `cmd:"" help:"List and end sessions, while the service runs."`
	Mail        mails         `cmd:"" help:"List emails and retry them, while the service runs."`
	Keys        keyCommands   `cmd:"" help:"List and replace the signing keys, while the service runs."`
	Password    passwordLists `cmd:"" name:"password-list" help:"Build a list of passwords that users cannot choose."`
	Audit       audits        `cmd:"" help:"List the changes that operators made with these commands."`
	Completion  completion    `cmd:"" help:"Print a completion script for bash, zsh or fish."`
	OpenAPI     openAPI       `cmd:"" name:"openapi" help:"Print the OpenAPI document of the API."`
	Healthcheck healthcheck   `cmd:"" help:"Check whether the running service is ready. Exit status 1 if not."`
	Version     version       `cmd:"" help:"Print the version."`
}

// console has the outputs of a command: results go to out, logs and errors to err.
type console struct{ out, err io.Writer }

// exitStatus is panicked with when kong wants to end the process, for example after --help.
type exitStatus int

// run runs the command line args and returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) (status int) {
	defer func() {
		p := recover()
		if code, isExit := p.(exitStatus); isExit {
			status = int(code)
		} else if p != nil {
			panic(p)
		}
	}()
	var cli commands
	parser, err := newParser(ctx, &cli, console{stdout, stderr})
	if err != nil {
		return printError(stderr, fmt.Errorf("command line: %w", err))
	}
	command, err := parser.Parse(args)
	if err != nil {
		return printError(stderr, nameVariable(parser, err))
	}
	if err := cli.complete(); err != nil {
		return printError(stderr, err)
	}
	cli.inspect(command, os.Environ())
	if err := command.Run(); err != nil {
		return printError(stderr, err)
	}
	return 0
}

// newParser returns the parser of the command line and the settings.
func newParser(ctx context.Context, cli *commands, c console) (*kong.Kong, error) {
	parser, err := kong.New(cli,
		kong.Name("financelime-auth"),
		kong.Description("Email and password authorization behind an API gateway.\n\n"+
			"Every setting is a flag and an environment variable. Without settings, the service stores everything in ./data."),
		kong.Writers(c.out, c.err),
		kong.Exit(func(code int) { panic(exitStatus(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true}),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(&cli.Settings),
		kong.Bind(c),
		kong.TypeMapper(reflect.TypeFor[time.Duration](), durationMapper{}),
	)
	if err != nil {
		return nil, err
	}
	trimSettings(parser)
	return parser, nil
}

// printError prints err on one line and returns the exit status.
func printError(stderr io.Writer, err error) int {
	fmt.Fprintf(stderr, "financelime-auth: %s\n", strings.ReplaceAll(err.Error(), "\n", " "))
	return 1
}

// nameVariable adds the environment variable to an error about a flag, because the bad value may come from there.
func nameVariable(parser *kong.Kong, err error) error {
	if _, isParse := errors.AsType[*kong.ParseError](err); !isParse {
		return err
	}
	var named *kong.Flag // with the longest name: --dev-expose is not --dev
	for _, flag := range parser.Model.Flags {
		if len(flag.Envs) > 0 && strings.HasPrefix(err.Error(), "--"+flag.Name) && (named == nil || len(flag.Name) > len(named.Name)) {
			named = flag
		}
	}
	if named == nil {
		return err
	}
	return fmt.Errorf("%s (%w)", named.Envs[0], err)
}
