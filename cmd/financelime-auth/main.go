// Command financelime-auth is the authorization service and its administration.
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
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// commands is the command line; its tags are the reference that --help prints.
type commands struct {
	Settings `embed:""`

	Serve       serve       `cmd:"" default:"1" help:"Run the service (the default)."`
	Migrate     migrate     `cmd:"" help:"Bring the database to this version's schema, which serve does by itself; or with --from move from SQLite to PostgreSQL."`
	Backup      backup      `cmd:"" help:"Copy the SQLite database into a file, while the service runs."`
	Restore     restore     `cmd:"" help:"Make the SQLite database out of a backup, and end its sessions."`
	Invite      invites     `cmd:"" help:"Make, list and revoke invite codes, while the service runs."`
	User        users       `cmd:"" help:"List, show, disable, enable and delete users, while the service runs."`
	Session     sessions    `cmd:"" help:"List and end sessions, while the service runs."`
	Mail        mails       `cmd:"" help:"List mails and send them again, while the service runs."`
	Keys        keyCommands `cmd:"" help:"List the signing keys and replace them, while the service runs."`
	Audit       audits      `cmd:"" help:"List what operators have changed by commands."`
	Completion  completion  `cmd:"" help:"Print what makes a shell complete the commands: bash, zsh or fish."`
	OpenAPI     openAPI     `cmd:"" name:"openapi" help:"Print the API document."`
	Healthcheck healthcheck `cmd:"" help:"Ask the running service whether it is ready; exit status 1 if not."`
	Version     version     `cmd:"" help:"Print the version."`
}

// console is where commands print: what was asked for to out, logs and complaints to err.
type console struct{ out, err io.Writer }

// exit is kong's wish to end the process, for example after --help.
type exit int

// run is main without the process: it returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) (status int) {
	defer func() {
		p := recover()
		if code, wished := p.(exit); wished {
			status = int(code)
		} else if p != nil {
			panic(p)
		}
	}()
	var cli commands
	parser, err := newParser(ctx, &cli, console{stdout, stderr})
	if err != nil {
		return complain(stderr, fmt.Errorf("command line: %w", err))
	}
	command, err := parser.Parse(args)
	if err != nil {
		return complain(stderr, nameVariable(parser, err))
	}
	if err := cli.complete(); err != nil {
		return complain(stderr, err)
	}
	cli.observe(command, os.Environ())
	if err := command.Run(); err != nil {
		return complain(stderr, err)
	}
	return 0
}

// newParser makes the parser of the command line and of the settings.
func newParser(ctx context.Context, cli *commands, c console) (*kong.Kong, error) {
	parser, err := kong.New(cli,
		kong.Name("financelime-auth"),
		kong.Description("E-mail and password authorization behind an API gateway.\n\n"+
			"Every setting is a flag and an environment variable. Without any, the service keeps everything in ./data."),
		kong.Writers(c.out, c.err),
		kong.Exit(func(code int) { panic(exit(code)) }),
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

// complain says in one sentence what is wrong.
func complain(stderr io.Writer, err error) int {
	fmt.Fprintf(stderr, "financelime-auth: %s\n", strings.ReplaceAll(err.Error(), "\n", " "))
	return 1
}

// nameVariable adds the environment variable to a complaint about a flag, which is where the bad value may stand.
func nameVariable(parser *kong.Kong, err error) error {
	if _, isParse := errors.AsType[*kong.ParseError](err); !isParse {
		return err
	}
	for _, flag := range parser.Model.Flags {
		if len(flag.Envs) > 0 && strings.HasPrefix(err.Error(), "--"+flag.Name) {
			return fmt.Errorf("%s (%w)", flag.Envs[0], err)
		}
	}
	return err
}
