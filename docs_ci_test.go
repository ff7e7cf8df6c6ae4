package medprobe_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/medprobe/medprobe/internal/needs"
)

// The CI jobs of docs/ci.md are run as a runner would run their scripts, each in a
// folder with a baseline, and leave what they say they upload.
func TestJobsOfThePageRun(t *testing.T) {
	needs.Time(t)
	text, err := os.ReadFile("docs/ci.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := map[string]string{}
	for _, b := range regexp.MustCompile("(?s)```yaml\n# (\\S+)\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		blocks[b[1]] = b[2]
	}
	var github struct {
		Jobs map[string]struct {
			Steps []struct{ Run string }
		}
	}
	var gitlab map[string]struct{ Script []string }
	if err := yaml.Unmarshal([]byte(blocks["github-gate.yaml"]), &github); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal([]byte(blocks["gitlab-gate.yaml"]), &gitlab); err != nil {
		t.Fatal(err)
	}
	var steps []string
	for _, step := range github.Jobs["gate"].Steps {
		if step.Run != "" {
			steps = append(steps, step.Run)
		}
	}
	stage := newStage(t)
	for name, job := range map[string]struct{ steps, left []string }{
		"github": {steps, []string{"candidate/report.html", "gate.md", "summary.md"}},
		"gitlab": {gitlab["gate"].Script, []string{"candidate/report.html", "gate.md", "gate.xml", "metrics.txt"}},
	} {
		p := newPageTest(t, "docs/ci.md", stage)
		if len(job.steps) != 2 {
			t.Fatalf("%s: steps %q: want two", name, job.steps)
		}
		if err := os.WriteFile(filepath.Join(p.dir, "experiment.yaml"), []byte(blocks["experiment.yaml"]), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, step := range append([]string{"medprobe run experiment.yaml --out baseline"}, job.steps...) {
			cmd := exec.CommandContext(t.Context(), "bash", "-e", "-o", "pipefail", "-c", step)
			cmd.Dir, cmd.Env = p.dir, append(p.env, "GITHUB_STEP_SUMMARY="+filepath.Join(p.dir, "summary.md"))
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%s: %s: %v\n%s", name, step, err, out)
			}
		}
		for _, file := range job.left {
			if info, err := os.Stat(filepath.Join(p.dir, file)); err != nil || info.Size() == 0 {
				t.Errorf("%s: %s: %v", name, file, err)
			}
		}
	}
}
