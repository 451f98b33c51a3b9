package locale

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"text/template"
)

// Text is a text with placeholders. Its file has fields, an empty line, and paragraphs with an empty line between two:
//
//	Subject: Your password for {{.Service}}
//
//	Your password for {{.Service}}:
//
//	{{.Password}}
//
// Line breaks within a paragraph mean nothing. Fields and paragraphs are templates of their own (text/template), so a value
// can never begin a new one.
type Text struct {
	fields       map[string]*template.Template
	paragraphs   []*template.Template
	placeholders []string
}

// Filled is a text with the values in it.
type Filled struct {
	Fields     map[string]string
	Paragraphs []string // each one line
}

// placeholderPattern finds the names of values in an action of a template.
var placeholderPattern = regexp.MustCompile(`\.([A-Z]\w*)`)

var actionPattern = regexp.MustCompile(`\{\{.*?\}\}`)

func parseText(source string) (*Text, error) {
	head, body, ok := strings.Cut(source, "\n\n")
	if !ok {
		return nil, errors.New("no empty line after the fields")
	}
	t := &Text{fields: make(map[string]*template.Template)}
	for line := range strings.Lines(head) {
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return nil, fmt.Errorf("%q is not a field", line)
		}
		parsed, err := parseTemplate(value)
		if err != nil {
			return nil, err
		}
		t.fields[name] = parsed
	}
	for paragraph := range strings.SplitSeq(body, "\n\n") {
		parsed, err := parseTemplate(paragraph)
		if err != nil {
			return nil, err
		}
		t.paragraphs = append(t.paragraphs, parsed)
	}
	names := make(map[string]bool)
	for _, action := range actionPattern.FindAllString(source, -1) {
		for _, match := range placeholderPattern.FindAllStringSubmatch(action, -1) {
			names[match[1]] = true
		}
	}
	t.placeholders = slices.Sorted(maps.Keys(names))
	return t, nil
}

func parseTemplate(source string) (*template.Template, error) {
	source = strings.ReplaceAll(strings.TrimSpace(source), "\n", " ")
	if source == "" {
		return nil, errors.New("a field or a paragraph is empty")
	}
	return template.New("").Parse(source)
}

// Fill puts values, the fields of a struct, in the places of the placeholders.
func (t *Text) Fill(values any) (Filled, error) {
	filled := Filled{Fields: make(map[string]string, len(t.fields))}
	var err error
	for name, field := range t.fields {
		if filled.Fields[name], err = execute(field, values); err != nil {
			return Filled{}, err
		}
	}
	for _, paragraph := range t.paragraphs {
		text, err := execute(paragraph, values)
		if err != nil {
			return Filled{}, err
		}
		filled.Paragraphs = append(filled.Paragraphs, text)
	}
	return filled, nil
}

func execute(t *template.Template, values any) (string, error) {
	var out strings.Builder
	err := t.Execute(&out, values)
	return out.String(), err
}

// compare returns an error if t differs from model in more than its words.
func (t *Text) compare(model *Text) error {
	var errs []error
	if got, want := slices.Sorted(maps.Keys(t.fields)), slices.Sorted(maps.Keys(model.fields)); !slices.Equal(got, want) {
		errs = append(errs, fmt.Errorf("has the fields %q, want %q", got, want))
	}
	if len(t.paragraphs) != len(model.paragraphs) {
		errs = append(errs, fmt.Errorf("has %d paragraphs, want %d", len(t.paragraphs), len(model.paragraphs)))
	}
	if !slices.Equal(t.placeholders, model.placeholders) {
		errs = append(errs, fmt.Errorf("has the placeholders %q, want %q", t.placeholders, model.placeholders))
	}
	return errors.Join(errs...)
}
