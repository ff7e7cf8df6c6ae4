package main

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/pprof"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/medprobe/medprobe/datasets/phantom"
	"github.com/medprobe/medprobe/internal/turns"
)

// profiled is medprobe, but it writes a profile of its processor time to the file
// MEDPROBE_PROFILE.
func profiled() {
	f, err := os.Create(os.Getenv("MEDPROBE_PROFILE"))
	if err == nil {
		err = pprof.StartCPUProfile(f)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(exitError)
	}
	code := run(os.Args[1:], os.Stdout, os.Stderr)
	pprof.StopCPUProfile()
	if err := f.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = exitError
	}
	os.Exit(code)
}

const sessionExperiment = `name: session
data: {format: csv, path: labels.csv, patient: patient, labels: [effusion, pneumothorax]}
encoder: demo
prompts:
  pneumothorax: {positive: ["pneumothorax"], negative: ["no pneumothorax"]}
  effusion: {positive: ["pleural effusion"], negative: ["no pleural effusion"]}
train: {shots: 16}
curve: {shots: [1, 2, 4, 8, 16, 32], draws: 5}
`

// session is the command lines of a first day, one after the other in a folder
// that holds drawn radiographs of 400 patients. What is between tells what the
// line finds that ran before it.
var session = []struct{ note, line string }{
	{"new cache", "demo --out demo"},
	{"all in the cache", "demo --out demo-again"},
	{"", "dataset inspect csv:labels.csv --contents"},
	{"new images", "embed csv:labels.csv --encoder demo"},
	{"unchanged images", "embed csv:labels.csv --encoder demo"},
	{"all in the cache", "run experiment.yaml --out run"},
	{"another seed", "run experiment.yaml --out run2 --seed 1"},
	{"", "report run --figures figures"},
	{"", "search --encoder demo --text effusion --dataset csv:labels.csv --top 10 --html page.html"},
	{"", "suggest csv:open.csv --encoder demo --head run/heads/logistic.safetensors --k 10 --out next.csv"},
	{"", "gate --baseline run --candidate run2 --margin 0.5"},
	{"", "registry add cxr --run run --head logistic"},
	{"", "registry export cxr@1 --format onnx --out head.onnx"},
	{"", "registry export cxr@1 --format onnx-e2e --out e2e"},
	{"", "registry verify"},
	{"", "drift registry:cxr@1 --dataset csv:labels.csv"},
	{"", "cache check"},
}

// TestSessionSpeed notes how long each command of a session takes, and what it
// does meanwhile.
func TestSessionSpeed(t *testing.T) {
	rounds := turns.Rounds(t)
	lib := library(t)
	seconds := make([][]float64, len(session))
	work := make([]map[string]time.Duration, len(session))
	for range rounds {
		dir, home := t.TempDir(), t.TempDir()
		if err := phantom.WriteDataset(t.Context(), dir, phantom.Options{Seed: 7, Train: 200, Test: 200}); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "experiment.yaml"), []byte(sessionExperiment), 0o600); err != nil {
			t.Fatal(err)
		}
		unlabel(t, dir)
		for i, s := range session {
			profile := filepath.Join(home, "profile")
			cmd := exec.CommandContext(t.Context(), "medprobe-profiled", strings.Fields(s.line)...)
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), "HOME="+home, "XDG_CACHE_HOME="+home, "XDG_CONFIG_HOME="+home, "MEDPROBE_CACHE=", "MEDPROBE_ENCODERS=",
				"MEDPROBE_REGISTRY=", "MEDPROBE_ORT_LIB="+lib, "MEDPROBE_PROFILE="+profile)
			start := time.Now()
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("medprobe %s: %v\n%s", s.line, err, out)
			}
			seconds[i] = append(seconds[i], time.Since(start).Seconds())
			spent, err := subjects(t, profile)
			if err != nil {
				t.Fatal(err)
			}
			if work[i] == nil {
				work[i] = map[string]time.Duration{}
			}
			for subject, d := range spent {
				work[i][subject] += d
			}
		}
	}
	for i, s := range session {
		name := "`medprobe " + s.line + "`"
		if s.note != "" {
			name += ", " + s.note
		}
		turns.Note(t, turns.Line{Work: name, Unit: "s", Ours: seconds[i], Remark: shares(work[i])})
	}
}

