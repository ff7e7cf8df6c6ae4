package encoder

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/medprobe/medprobe/internal/needs"
)

// Both towers are plain ONNX: any runtime of opset 17 takes them. The checker
// is Python's and need not be there; that the towers run and give the right
// vectors is TestTowersAgreeWithPyTorch.
func TestReferenceCheckerAcceptsTheTowers(t *testing.T) {
	t.Parallel()
	needs.Time(t)
	if err := exec.Command("/usr/bin/python3", "-c", "import onnx").Run(); err != nil {
		needs.Opinion(t, "no Python with onnx (Debian: python3-onnx)")
	}
	dir := t.TempDir()
	args := []string{"../tools/reference/onnxcheck.py"}
	for _, name := range checkpoints {
		if _, err := Import(t.Context(), filepath.Join("testdata", name), ImportOptions{Dir: dir}); err != nil {
			t.Fatal(err)
		}
		args = append(args, filepath.Join(dir, name, visionGraph), filepath.Join(dir, name, textGraph))
	}
	out, err := exec.Command("/usr/bin/python3", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if n := strings.Count(string(out), "\n"); n != 2*len(checkpoints) {
		t.Errorf("%d models checked: want %d", n, 2*len(checkpoints))
	}
	for line := range strings.Lines(string(out)) {
		if !strings.Contains(line, `"opset": {"": 17, "com.microsoft": 1}`) || !strings.Contains(line, `["batch", `) {
			t.Errorf("want ONNX at opset 17 with ONNX Runtime's operators, and a free batch: %.300s", line)
		}
	}
}
