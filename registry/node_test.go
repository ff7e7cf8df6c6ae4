package registry_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/medprobe/medprobe/encoder"
	"github.com/medprobe/medprobe/internal/needs"
	"github.com/medprobe/medprobe/registry"
	"github.com/medprobe/medprobe/trainer"
)

// nodeJob is a model for Node, and what it is to be shown.
type nodeJob struct {
	Model string    `json:"model"`
	Input string    `json:"input"`
	Shape []int     `json:"shape"`
	Data  []float32 `json:"data"`
}

// nodeAnswer is what Node's ONNX Runtime gives.
type nodeAnswer struct {
	Label         []string
	Probabilities []float32
	Names         []string
}

// askNode runs models with onnxruntime-node.
func askNode(t *testing.T, jobs []nodeJob) (answers []nodeAnswer) {
	t.Helper()
	modules := needs.NodeModules(t)
	text, err := json.Marshal(jobs)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "jobs.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("node", "../tools/reference/onnx_node.cjs", modules, path)
	home := t.TempDir() // ONNX Runtime writes into the user's
	cmd.Env = append(os.Environ(), "HOME="+home, "XDG_CACHE_HOME="+home)
	var failed strings.Builder
	cmd.Stderr = &failed
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, failed.String())
	}
	for line := range strings.Lines(string(out)) {
		var a nodeAnswer
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		answers = append(answers, a)
	}
	if len(answers) != len(jobs) {
		t.Fatalf("%d answers to %d models", len(answers), len(jobs))
	}
	return answers
}

// agrees fails the test unless Node's answer is the head's.
func (a *nodeAnswer) agrees(t *testing.T, name string, h *trainer.Head, want []float64, within float64) {
	t.Helper()
	worst := 0.0
	for i, p := range want {
		worst = max(worst, math.Abs(p-float64(a.Probabilities[i])))
	}
	if len(a.Probabilities) != len(want) || !(worst <= within) {
		t.Errorf("%s: %d probabilities, %v apart: want %d, within %v", name, len(a.Probabilities), worst, len(want), within)
	}
	if want := labels(h, a.Probabilities); !slices.Equal(a.Label, want) {
		t.Errorf("%s: labels %q: want %q", name, a.Label, want)
	}
	t.Logf("%s: greatest difference %.2g", name, worst)
}

// Node's ONNX Runtime gives the head's probabilities and labels: findings, classes,
// calibrated and not, linear or with what the head keeps, and from pixels.
func TestNodeGivesTheSameProbabilities(t *testing.T) {
	t.Parallel()
	needs.NodeModules(t)
	x, _ := vectors(78, 50, 8)
	all := heads(t)
	maps.Copy(all, keepers(t))
	names, dir := slices.Sorted(maps.Keys(all)), t.TempDir()
	var jobs []nodeJob
	for i, name := range names {
		model, err := registry.ONNX(all[name])
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, fmt.Sprint(i)+".onnx")
		if err := os.WriteFile(path, model, 0o600); err != nil {
			t.Fatal(err)
		}
		jobs = append(jobs, nodeJob{path, "embedding", []int{x.Rows, x.Cols}, x.Data})
	}
	for i, answer := range askNode(t, jobs) {
		want, err := all[names[i]].Probabilities(x)
		if err != nil {
			t.Fatal(err)
		}
		answer.agrees(t, names[i], all[names[i]], want.Data, 1e-5)
		if !slices.Equal(answer.Names, []string{"embedding", "label", "probabilities"}) {
			t.Errorf("%s: inputs and outputs %q", names[i], answer.Names)
		}
	}
}

func TestNodeTakesPixels(t *testing.T) {
	needs.NodeModules(t)
	startRuntime(t)
	var jobs []nodeJob
	var heads []*trainer.Head
	var wants [][]float64
	for _, precision := range []string{"fp32", "int8"} {
		dir, e := tower(t, "siglip-f32", encoder.ImportOptions{Precision: precision}, "")
		images := photographs(t)
		x := embedded(t, e, images)
		h := onImages(t, e, x, trainer.Options{Head: trainer.Logistic, C: 10})
		want, err := h.Probabilities(x)
		if err != nil {
			t.Fatal(err)
		}
		r := open(t, t.TempDir())
		image, err := encoder.FindImageModel(dir, "x", e.Fingerprint(), e.PreprocessFingerprint())
		if err != nil {
			t.Fatal(err)
		}
		out := filepath.Join(t.TempDir(), "model")
		if err := r.ExportEndToEnd(t.Context(), addIn(t, r, h), image, out); err != nil {
			t.Fatal(err)
		}
		job := nodeJob{Model: filepath.Join(out, "model.onnx"), Input: "pixels", Shape: []int{len(images), 3, e.ImageSize(), e.ImageSize()}}
		for _, img := range images {
			pixels, err := e.Preprocess(img)
			if err != nil {
				t.Fatal(err)
			}
			job.Data = append(job.Data, pixels...)
		}
		jobs, heads, wants = append(jobs, job), append(heads, h), append(wants, want.Data)
	}
	for i, answer := range askNode(t, jobs) {
		answer.agrees(t, []string{"fp32", "int8"}[i], heads[i], wants[i], 1e-4)
	}
}
