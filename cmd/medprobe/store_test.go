package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/medprobe/medprobe/evaluate"
)

// What docs/cache.md says of vectors that are kept as float16.
func TestHalfTheSizeKeepsTheAUC(t *testing.T) {
	t.Parallel()
	dir, m := phantoms(t), newMachine(t)
	experiment := filepath.Join(dir, "half.yaml")
	if err := os.WriteFile(experiment, []byte(`data: {format: csv, path: labels.csv, labels: [effusion, nodule, pneumothorax]}
encoder: demo
curve: {shots: []}
prompts:
  effusion: {positive: [an effusion], negative: [no effusion]}
  nodule: {positive: [a nodule], negative: [no nodule]}
  pneumothorax: {positive: [a pneumothorax], negative: [no pneumothorax]}
`), 0o644); err != nil {
		t.Fatal(err)
	}
	run := func(store string) evaluate.Report {
		cache := filepath.Join(m.home, store+".db")
		m.must("embed", "csv:"+filepath.Join(dir, "labels.csv"), "--encoder", "demo", "--store", store, "--cache", cache)
		var r evaluate.Report
		if err := json.Unmarshal([]byte(m.must("run", experiment, "--cache", cache, "--out", filepath.Join(m.home, store), "--json")), &r); err != nil {
			t.Fatal(err)
		}
		return r
	}
	full, half := run("f32"), run("f16")
	worst, compared := 0.0, 0
	for i, f := range full.Findings {
		for k, method := range f.Methods {
			worst = max(worst, math.Abs(method.AUC.Point-half.Findings[i].Methods[k].AUC.Point))
			compared++
		}
	}
	if compared < 6 || !(worst < 1e-3) {
		t.Errorf("over %d figures the AUC of f16 differs by up to %v", compared, worst)
	}
	fmt.Fprintf(t.Output(), "f16 against f32: no AUC of %d differs by more than %.1g\n", compared, worst)
}
