package contract

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/financelime/authorization/test/harness"
)

// TestCompletionInBash types into a bash that has loaded the script, and presses Tab. (script(1) provides the terminal.)
func TestCompletionInBash(t *testing.T) {
	t.Parallel()
	s := harness.New(t, binary, contract, harness.SQLite)
	if _, err := s.Command(t.Context(), "migrate"); err != nil {
		t.Fatal(err)
	}
	keys := strings.Join([]string{
		`PATH=` + filepath.Dir(binary) + `:$PATH; source <(financelime-auth completion bash)`,
		"financelime-auth us\tdisab\tnobody@example.com",
		"financelime-auth mail list --state=de\t --js\t",
		"financelime-auth --database-url=sqlite:x.db vers\t",
		"exit", "",
	}, "\n")
	cmd := exec.CommandContext(t.Context(), "script", "--quiet", "--return", "--command", "bash --norc --noprofile -i", "/dev/null")
	cmd.Dir, cmd.Env, cmd.Stdin = s.Dir, slices.Concat(s.Env, []string{"TERM=dumb"}), strings.NewReader(keys)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{
		"financelime-auth user disable nobody@example.com",
		`financelime-auth: user disable: "nobody@example.com": there is no such user`,
		"financelime-auth mail list --state=dead  --json",
		"[]\r\n",
		"financelime-auth --database-url=sqlite:x.db version",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the terminal lacks %q:\n%s", want, out)
		}
	}
}
