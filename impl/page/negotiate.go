package page

import (
	"mime"
	"regexp"
	"strings"

	"golang.org/x/text/language"
)

// Format is a way to write an answer.
type Format int

// The formats, in the order in which we prefer them where the client does not care.
const (
	HTML Format = iota
	JSON
	Text
)

// String is the format's media type.
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

// Negotiate chooses the format that an Accept header asks for (RFC 9110, 12.5.1). Of equal weights, a type that was
// named wins over one that a wildcard covers: "application/json, */*", which many HTTP libraries send, means JSON.
// Whoever accepts nothing that we have gets HTML all the same: links are opened by people, and a page that can be read
// helps more than a 406.
func Negotiate(accept string) Format {
	best, bestMatch := HTML, match{}
	ranges := mediaRanges(accept)
	for _, f := range []Format{HTML, JSON, Text} {
		if m := ranges.match(f.String()); m.betterThan(bestMatch) {
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

// match is how well a list of ranges accepts one media type.
type match struct {
	weight, precision int
}

func (m match) betterThan(other match) bool {
	return m.weight > other.weight || m.weight == other.weight && m.weight > 0 && m.precision > other.precision
}

// match finds the weight of a media type, which the most precise range that covers it decides.
func (l rangeList) match(mediaType string) match {
	var found match
	group, _, _ := strings.Cut(mediaType, "/")
	for _, r := range l {
		precision := 0
		switch r.name {
		case mediaType:
			precision = 3
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

// mediaRanges reads an Accept header. Elements that are not well-formed are skipped.
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

// thousandths turns a well-formed qvalue into an integer, so that equal weights compare equal.
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
			i++ // the quoted character, whatever it is
		case s[i] == '"':
			quoted = !quoted
		case s[i] == ',' && !quoted:
			list = append(list, s[start:i])
			start = i + 1
		}
	}
	return append(list, s[start:])
}

// Language chooses the language that an Accept-Language header asks for: "en" or "ru". The first wish that is one of
// ours counts, regions aside; there is no guessing that readers of one language can read another one.
func Language(acceptLanguage string) string {
	tags, _, err := language.ParseAcceptLanguage(acceptLanguage)
	if err != nil {
		return fallbackLanguage
	}
	for _, tag := range tags {
		base, confidence := tag.Base()
		if _, ours := texts[base.String()]; ours && confidence == language.Exact {
			return base.String()
		}
	}
	return fallbackLanguage
}
