package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// workflow is what the tests read of a workflow.
type workflow struct {
	Jobs map[string]struct {
		Strategy struct {
			Matrix struct {
				Target []string `yaml:"target"`
			} `yaml:"matrix"`
		} `yaml:"strategy"`
		Steps []struct {
			Uses string `yaml:"uses"`
			Run  string `yaml:"run"`
		} `yaml:"steps"`
	} `yaml:"jobs"`
}

func readWorkflow(t *testing.T) workflow {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, ".github", "workflows", "ci.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var w workflow
	if err := yaml.Unmarshal(content, &w); err != nil {
		t.Fatal(err)
	}
	return w
}

var makeTarget = regexp.MustCompile(`(?m)\bmake ([a-z-]+(?: [a-z-]+)*)`)

// targetsOf returns the make targets that a script runs.
func targetsOf(script string) []string {
	var targets []string
	for _, found := range makeTarget.FindAllStringSubmatch(script, -1) {
		targets = append(targets, strings.Fields(found[1])...)
	}
	return targets
}

// The workflow runs the same make targets as .ci/run, and compiles the same release.
func TestWorkflowRunsWhatCIRuns(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile(filepath.Join(root, ".ci", "run"))
	if err != nil {
		t.Fatal(err)
	}
	var commands []string
	for line := range strings.Lines(string(content)) {
		if step := strings.TrimSpace(line); strings.HasPrefix(step, "step ") || strings.HasPrefix(step, "exec ") {
			commands = append(commands, step)
		}
	}
	script := strings.Join(commands, "\n")
	want := targetsOf(script)

	var got []string
	release := false
	for _, job := range readWorkflow(t).Jobs {
		for _, step := range job.Steps {
			if strings.Contains(step.Run, "make ${{ matrix.target }}") {
				got = append(got, job.Strategy.Matrix.Target...)
				continue
			}
			got = append(got, targetsOf(step.Run)...)
			release = release || strings.Contains(step.Run, "TARGETS=windows/amd64 tools/release")
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if len(want) < 5 || !slices.Equal(got, want) {
		t.Errorf("the workflow runs %v, .ci/run runs %v", got, want)
	}
	if release != strings.Contains(script, "TARGETS=windows/amd64 tools/release") {
		t.Error("only one of the workflow and .ci/run compiles for Windows")
	}
}

// Actions are pinned to a major version, and only GitHub's own are used.
func TestWorkflowPinsActions(t *testing.T) {
	t.Parallel()
	pinned := regexp.MustCompile(`^actions/[a-z-]+@v\d+$`)
	uses := 0
	for name, job := range readWorkflow(t).Jobs {
		for _, step := range job.Steps {
			if step.Uses == "" {
				continue
			}
			uses++
			if !pinned.MatchString(step.Uses) {
				t.Errorf("%s uses %s", name, step.Uses)
			}
		}
	}
	if uses == 0 {
		t.Error("the workflow uses no action")
	}
}
