package experiment

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/medprobe/medprobe/datasets"
	"github.com/medprobe/medprobe/encoder"
	"github.com/medprobe/medprobe/evaluate"
	"github.com/medprobe/medprobe/internal/needs"
	"github.com/medprobe/medprobe/trainer"
	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
)

var suggestSeeds = flag.Int("suggest", 0, "from how many starts TestSuggestionsOnImages goes, to write its table into docs/suggest.md")

// TestSuggestionsOnImages goes on from sixteen random labels with twice sixteen
// suggested or random ones, on photographs of blood cells and on radiographs, one
// class against the others, and writes the table of docs/suggest.md.
func TestSuggestionsOnImages(t *testing.T) {
	needs.Asked(t, *suggestSeeds > 0, "make bench-suggest")
	if _, _, err := encoder.FindRuntime(""); err != nil {
		t.Fatal(err)
	}
	table := "| images | class | positive | AUC at random | suggested, with a head | without | more positives found |\n|---|---|---|---|---|---|---|\n"
	cells, err := Load(filepath.Join("..", "examples", "blood-cells", "experiment.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	cells.Data.Path = needs.Data(t, "blood-cells")
	table += suggestRows(t, "blood cells", demoLab(t, cells))
	chests := &Config{Data: datasets.Spec{Format: "medmnist", Path: filepath.Join(needs.Data(t, "pneumoniamnist"), "pneumoniamnist.npz")}, Encoder: "demo"}
	chests.setDefaults()
	table += suggestRows(t, "radiographs", demoLab(t, chests))
	page := filepath.Join("..", "docs", "suggest.md")
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	old := regexp.MustCompile(`(?m)^\| images \| class (?:.*\n)+?\n`)
	if !old.Match(text) {
		t.Fatal("docs/suggest.md holds no such table")
	}
	if err := os.WriteFile(page, old.ReplaceAllLiteral(text, []byte(table+"\n")), 0o644); err != nil {
		t.Fatal(err)
	}
}

// suggestRows has a row for each class of the lab.
func suggestRows(t *testing.T, name string, l *lab) string {
	var rows strings.Builder
	x, err := rowsOf(gather(l.x, l.train), 1)
	if err != nil {
		t.Fatal(err)
	}
	pool := make([][]float32, len(x))
	patients := make([]string, len(x))
	for k, i := range l.train {
		pool[k], patients[k] = x[k][0], l.data.Samples[i].Group()
	}
	classes := l.data.Classes
	if l.data.Exclusive() && len(classes) == 2 {
		classes = classes[1:]
	}
	for c := range classes {
		c += len(l.data.Classes) - len(classes)
		labels := make([]bool, len(pool))
		positives := 0
		for k, i := range l.train {
			labels[k] = target(l.data.Samples[i].Labels[c]) == trainer.Positive
			if labels[k] {
				positives++
			}
		}
		test := l.finding(c)
		auc := func(chosen []int) float64 {
			odds, err := fitOn(t, pool, labels, patients, chosen).LogOdds(l.testX)
			if err != nil {
				t.Fatal(err)
			}
			e, err := evaluate.AUC(pick(column(odds, 0), test.rows), test.labels, test.groups)
			if err != nil {
				t.Fatal(err)
			}
			return e.Point
		}
		var chance, byHead, byDiversity, found []float64
		for seed := range *suggestSeeds {
			random := rand.New(rand.NewPCG(uint64(seed), 7))
			start := startWith(random, labels, 16)
			at := slices.Concat(start, others(random, len(pool), start, 32))
			suggested, diverse := slices.Clone(start), slices.Clone(start)
			for range 2 {
				suggested = append(suggested, suggestNext(t, pool, labels, patients, suggested, true, uint64(seed))...)
				diverse = append(diverse, suggestNext(t, pool, labels, patients, diverse, false, uint64(seed))...)
			}
			base := auc(at)
			chance, byHead, byDiversity = append(chance, base), append(byHead, auc(suggested)-base), append(byDiversity, auc(diverse)-base)
			found = append(found, float64(count(labels, suggested)-count(labels, at)))
		}
		fmt.Fprintf(&rows, "| %s, %d to choose from | %s | %.0f %% | %.3f | %s | %s | %+.1f of 32 |\n", name, len(pool), l.data.Classes[c],
			100*float64(positives)/float64(len(pool)), stat.Mean(chance, nil), overSeeds(byHead), overSeeds(byDiversity), stat.Mean(found, nil))
	}
	return rows.String()
}

// suggestNext names sixteen more.
func suggestNext(t *testing.T, x [][]float32, labels []bool, patients []string, rows []int, withHead bool, seed uint64) (next []int) {
	t.Helper()
	// What has a label is no candidate.
	var candidates []int
	var left [][]float32
	var leftPatients []string
	taught := map[string]bool{}
	for i := range x {
		if slices.Contains(rows, i) {
			taught[patients[i]] = true
			continue
		}
		candidates, left, leftPatients = append(candidates, i), append(left, x[i]), append(leftPatients, patients[i])
	}
	var u []float64
	if withHead {
		head := fitOn(t, x, labels, patients, rows)
		var err error
		if u, err = entropies(probabilities(t, head, left), head, ""); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range choose(left, u, leftPatients, taught, 16, seed) {
		next = append(next, candidates[c.Index])
	}
	return next
}

// others draws k rows of n that are not among some.
func others(random *rand.Rand, n int, some []int, k int) (drawn []int) {
	for _, i := range random.Perm(n) {
		if len(drawn) < k && !slices.Contains(some, i) {
			drawn = append(drawn, i)
		}
	}
	return drawn
}

// overSeeds is a mean with its 95 % interval over seeds.
func overSeeds(values []float64) string {
	mean, sd := stat.MeanStdDev(values, nil)
	n := float64(len(values))
	reach := distuv.StudentsT{Sigma: 1, Nu: n - 1}.Quantile(0.975) * sd / math.Sqrt(n)
	text := fmt.Sprintf("%+.3f (%+.3f to %+.3f)", mean, mean-reach, mean+reach)
	return strings.NewReplacer("+0.000", "0.000", "-0.000", "0.000", "-", "−").Replace(text)
}
