package experiment

import (
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/medprobe/medprobe/datasets"
	"github.com/medprobe/medprobe/datasets/phantom"
	"github.com/medprobe/medprobe/embedcache"
	"github.com/medprobe/medprobe/encoder"
	"github.com/medprobe/medprobe/evaluate"
	"github.com/medprobe/medprobe/examples"
	"github.com/medprobe/medprobe/internal/needs"
	"github.com/medprobe/medprobe/internal/testworld"
	"github.com/medprobe/medprobe/trainer"
	"golang.org/x/sync/errgroup"
	"gonum.org/v1/gonum/blas/blas32"
)

var (
	headDraws = flag.Int("heads", 0, "how many draws TestHeadsQuality takes at each number of shots")
	headKinds = flag.String("only", "", "the kinds of heads, by commas, whose rows TestHeadsQuality writes anew, with the draws of the others; default: all")
)

// trial is one thing to learn, and what to judge it by.
type trial struct {
	x      blas32.General
	y      trainer.Targets
	groups []string
	prior  *trainer.Prior
	test   blas32.General
	// labels of the test rows, by class.
	labels [][]int8
}

// macroAUC returns the mean AUC of a kind of head over the classes of trials.
func macroAUC(t *testing.T, trials []trial, kind string, by trainer.Multiplier) (float64, error) {
	sum, n := 0.0, 0
	for _, one := range trials {
		var head *trainer.Head
		var err error
		if kind == zeroShot {
			head, err = trainer.ZeroShot(*one.prior, one.y.Classes, one.y.Exclusive, trainer.Space{})
		} else {
			head, err = trainer.Fit(t.Context(), one.x, one.y, one.groups, trainer.Options{Head: kind, Prior: one.prior, Multiplier: by})
		}
		if err != nil {
			return 0, err
		}
		odds, err := head.LogOdds(one.test)
		if err != nil {
			return 0, err
		}
		for c := range one.y.Classes {
			var scores []float64
			var labels []bool
			for i, label := range one.labels[c] {
				if label != trainer.Unknown {
					scores, labels = append(scores, odds.Data[i*odds.Stride+c]), append(labels, label == trainer.Positive)
				}
			}
			auc, err := evaluate.AUC(scores, labels, nil)
			if err != nil {
				return 0, err
			}
			sum, n = sum+auc.Point, n+1
		}
	}
	return sum / float64(n), nil
}

// source draws what a number of shots has to learn; none where it has too few. 0
// shots are all samples.
type source struct {
	name string
	draw func(shots, seed int) ([]trial, error)
}

// generated is a family of worlds: another for each seed.
func generated(name string, o testworld.Options) source {
	return source{name, func(shots, seed int) ([]trial, error) {
		w := testworld.New(o, uint64(9000+seed))
		if shots == 0 {
			shots = 200
		}
		support, test := w.Draw(shots, shots, "s", uint64(seed)), w.Draw(1000, 1000, "t", uint64(seed+500))
		one := trial{x: support.X, groups: support.Groups, prior: &trainer.Prior{T: w.T, Scale: w.Scale}, test: test.X, labels: [][]int8{test.Labels}}
		one.y = trainer.Targets{Classes: []string{"finding"}}
		for _, label := range support.Labels {
			one.y.Values = append(one.y.Values, []int8{label})
		}
		return []trial{one}, nil
	}}
}

// embedded is an experiment's data, seen by the demo encoder.
func embedded(t *testing.T, name string, c *Config) source {
	t.Helper()
	l := demoLab(t, c)
	return source{name, func(shots, seed int) ([]trial, error) {
		var trials []trial
		for _, set := range l.classSets() {
			rows, err := l.draw(set, shots, seed)
			if err != nil {
				return nil, err
			}
			one := trial{x: gather(l.x, rows), prior: l.priorOf(set), test: l.testX}
			one.y, one.groups = Targets(l.data, set, rows)
			truth, _ := Targets(l.data, set, l.test)
			for c := range set {
				labels := make([]int8, len(l.test))
				for i, row := range truth.Values {
					labels[i] = row[c]
				}
				one.labels = append(one.labels, labels)
			}
			trials = append(trials, one)
		}
		return trials, nil
	}}
}

