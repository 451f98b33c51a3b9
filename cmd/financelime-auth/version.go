package main

import (
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"github.com/financelime/authorization/api"
)

// Set by the linker in releases: -ldflags "-X main.number=v1.2.3 -X main.commit=fc56bb1 -X main.built=2026-11-23T11:12:09Z".
//
//nolint:gochecknoglobals // the linker can only set variables
var (
	number = "v0.2.0-alpha"
	commit string
	built  string
)

// buildVersion returns the version number and "commit [build time]". Values that the linker did not set come from the build info of
// the Go toolchain. If that has none either (go run), the commit is "source" and the time is that of the executable.
func buildVersion() api.VersionResponse {
	revision, at := commit, parseTime(built)
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, setting := range info.Settings {
			switch {
			case setting.Key == "vcs.revision" && revision == "":
				revision = setting.Value[:min(7, len(setting.Value))]
			case setting.Key == "vcs.time" && at.IsZero():
				at = parseTime(setting.Value)
			}
		}
	}
	if revision == "" {
		revision = "source"
	}
	if at.IsZero() {
		at = executableTime()
	}
	return api.VersionResponse{Number: number, Build: fmt.Sprintf("%s [%s]", revision, at.UTC().Format("2006-01-02_15:04:05"))}
}

func parseTime(s string) time.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}
	}
	return t
}

func executableTime() time.Time {
	path, err := os.Executable()
	if err != nil {
		return time.Time{}
	}
	info, err := os.Stat(path)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

type version struct{}

// Run prints the version, like GET /v1/version.
func (version) Run(c console) error {
	v := buildVersion()
	_, err := fmt.Fprintf(c.out, "%s %s\n", v.Number, v.Build)
	return err
}
