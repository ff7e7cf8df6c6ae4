package experiment

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func load(t *testing.T, yaml string) (*Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "experiment.yaml")
	if err := os.WriteFile(path, []byte(yaml), 0o644); err != nil {
		t.Fatal(err)
	}
	return Load(path)
}

func TestShortestExperimentHasEveryDefault(t *testing.T) {
	t.Parallel()
	c, err := load(t, "data: csv:labels.csv\nencoder: demo\n")
	if err != nil {
		t.Fatal(err)
	}
	if c.Preprocess != "hf" || c.Leakage != "fail" || !slices.Equal(c.Heads, []string{"logistic"}) || c.MaxFailures != "5%" || c.Split.Train != 0.5 || c.Split.Test != 0.5 || c.Curve.Draws != 5 {
		t.Errorf("config %+v", c)
	}
	if !filepath.IsAbs(c.Data.Path) || filepath.Base(c.Data.Path) != "labels.csv" {
		t.Errorf("data at %q: want labels.csv beside the experiment", c.Data.Path)
	}
}

func TestPromptsBringTheProbeThatStartsFromThem(t *testing.T) {
	t.Parallel()
	c, err := load(t, "data: csv:labels.csv\nencoder: demo\nprompts: {effusion: {positive: [an effusion]}}\n")
	if err != nil || !slices.Equal(c.Heads, []string{"linear-probe", "logistic"}) {
		t.Errorf("heads %q, %v: want linear-probe and logistic", c.Heads, err)
	}
}

func TestEverythingWrongIsSaidAtOnce(t *testing.T) {
	t.Parallel()
	_, err := load(t, `
data: csv:labels.csv
split: {train: 0.9, test: 0.9}
leakage: dropp
heads: [linear-prob]
train: {shots: -1}
curve: {shots: [4, 2], draws: -3}
prompts: {effusion: {negative: [nothing]}}
`)
	if err == nil {
		t.Fatal("no error")
	}
	for _, part := range []string{"experiment.yaml", "encoder: missing", "split: train 0.9", `did you mean "drop"`, `did you mean "linear-probe"`, "shots -1", "[4 2]", "draws -3", "effusion: no positive text"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error does not hold %q:\n%v", part, err)
		}
	}
}

func TestHeadsThatNeedPromptsSaySo(t *testing.T) {
	t.Parallel()
	_, err := load(t, "data: csv:labels.csv\nencoder: demo\nheads: [linear-probe, clap]\n")
	if err == nil || !strings.Contains(err.Error(), "head clap starts from zero-shot") || strings.Contains(err.Error(), "head linear-probe") {
		t.Errorf("error %v: want clap named, and linear-probe not", err)
	}
}

func TestMisspeltKeyIsNamedWithItsLine(t *testing.T) {
	t.Parallel()
	_, err := load(t, "data: csv:labels.csv\nencoder: demo\nheadz: [logistic]\n")
	if err == nil || !strings.Contains(err.Error(), "3") || !strings.Contains(err.Error(), "headz") || !strings.Contains(err.Error(), `"heads"`) {
		t.Errorf("error %v: want the line, the key and the one that was meant", err)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte(pairs))
	f.Add([]byte("data: [csv, 1]\nencoder: {}\nprompts: []\nseed: -1\n"))
	f.Add([]byte("a: &a [*a]\n"))
	f.Fuzz(func(t *testing.T, yaml []byte) {
		if len(yaml) > 1<<16 {
			return
		}
		if c, err := load(t, string(yaml)); err == nil && (c.Encoder == "" || c.Data.Path == "" || len(c.Heads) == 0) {
			t.Errorf("accepted %+v", c)
		}
	})
}
