package page

import (
	"mime"
	"regexp"
	"strings"
)

// Format is the format of a response.
type Format int

// The formats, in the order of preference if the client has none.
const (
	HTML Format = iota
	JSON
	Text
)

// String returns the format's media type.
func (f Format) String() string {
	switch f {
	case JSON:
		return "application/json"
	case Text:
		return "text/plain"
	default:
		return "text/html"
	}
}

// Negotiate returns the format that an Accept header prefers (RFC 9110, 12.5.1). If weights are equal, a named type wins
// over a wildcard: "application/json, */*", which many HTTP libraries send, means JSON. JSON wins over HTML if both are named:
// generated clients list all media types of the operation, and no browser names JSON. If no format is acceptable it
// returns HTML: people open these links, and a readable page helps more than a 406.
func Negotiate(accept string) Format {
	best, bestMatch := HTML, match{}
	ranges := mediaRanges(accept)
	for _, f := range []Format{HTML, JSON, Text} {
		m := ranges.match(f.String())
		if m.betterThan(bestMatch) || f == JSON && best == HTML && m == bestMatch && m.precision == named {
			best, bestMatch = f, m
		}
	}
	return best
}

// mediaRange is one element of an Accept header, such as "text/*;q=0.5".
type mediaRange struct {
	name   string // lower case
	weight int    // thousandths
}

type rangeList []mediaRange

// named is the precision of a range without a wildcard.
const named = 3

// match describes how well a list of ranges accepts one media type.
type match struct {
	weight, precision int
}

func (m match) betterThan(other match) bool {
	return m.weight > other.weight || m.weight == other.weight && m.weight > 0 && m.precision > other.precision
}

// match returns the weight of a media type: that of the most precise range that covers it.
func (l rangeList) match(mediaType string) match {
	var found match
	group, _, _ := strings.Cut(mediaType, "/")
	for _, r := range l {
		precision := 0
		switch r.name {
		case mediaType:
			precision = named
		case group + "/*":
			precision = 2
		case "*/*":
			precision = 1
		}
		if precision > found.precision {
			found = match{weight: r.weight, precision: precision}
		}
	}
	return found
}

// weightPattern is the qvalue of RFC 9110, 12.4.2.
var weightPattern = regexp.MustCompile(`^(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)$`)

// mediaRanges parses an Accept header. It skips malformed elements.
func mediaRanges(accept string) rangeList {
	var list rangeList
	for _, element := range splitList(accept) {
		name, params, err := mime.ParseMediaType(element)
		if err != nil {
			continue
		}
		weight := 1000
		if q, ok := params["q"]; ok {
			if !weightPattern.MatchString(q) {
				continue
			}
			weight = thousandths(q)
		}
		list = append(list, mediaRange{name: name, weight: weight})
	}
	return list
}

// thousandths converts a well-formed qvalue to an integer, so that equal weights compare equal.
func thousandths(q string) int {
	whole, fraction, _ := strings.Cut(q, ".")
	n := int(whole[0]-'0') * 1000
	for i, unit := 0, 100; i < len(fraction); i, unit = i+1, unit/10 {
		n += int(fraction[i]-'0') * unit
	}
	return n
}

// splitList splits a header at its commas, except at those inside quoted strings.
func splitList(s string) []string {
	var list []string
	start, quoted := 0, false
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++ // skip the quoted character
		case s[i] == '"':
			quoted = !quoted
		case s[i] == ',' && !quoted:
			list = append(list, s[start:i])
			start = i + 1
		}
	}
	return append(list, s[start:])
}