// demoLab embeds an experiment's data with the demo encoder.
func demoLab(t *testing.T, c *Config) *lab {
	t.Helper()
	dir := t.TempDir()
	if err := examples.WriteDemoEncoder(dir); err != nil {
		t.Fatal(err)
	}
	store := t.TempDir()
	if _, err := encoder.Import(t.Context(), dir, encoder.ImportOptions{Dir: store, Name: examples.DemoEncoder}); err != nil {
		t.Fatal(err)
	}
	e, err := encoder.Open(store, examples.DemoEncoder, encoder.Options{})
	if err != nil {
		t.Fatal(err)
	}
	cache, err := embedcache.Open(t.Context(), filepath.Join(dir, "cache.db"))
	if err != nil {
		t.Fatal(err)
	}
	d, err := datasets.Open(t.Context(), c.Data)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close(); cache.Close(); d.Close() })
	w := newWork(c, Options{Encoder: e, Cache: cache}, d)
	if w.plan, err = newPlan(c, d); err != nil {
		t.Fatal(err)
	}
	if len(c.Prompts) > 0 {
		if w.prior, _, err = newPrior(t.Context(), e, d.Classes, d.Exclusive(), c.Prompts, ""); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.embed(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := w.closeLeaks(t.Context()); err != nil {
		t.Fatal(err)
	}
	l, err := w.newLab(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestHeadsQuality writes testdata/heads/README.md: for each kind of head and
// number of shots the mean AUC, how many runs are at or above zero-shot − .002,
// and how far the worst lies below.
func TestHeadsQuality(t *testing.T) {
	needs.Asked(t, *headDraws > 0, "make bench-heads")
	if _, _, err := encoder.FindRuntime(""); err != nil {
		t.Fatal(err)
	}
	by, err := encoder.NewMultiplier()
	if err != nil {
		t.Fatal(err)
	}
	defer by.Close()
	dir := t.TempDir()
	if err := phantom.WriteDataset(t.Context(), filepath.Join(dir, "phantoms"), phantom.Options{Seed: 2026}); err != nil {
		t.Fatal(err)
	}
	text, err := examples.DemoExperiment()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "experiment.yaml"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	demo, err := Load(filepath.Join(dir, "experiment.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	sources := []source{
		embedded(t, "chest phantoms, 6 findings", demo),
		generated("generated, prompts that know something (cosine .3)", testworld.Options{Knowledge: 0.3}),
		generated("generated, prompts that know little (cosine .1), two vectors of each patient", testworld.Options{Knowledge: 0.1, PerPatient: 2, Likeness: 0.5, Signal: 2.5}),
	}
	cells, err := Load(filepath.Join("..", "examples", "blood-cells", "experiment.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(cells.Data.Path); err == nil {
		sources = slices.Insert(sources, 1, embedded(t, "blood cells, 3 classes", cells))
	} else {
		t.Logf("no photographs of blood cells at %s: left out", cells.Data.Path)
	}
	var out strings.Builder
	fmt.Fprintf(&out, "# How good the heads are\n\nMade by `make bench-heads`: %d draws at each number of shots (of all samples of a data set, one). Each cell: mean\nAUC over classes and draws; share of the draws at or above zero-shot − .002; how far the worst draw lies below zero-shot.\n", *headDraws)
	kinds := append([]string{zeroShot}, trainer.Kinds()...)
	if *headKinds != "" {
		kinds = append([]string{zeroShot}, strings.Split(*headKinds, ",")...)
	}
	for _, s := range sources {
		fmt.Fprintf(&out, "\n## %s\n\n%s", s.name, qualityTable(t, s, kinds, by))
	}
	path, tables := filepath.Join("testdata", "heads", "README.md"), out.String()
	if *headKinds != "" {
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if tables, err = withRows(string(before), tables); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(tables), 0o666); err != nil {
		t.Fatal(err)
	}
}

// withRows returns the tables with the rows that others have: in their place, or at a
// table's end if they are new. Both must be of as many draws, of the same data.
func withRows(tables, others string) (string, error) {
	ours, theirs := sections(tables), sections(others)
	if len(ours) != len(theirs) {
		return "", fmt.Errorf("%d sections and %d new ones: take the same data", len(ours), len(theirs))
	}
	var out strings.Builder
	for k, lines := range ours {
		if lines[0] != theirs[k][0] {
			return "", fmt.Errorf("%q, and %q in the new tables: take as many draws as the others have, of the same data", lines[0], theirs[k][0])
		}
		for _, row := range theirs[k] {
			name, _, isRow := strings.Cut(row, " | ")
			if !isRow {
				continue
			}
			if at := slices.IndexFunc(lines, func(line string) bool { return strings.HasPrefix(line, name+" | ") }); at >= 0 {
				lines[at] = row
			} else {
				end := slices.IndexFunc(lines, func(line string) bool { return strings.HasPrefix(line, "|") })
				for end < len(lines) && strings.HasPrefix(lines[end], "|") {
					end++
				}
				lines = slices.Insert(lines, end, row)
			}
		}
		out.WriteString(strings.Join(lines, ""))
	}
	return out.String(), nil
}

// sections divides tables into lines: those before the first, which end with how many
// draws there were, and those of each.
func sections(tables string) (out [][]string) {
	for _, line := range strings.SplitAfter(tables, "\n") {
		if len(out) == 0 || strings.HasPrefix(line, "#") || strings.HasPrefix(line, "Made by") {
			out = append(out, nil)
		}
		out[len(out)-1] = append(out[len(out)-1], line)
	}
	return out
}

// Rows of other heads take the place of older ones or follow the last, and tables of
// other draws or data are refused.
func TestRowsOfHeads(t *testing.T) {
	table := func(draws, name, rows string) string {
		return "# How good\n\nMade by it: " + draws + " draws\n\n## " + name + "\n\n| head | 1 |\n|---|---|\n" + rows + "\n## last\n\n| head | 1 |\n|---|---|\n" + rows
	}
	before, after := table("20", "worlds", "| a | 1 |\n| b | 2 |\n"), table("20", "worlds", "| b | 3 |\n| c | 4 |\n")
	got, err := withRows(before, after)
	if want := table("20", "worlds", "| a | 1 |\n| b | 3 |\n| c | 4 |\n"); err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	for _, other := range []string{table("5", "worlds", "| b | 3 |\n"), table("20", "cells", "| b | 3 |\n"), after + "\n## more\n"} {
		if got, err := withRows(before, other); err == nil {
			t.Errorf("%q and %q make %q", before, other, got)
		}
	}
}

func qualityTable(t *testing.T, s source, kinds []string, by trainer.Multiplier) string {
	shots := []int{1, 2, 4, 8, 16, 32, 64, 0}
	head, rows := "| head |", make([]strings.Builder, len(kinds))
	for k, kind := range kinds {
		fmt.Fprintf(&rows[k], "| %s |", kind)
	}
	for _, n := range shots {
		aucs := make([][]float64, len(kinds))
		var mu sync.Mutex
		var group errgroup.Group
		group.SetLimit(2)
		for seed := range *headDraws {
			trials, err := s.draw(n, seed)
			if err != nil {
				t.Logf("%s: %d shots: %v", s.name, n, err)
				break
			}
			if n == 0 && seed > 0 && !strings.HasPrefix(s.name, "generated") {
				break // the same samples again
			}
			group.Go(func() error {
				one := make([]float64, len(kinds))
				for k, kind := range kinds {
					var err error
					if one[k], err = macroAUC(t, trials, kind, by); err != nil {
						return fmt.Errorf("%s at %d shots: %w", kind, n, err)
					}
				}
				mu.Lock()
				defer mu.Unlock()
				for k := range kinds {
					aucs[k] = append(aucs[k], one[k]-one[0], one[k])
				}
				return nil
			})
		}
		if err := group.Wait(); err != nil {
			t.Fatal(err)
		}
		if len(aucs[0]) == 0 {
			continue
		}
		if n == 0 {
			head += " all |"
		} else {
			head += fmt.Sprintf(" %d |", n)
		}
		for k := range kinds {
			sum, above, worst, draws := 0.0, 0, math.Inf(1), len(aucs[k])/2
			for i := range draws {
				d := aucs[k][2*i]
				sum += aucs[k][2*i+1] / float64(draws)
				worst = min(worst, d)
				if d >= -0.002 {
					above++
				}
			}
			if k == 0 {
				fmt.Fprintf(&rows[k], " %.3f |", sum)
			} else {
				fmt.Fprintf(&rows[k], " %.3f, %.0f %%, %.3f |", sum, 100*float64(above)/float64(draws), min(0, worst))
			}
		}
		t.Logf("%s: %d shots done", s.name, n)
	}
	table := head + "\n|" + strings.Repeat("---|", strings.Count(head, "|")-1) + "\n"
	for k := range rows {
		table += rows[k].String() + "\n"
	}
	return table
}
