package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const output = `goos: linux
pkg: github.com/financelime/authorization/test/bench
cpu: some CPU
BenchmarkStart-2      	      44	  58709905 ns/op	        35.91 MiB-idle	        58.70 ms/start
BenchmarkRefresh/sqlite-2         	    7245	    325099 ns/op	      3076 refreshes/s
PASS
ok  	github.com/financelime/authorization/test/bench	12.3s
pkg: github.com/financelime/authorization/db
BenchmarkRefresh/sqlite-2         	   72450	     32509 ns/op	     30760 refreshes/s
PASS
`

const document = "# Figures\n\n| Benchmark | Figure | Unit |\n| --- | --- | --- |\n" +
	"| `test/bench.BenchmarkStart` | 36 | MiB-idle |\n" +
	"| `test/bench.BenchmarkStart` | 59 | ms/start |\n" +
	"| `test/bench.BenchmarkRefresh/sqlite` | 3,100 | refreshes/s | more words |\n" +
	"| `db.BenchmarkRefresh/sqlite` | 31,000 | refreshes/s |\n"

// The check passes where the figures agree, and fails on each way to disagree.
func TestCheck(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		replaceOutput, replaceDocument [2]string
		want                           string // part of what is printed or returned; "" if the check passes
	}{
		"as documented":            {},
		"nine times as fast":       {replaceDocument: [2]string{"3,100", "342"}},
		"eleven times as fast":     {replaceDocument: [2]string{"3,100", "279"}, want: "test/bench.BenchmarkRefresh/sqlite refreshes/s: documented as 279, measured 3076"},
		"a ninth as fast":          {replaceDocument: [2]string{"31,000", "276,000"}},
		"an eleventh as fast":      {replaceDocument: [2]string{"31,000", "340,000"}, want: "db.BenchmarkRefresh/sqlite refreshes/s: documented as 340000"},
		"the set-up was measured":  {replaceOutput: [2]string{"3076 refreshes/s", "0.45 refreshes/s"}, want: "measured 0.45"},
		"zero":                     {replaceOutput: [2]string{"35.91 MiB-idle", "0 MiB-idle"}, want: "MiB-idle: documented as 36, measured 0"},
		"a benchmark that is gone": {replaceOutput: [2]string{"BenchmarkStart-2", "BenchmarkBegin-2"}, want: "test/bench.BenchmarkStart MiB-idle: documented as 36, but not measured"},
		"a new benchmark":          {replaceDocument: [2]string{"| `test/bench.BenchmarkStart` | 59 | ms/start |\n", ""}, want: "ms/start: measured 58.7, but not documented"},
		"another unit":             {replaceOutput: [2]string{"ms/start", "s/start"}, want: "s/start: measured 58.7, but not documented"},
		"documented twice":         {replaceDocument: [2]string{"db.BenchmarkRefresh", "test/bench.BenchmarkRefresh"}, want: "documented twice"},
		"no number":                {replaceDocument: [2]string{"| 36 |", "| 3.6.0 |"}, want: "invalid syntax"},
		"a failed benchmark":       {replaceOutput: [2]string{"PASS", "FAIL"}, want: "a benchmark failed"},
		"no output":                {replaceOutput: [2]string{output, "PASS\n"}, want: "no benchmark reported a figure"},
		"no table":                 {replaceDocument: [2]string{document, "# Figures\n"}, want: "has no row of the form"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "performance.md")
			written := strings.Replace(document, test.replaceDocument[0], test.replaceDocument[1], 1)
			if err := os.WriteFile(path, []byte(written), 0o600); err != nil {
				t.Fatal(err)
			}
			var printed strings.Builder
			err := run(path, strings.NewReader(strings.Replace(output, test.replaceOutput[0], test.replaceOutput[1], 1)), &printed)
			if test.want == "" {
				if err != nil {
					t.Fatalf("%v\n%s", err, printed.String())
				}
				return
			}
			if err == nil {
				t.Fatalf("the check passed, want %q", test.want)
			}
			if got := printed.String() + err.Error(); !strings.Contains(got, test.want) {
				t.Errorf("the check failed without %q:\n%s", test.want, got)
			}
		})
	}
}

// The table of docs/performance.md can be read.
func TestDocumentHasFigures(t *testing.T) {
	t.Parallel()
	written, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "performance.md"))
	if err != nil {
		t.Fatal(err)
	}
	documented, err := parseDocument(string(written))
	if err != nil {
		t.Fatal(err)
	}
	if len(documented) < 10 {
		t.Errorf("only %d figures: %v", len(documented), documented)
	}
}

// The document is missing.
func TestNoDocument(t *testing.T) {
	t.Parallel()
	if err := run(filepath.Join(t.TempDir(), "nothing.md"), strings.NewReader(output), io.Discard); err == nil {
		t.Error("the check passed without a document")
	}
}
