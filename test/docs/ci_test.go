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

func readWorkflow(t *testing.T, name string) workflow {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, ".github", "workflows", name))
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
	for _, job := range readWorkflow(t, "ci.yml").Jobs {
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

// A release runs what CI leaves out, and only targets that exist.
func TestReleaseRunsSlowClients(t *testing.T) {
	t.Parallel()
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	var targets []string
	for _, job := range readWorkflow(t, "release.yml").Jobs {
		for _, step := range job.Steps {
			targets = append(targets, targetsOf(step.Run)...)
		}
	}
	for _, target := range targets {
		if !strings.Contains(string(makefile), "\n"+target+":") {
			t.Errorf("the Makefile has no target %s", target)
		}
	}
	for _, want := range []string{"test-clients-all", "release"} {
		if !slices.Contains(targets, want) {
			t.Errorf("a release runs %v, which lacks %s", targets, want)
		}
	}
}

// Actions are pinned to a major version, and only GitHub's own are used.
func TestWorkflowPinsActions(t *testing.T) {
	t.Parallel()
	pinned := regexp.MustCompile(`^actions/[a-z-]+@v\d+$`)
	files, err := filepath.Glob(filepath.Join(root, ".github", "workflows", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		uses := 0
		for name, job := range readWorkflow(t, filepath.Base(file)).Jobs {
			for _, step := range job.Steps {
				if step.Uses == "" {
					continue
				}
				uses++
				if !pinned.MatchString(step.Uses) {
					t.Errorf("%s: %s uses %s", file, name, step.Uses)
				}
			}
		}
		if uses == 0 {
			t.Errorf("%s uses no action", file)
		}
	}
	if len(files) == 0 {
		t.Error("there is no workflow")
	}
}
