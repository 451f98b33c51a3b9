package main

import (
	"fmt"
	"math"
	"reflect"
	"regexp"
	"strconv"
	"time"

	"github.com/alecthomas/kong"
)

// settingMapper trims the value of a setting before kong parses it, so that "AUTH_REFRESH_GRACE= 2m" is valid.
type settingMapper struct{ kong.Mapper }

// Decode parses a flag, an environment variable or a default.
func (m settingMapper) Decode(ctx *kong.DecodeContext, target reflect.Value) error {
	token := ctx.Scan.Peek()
	if text, isText := token.Value.(string); isText && (token.Type == kong.FlagValueToken || !m.IsBool()) {
		ctx.Scan.Pop()
		ctx.Scan.PushTyped(trim(text), token.Type)
	}
	return m.Mapper.Decode(ctx, target)
}

// IsBool reports whether the flag can be given without a value.
func (m settingMapper) IsBool() bool {
	b, is := m.Mapper.(kong.BoolMapper)
	return is && b.IsBool()
}

// trimSettings makes the parser trim the values of all settings.
func trimSettings(parser *kong.Kong) {
	for _, flag := range parser.Model.Flags {
		flag.Mapper = settingMapper{flag.Mapper}
	}
}

// durationMapper parses durations in Go's format, which may begin with days: 30d, 1d12h.
type durationMapper struct{}

// Decode parses a duration.
func (durationMapper) Decode(ctx *kong.DecodeContext, target reflect.Value) error {
	var text string
	if err := ctx.Scan.PopValueInto("duration", &text); err != nil {
		return err
	}
	d, err := parseDuration(text)
	if err != nil {
		return err
	}
	target.SetInt(int64(d))
	return nil
}

var days = regexp.MustCompile(`^([0-9]{1,6})d(.*)$`)

// parseDuration parses a duration such as 90s, 30m, 720h or 30d.
func parseDuration(text string) (time.Duration, error) {
	const day = 24 * time.Hour
	invalid := fmt.Errorf("%q is not a duration such as 90s, 30m, 720h or 30d", text)
	match := days.FindStringSubmatch(text)
	if match == nil {
		d, err := time.ParseDuration(text)
		if err != nil {
			return 0, invalid
		}
		return d, nil
	}
	whole, err := strconv.ParseInt(match[1], 10, 64)
	if err != nil || whole > int64(math.MaxInt64/day)-1 {
		return 0, invalid
	}
	var part time.Duration
	if match[2] != "" {
		part, err = time.ParseDuration(match[2])
		if err != nil || part < 0 || part >= day || match[2][0] == '+' {
			return 0, invalid
		}
	}
	return time.Duration(whole)*day + part, nil
}