// unlabel writes open.csv: labels.csv with every second training image unlabelled.
func unlabel(t *testing.T, dir string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "labels.csv"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(text), "\n")
	for i := 1; i < len(lines); i += 2 {
		if cells := strings.Split(lines[i], ","); len(cells) > 3 && cells[2] == "train" {
			lines[i] = strings.Join(cells[:3], ",") + strings.Repeat(",", len(cells)-3) + "\n"
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "open.csv"), []byte(strings.Join(lines, "")), 0o600); err != nil {
		t.Fatal(err)
	}
}

// kinds tell by the innermost function that matches what a stack is about.
var kinds = []struct {
	subject string
	names   *regexp.Regexp
}{
	{"SQLite", regexp.MustCompile(`go-sqlite3|database/sql`)},
	{"ONNX Runtime", regexp.MustCompile(`onnxruntime_go|_ExternalCode|/encoder\.`)},
	{"pixels: decode, resize, draw", regexp.MustCompile(`internal/raster|^image/|x/image|compress/|datasets/phantom`)},
	{"digests", regexp.MustCompile(`crypto/sha256|sha256\.`)},
	{"training", regexp.MustCompile(`medprobe/trainer\.|gonum/blas|gonum/lapack`)},
	{"figures and intervals", regexp.MustCompile(`medprobe/evaluate\.`)},
	{"pages and plots", regexp.MustCompile(`medprobe/report\.|gonum.org/v1/plot|html/template|text/template`)},
	{"JSON and tables", regexp.MustCompile(`encoding/json|parquet|encoding/csv|texttab`)},
	{"vectors", regexp.MustCompile(`medprobe/embedcache\.|internal/(vec|float16|near)`)},
	{"memory management", regexp.MustCompile(`gcBgMarkWorker|bgsweep|bgscavenge|mallocgc`)},
	{"start of the program", regexp.MustCompile(`runtime\.doInit|cobra`)},
}

// subjects adds up a profile's samples by what they are about.
func subjects(t *testing.T, profile string) (map[string]time.Duration, error) {
	t.Helper()
	var errs bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "go", "tool", "pprof", "-traces", profile)
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go tool pprof: %w: %s", err, &errs)
	}
	spent := map[string]time.Duration{}
	for _, stack := range strings.Split(string(out), "-----------+")[1:] {
		_, stack, _ = strings.Cut(stack, "\n")
		fields := strings.Fields(stack)
		if len(fields) < 2 {
			continue
		}
		d, err := time.ParseDuration(fields[0])
		if err != nil {
			return nil, fmt.Errorf("go tool pprof said %q: %w", fields[0], err)
		}
		spent[subjectOf(strings.Split(strings.TrimSpace(stack), "\n"))] += d
	}
	return spent, nil
}

// subjectOf names what a stack is about, the innermost function first.
func subjectOf(stack []string) string {
	for _, frame := range stack {
		name := frame
		if fields := strings.Fields(frame); len(fields) > 0 {
			name = fields[len(fields)-1] // before it, in the first line, is the time
		}
		for _, k := range kinds {
			if k.names.MatchString(name) {
				return k.subject
			}
		}
	}
	return "all else"
}

// shares writes what took a twentieth and more, the greatest first.
func shares(spent map[string]time.Duration) string {
	total := time.Duration(0)
	for _, d := range spent {
		total += d
	}
	var parts []string
	for _, subject := range slices.SortedFunc(maps.Keys(spent), func(a, b string) int { return cmp.Or(cmp.Compare(spent[b], spent[a]), cmp.Compare(a, b)) }) {
		if share := float64(spent[subject]) / float64(total); share >= 0.05 {
			parts = append(parts, fmt.Sprintf("%s %.0f %%", subject, 100*share))
		}
	}
	return strings.Join(parts, ", ")
}
