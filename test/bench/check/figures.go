package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// figure names one measured number: a benchmark with its package, and the unit.
type figure struct{ benchmark, unit string }

func (f figure) String() string { return f.benchmark + " " + f.unit }

// module is the prefix that a package's name loses, so that names are as short as in the documents.
const module = "github.com/financelime/authorization/"

// cores is the suffix that Go appends to the name of a benchmark: GOMAXPROCS.
var cores = regexp.MustCompile(`-\d+$`)

// goUnits are the units that Go adds by itself. The benchmarks report the same in units of their own.
var goUnits = []string{"ns/op", "B/op", "allocs/op"}

// parseOutput reads the figures that benchmarks report from the output of `go test -bench`, and copies the output to echo.
func parseOutput(output io.Reader, echo io.Writer) (map[figure]float64, error) {
	measured := make(map[figure]float64)
	pkg, failed := "", false
	lines := bufio.NewScanner(output)
	for lines.Scan() {
		line := lines.Text()
		fmt.Fprintln(echo, line)
		if name, is := strings.CutPrefix(line, "pkg: "); is {
			pkg = strings.TrimPrefix(name, module)
		}
		failed = failed || strings.HasPrefix(line, "FAIL") || strings.HasPrefix(line, "--- FAIL")
		fields := strings.Fields(line)
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		benchmark := pkg + "." + cores.ReplaceAllString(fields[0], "")
		for i := 2; i+1 < len(fields); i += 2 {
			value, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", line, err)
			}
			if !slices.Contains(goUnits, fields[i+1]) {
				measured[figure{benchmark, fields[i+1]}] = value
			}
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read the output of the benchmarks: %w", err)
	}
	if failed {
		return nil, errors.New("a benchmark failed")
	}
	if len(measured) == 0 {
		return nil, errors.New("no benchmark reported a figure")
	}
	return measured, nil
}

// documentedRow matches a row of the document's table: benchmark, number, unit.
var documentedRow = regexp.MustCompile("(?m)^\\| `([a-z][a-z/]*\\.Benchmark[^`]+)` \\| ([0-9.,]+) \\| ([^ |]+) \\|")

// parseDocument reads the figures from the rows of a document that begin with the name of a benchmark.
func parseDocument(document string) (map[figure]float64, error) {
	documented := make(map[figure]float64)
	for _, row := range documentedRow.FindAllStringSubmatch(document, -1) {
		value, err := strconv.ParseFloat(strings.ReplaceAll(row[2], ",", ""), 64)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", row[0], err)
		}
		name := figure{row[1], row[3]}
		if _, twice := documented[name]; twice {
			return nil, fmt.Errorf("%s is documented twice", name)
		}
		documented[name] = value
	}
	if len(documented) == 0 {
		return nil, errors.New("the document has no row of the form | `package.Benchmark` | number | unit |")
	}
	return documented, nil
}

// compare returns what is wrong: figures that differ by more than the factor, and figures that only one side has.
func compare(measured, documented map[figure]float64, factor float64) []string {
	var wrong []string
	for name, want := range documented {
		got, there := measured[name]
		switch {
		case !there:
			wrong = append(wrong, fmt.Sprintf("%s: documented as %g, but not measured", name, want))
		case got <= 0 || want <= 0 || got > want*factor || got < want/factor:
			wrong = append(wrong, fmt.Sprintf("%s: documented as %g, measured %g: more than a factor of %g", name, want, got, factor))
		}
	}
	for name, got := range measured {
		if _, there := documented[name]; !there {
			wrong = append(wrong, fmt.Sprintf("%s: measured %g, but not documented", name, got))
		}
	}
	slices.Sort(wrong)
	return wrong
}
