// Package localetest makes languages for tests.
package localetest

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"
)

// With returns the folders of all languages and one more, named by tag: a copy of the English one that begins each
// paragraph with the tag. The words of its units are such as "day-few", for each plural category.
func With(t testing.TB, tag string) fstest.MapFS {
	t.Helper()
	_, source, _, _ := runtime.Caller(0)
	folders := os.DirFS(filepath.Join(filepath.Dir(source), "..", "messages"))
	files := make(fstest.MapFS)
	err := fs.WalkDir(folders, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := fs.ReadFile(folders, path)
		files[path] = &fstest.MapFile{Data: data}
		if name, english := strings.CutPrefix(path, "en/"); english && strings.HasSuffix(name, ".txt") {
			text := strings.ReplaceAll(strings.TrimSpace(string(data)), "\n\n", "\n\n"+tag+" ")
			text = strings.ReplaceAll(text, tag+" {{.Link}}", "{{.Link}}")
			text = strings.ReplaceAll(text, tag+" {{.Password}}", "{{.Password}}")
			text = strings.ReplaceAll(text, tag+" {{.AppURL}}", "{{.AppURL}}")
			text = strings.ReplaceAll(text, tag+" {{if .AppURL}}", "{{if .AppURL}}"+tag+" ")
			files[tag+"/"+name] = &fstest.MapFile{Data: []byte(text + "\n")}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var units []string
	for _, unit := range []string{"second", "minute", "hour", "day"} {
		var forms []string
		for _, category := range []string{"zero", "one", "two", "few", "many", "other"} {
			forms = append(forms, fmt.Sprintf("%q: %q", category, unit+"-"+category))
		}
		units = append(units, fmt.Sprintf("%q: {%s}", unit, strings.Join(forms, ", ")))
	}
	files[tag+"/language.json"] = &fstest.MapFile{Data: fmt.Appendf(nil,
		`{"name": %q, "copyLink": %q, "units": {%s}}`, tag, tag+" copy", strings.Join(units, ", "))}
	return files
}
