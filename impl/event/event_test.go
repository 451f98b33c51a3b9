package event

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/financelime/authorization/impl/reqinfo"
)

// An event is one line of JSON with all known attributes, whatever characters they contain.
func TestRecord(t *testing.T) {
	t.Parallel()
	req := &reqinfo.Info{
		RequestID: "a-request", Addr: netip.MustParseAddr("2001:db8::1"), AccountID: uuid.NewString(), SessionID: uuid.NewString(),
	}
	other := uuid.New()
	var out bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&out, nil))
	Record(reqinfo.NewContext(t.Context(), req), log, LoginFailed, Account(other),
		Reason("a\nb\r\x00\x1b[31m\u2028"), slog.Int64("sessions_ended", 1))
	if strings.Count(out.String(), "\n") != 1 || strings.ContainsAny(out.String(), "\x00\x1b\r\u2028") {
		t.Errorf("not one clean line: %q", out.String())
	}
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"msg": "login.failed", "outcome": "failure", "request_id": "a-request", "remote_addr": "2001:db8::1",
		"account_id": other.String(), "session_id": req.SessionID,
	} {
		if line[key] != want {
			t.Errorf("%s is %v, want %s", key, line[key], want)
		}
	}
	if n := strings.Count(out.String(), `"account_id"`); n != 1 {
		t.Errorf("account_id is in the line %d times", n)
	}
	out.Reset()
	Record(t.Context(), log, SessionRefreshed)
	if out.Len() != 0 {
		t.Errorf("logged below the level: %s", out.String())
	}
}

// docs/events.md lists every event that the code logs, with its level, and no others.
func TestEveryEventIsDocumented(t *testing.T) {
	t.Parallel()
	documented := readDocument(t)
	inCode := readCode(t)
	if len(inCode) < 50 {
		t.Fatalf("only %d events found in the code", len(inCode))
	}
	for name := range inCode {
		if documented[name] == "" {
			t.Errorf("%s is logged but not in docs/events.md", name)
		}
	}
	for name, level := range documented {
		if name == "request" {
			continue
		}
		if !inCode[name] {
			t.Errorf("%s is in docs/events.md but never logged", name)
		}
		if typed := Name(name); isConstant(t, name) && strings.ToLower(typed.level().String()) != level {
			t.Errorf("%s has the level %s, docs/events.md says %s", name, typed.level(), level)
		}
	}
}

var names = regexp.MustCompile(`^[a-z]+\.[a-z_]+$`)

// readDocument returns the level of each event in the tables.
func readDocument(t *testing.T) map[string]string {
	t.Helper()
	content, err := os.ReadFile("../../docs/events.md")
	if err != nil {
		t.Fatal(err)
	}
	levels := map[string]string{}
	for line := range strings.Lines(string(content)) {
		cells := strings.Split(line, "|")
		if len(cells) < 5 {
			continue
		}
		for name := range strings.SplitSeq(cells[1], ",") {
			name = strings.Trim(strings.TrimSpace(name), "`")
			if names.MatchString(name) || name == "request" {
				levels[name] = strings.TrimSpace(cells[2])
			}
		}
	}
	return levels
}

// readCode returns every string of the service's code that is the name of an event.
func readCode(t *testing.T) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	for _, root := range []string{"../../impl", "../../db", "../../cmd"} {
		err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.HasSuffix(path, ".gen.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if namesAttribute(n) {
					return false
				}
				if literal, ok := n.(*ast.BasicLit); ok && literal.Kind == token.STRING {
					if name, err := strconv.Unquote(literal.Value); err == nil && isEvent(name) {
						found[name] = true
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return found
}

// namesAttribute reports whether a call names an OpenTelemetry attribute, which looks like an event.
func namesAttribute(n ast.Node) bool {
	call, ok := n.(*ast.CallExpr)
	if !ok {
		return false
	}
	function, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	pkg, ok := function.X.(*ast.Ident)
	return ok && pkg.Name == "attribute"
}

// isEvent reports whether a string is the name of an event, and not that of a file or a build setting.
func isEvent(name string) bool {
	switch subject, what, _ := strings.Cut(name, "."); {
	case !names.MatchString(name), subject == "vcs", subject == "memory": // memory.max is a file of a control group
		return false
	case what == "css", what == "js", what == "html", what == "json", what == "yaml", what == "txt", what == "db", what == "go":
		return false
	default:
		return true
	}
}

func isConstant(t *testing.T, name string) bool {
	t.Helper()
	content, err := os.ReadFile("event.go")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(content), strconv.Quote(name))
}
