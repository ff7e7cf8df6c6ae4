package evaluate

import (
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/medprobe/medprobe/internal/needs"
	"gonum.org/v1/gonum/stat/distuv"
)

var coverage = flag.Int("coverage", 0, "how many worlds of each kind TestCoverageTable draws, to write docs/coverage.md")

// clusters says how a world of patients with several samples is drawn.
type clusters struct {
	with, without int // patients
	// form is "alike" (per samples of every patient), "uneven" (1 to 2·per−1) or
	// "mixed" (per samples, each positive or not by chance).
	form     string
	per      int
	icc, auc float64
}

func (c clusters) String() string {
	return fmt.Sprintf("%d and %d patients, %s, %d samples, ICC %v, AUC %v", c.with, c.without, c.form, c.per, c.icc, c.auc)
}

// draw draws two columns whose noise goes together by one half; the second's
// AUC is less is the first's signal.
func (c clusters) draw(random *rand.Rand, second float64) world {
	var w world
	first := separation(c.auc)
	for p := range c.with + c.without {
		common, own := random.NormFloat64(), [2]float64{random.NormFloat64(), random.NormFloat64()}
		n := c.per
		if c.form == "uneven" {
			n = 1 + random.IntN(2*c.per-1)
		}
		for range n {
			positive := p < c.with
			if c.form == "mixed" {
				positive = random.Float64() < float64(c.with)/float64(c.with+c.without)
			}
			shared := random.NormFloat64()
			noise := func(k int) float64 {
				return math.Sqrt(c.icc/2)*(common+own[k]) + math.Sqrt((1-c.icc)/2)*(shared+random.NormFloat64())
			}
			a, b := noise(0), noise(1)
			if positive {
				a, b = a+first, b+second
			}
			w.labels, w.a, w.b = append(w.labels, positive), append(w.a, a), append(w.b, b)
			w.groups = append(w.groups, strconv.Itoa(p))
		}
	}
	return w
}

// separation is that of two normals with an AUC.
func separation(auc float64) float64 { return math.Sqrt2 * distuv.UnitNormal.Quantile(auc) }

// covered are shares of intervals that hold the truth: of the AUC, of its
// difference from a second column's, and of the AUC if every sample were a unit.
type covered struct{ auc, difference, alone float64 }

// holds is 1 where the interval holds the truth, and 0 elsewhere.
func holds(e Estimate, truth float64) float64 {
	if e.Low <= truth && truth <= e.High {
		return 1
	}
	return 0
}

// held is the share of intervals that held the truth, and where it is to lie.
type held struct{ share, low, high float64 }

// testCoverage draws n worlds of each kind, and few in -short. A share may lie beside
// its bounds by what so many worlds differ by: 3.3 standard errors of a share like
// level, for there are many bounds.
func testCoverage[K fmt.Stringer](t *testing.T, n, few int, level float64, kinds []K, draw func(t *testing.T, kind K, n int) map[string]held) {
	t.Parallel()
	if testing.Short() {
		n = few
	}
	slack := 3.3 * math.Sqrt(level*(1-level)/float64(n))
	for _, kind := range kinds {
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			got := draw(t, kind, n)
			t.Logf("%+v", got)
			for name, h := range got {
				if h.share < h.low-slack || h.share > h.high+slack {
					t.Errorf("%s: coverage %.4f of %d, want %v to %v within %.4f", name, h.share, n, h.low, h.high, slack)
				}
			}
		})
	}
}

// covers draws n worlds; the second column's AUC is less by gap.
func (c clusters) covers(t *testing.T, n int, gap float64) covered {
	random := rand.New(rand.NewPCG(uint64(c.with*1000+c.without), uint64(c.per*1000)+uint64(10*c.icc)+uint64(len(c.form))))
	second := separation(c.auc - gap)
	var inside covered
	for range n {
		w := c.draw(random, second)
		r, err := Compare(w.a, w.b, w.labels, w.groups)
		alone, err2 := AUC(w.a, w.labels, nil)
		if err := errors.Join(err, err2); err != nil {
			t.Error(err)
			return inside
		}
		inside.auc += holds(r.A, c.auc) / float64(n)
		inside.difference += holds(r.Difference, gap) / float64(n)
		inside.alone += holds(alone, c.auc) / float64(n)
	}
	return inside
}

// Intervals of a clustered AUC and of a difference cover 94 to 96 % from ManyUnits patients of
// each class on; with fewer no less than 94 % and 92 %.
func TestClusteredCoverage(t *testing.T) {
	testCoverage(t, 2000, 300, 0.95, []clusters{
		{30, 30, "alike", 5, 0, 0.8}, {30, 30, "alike", 5, 0.7, 0.9}, {30, 30, "uneven", 5, 0.7, 0.8}, {30, 30, "mixed", 2, 0.3, 0.9},
		{30, 30, "mixed", 5, 0.7, 0.6}, {30, 150, "uneven", 2, 0.7, 0.8}, {100, 100, "alike", 5, 0.5, 0.95}, {100, 40, "mixed", 5, 0.7, 0.7},
		{20, 20, "alike", 5, 0.7, 0.9}, {10, 10, "uneven", 5, 0.7, 0.8}, {10, 60, "alike", 5, 0.7, 0.8}, {20, 20, "uneven", 5, 0.7, 0.95},
		{12, 100, "uneven", 5, 0.3, 0.9}, {10, 60, "mixed", 2, 0.3, 0.95}, {15, 15, "alike", 2, 0, 0.98},
	}, func(t *testing.T, c clusters, n int) map[string]held {
		got := c.covers(t, n, 0.05)
		if min(c.with, c.without) < ManyUnits { // few, and AUCs near 1
			return map[string]held{"AUC": {got.auc, 0.94, 1}, "difference": {got.difference, 0.92, 1}}
		}
		return map[string]held{"AUC": {got.auc, 0.94, 0.96}, "difference": {got.difference, 0.94, 0.96}}
	})
}

// TestCoverageTable draws many worlds of every kind and writes what it saw as a
// page of the documentation.
func TestCoverageTable(t *testing.T) {
	needs.Asked(t, *coverage > 0, "make bench-coverage")
	var b strings.Builder
	fmt.Fprintf(&b, `# How often the intervals hold the truth

Written by `+"`make bench-coverage`"+`; do not edit. A world is some patients with a finding and some without, with samples of each that
are alike by an intraclass correlation (ICC). %d worlds were drawn of each kind: every patient with 2 or with 5 samples, with 1 to 9,
or with 2 samples that have the finding or not by chance; AUC .6, .8, .9 and .95 against a second score of .05 less.
The table has the least and the greatest share, over these sixteen kinds, of 95 %% intervals that held the truth. Chance alone moves one
share by ±%.1f points in 95 of 100 cases, and so the least and greatest of sixteen by a little more.

| patients with | without | ICC | AUC | difference of two AUCs | AUC, every sample taken for a patient |
|---:|---:|---:|---|---|---|
`, *coverage, 196*math.Sqrt(0.95*0.05/float64(*coverage)))
	for _, size := range [][2]int{{30, 30}, {30, 150}, {100, 100}, {20, 20}, {10, 10}} {
		for _, icc := range []float64{0, 0.7} {
			b.WriteString(coverageRow(t, size, icc) + "\n")
		}
	}
	fmt.Fprintf(&b, `
From %d patients of each class on, intervals are made to hold the truth in 94 to 96 %% of cases. With fewer, that of an AUC is the wider
of two, to be safe, and a warning says so; that of a difference has Student's t of the patients of the rarer class, which falls short
by two or three points where both AUCs are near 1. An AUC so near 1 that (1 − AUC) × patients is below 1 has the wider interval as
well, which lifts the greatest shares.
`, ManyUnits)
	page := filepath.Join("..", "docs", "coverage.md")
	_, rest, _ := strings.Cut(readText(t, page), secondPart)
	if err := os.WriteFile(page, []byte(b.String()+secondPart+rest), 0o644); err != nil {
		t.Fatal(err)
	}
}

// secondPart begins the part of the page that TestCoverageOfMeans writes.
const secondPart = "\n## Average precision, and means over findings\n"

func readText(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestCoverageOfMeans writes the second part of the page.
func TestCoverageOfMeans(t *testing.T) {
	needs.Asked(t, *coverage > 0, "make bench-coverage")
	var b strings.Builder
	fmt.Fprintf(&b, `
%d worlds of each kind, so that chance alone moves one share by ±%.1f points in 95 of 100 cases. For average precision: patients with one
sample, or with two that are alike by an ICC of .7; AUC .6, .8, .95, .98 and .995; all as it should be, or 2 %% of the patients without
the finding scoring as those with it do, as after a wrong label. Beside it are percentiles of the same 300 resamples.

| patients with | without | average precision | percentiles |
|---:|---:|---|---|
`, *coverage, 196*math.Sqrt(0.95*0.05/float64(*coverage)))
	sizes := [][2]int{{100, 100}, {30, 150}, {30, 30}, {10, 100}, {10, 10}, {5, 5}}
	for _, size := range sizes {
		var kinds []ranking
		for _, auc := range []float64{0.6, 0.8, 0.95, 0.98, 0.995} {
			for _, wrong := range []float64{0, 0.02} {
				kinds = append(kinds, ranking{size[0], size[1], 1, 0, auc, wrong}, ranking{size[0], size[1], 2, 0.7, auc, wrong})
			}
		}
		ours, percentile := make([]float64, len(kinds)), make([]float64, len(kinds))
		severally(len(kinds), func(k int) { ours[k], percentile[k] = kinds[k].covers(t, *coverage) })
		fmt.Fprintf(&b, "| %d | %d | %s | %s |\n", size[0], size[1], span(ours), span(percentile))
	}
	fmt.Fprintf(&b, `
For means over findings: three findings of AUC .7, .8 and .95, or of .95 each; patients with one sample, with two, or with 1 to 5,
alike by an ICC of 0 or .7. Half of what a patient's samples have in common is so for all findings. The difference is of two macro
AUCs, .05 apart. Micro AUC is wider than need be: which patients have a finding is taken for chance, and is fixed here.

| patients with | without | macro AUC | weighted | micro | difference of macro AUCs |
|---:|---:|---|---|---|---|
`)
	for _, size := range sizes[:5] {
		var kinds []labelled
		for _, aucs := range [][]float64{{0.7, 0.8, 0.95}, {0.95, 0.95, 0.95}} {
			for _, icc := range []float64{0, 0.7} {
				kinds = append(kinds, labelled{size[0], size[1], 2, false, icc, aucs}, labelled{size[0], size[1], 3, true, icc, aucs})
			}
			kinds = append(kinds, labelled{size[0], size[1], 1, false, 0, aucs})
		}
		var shares [4][]float64
		for k := range shares {
			shares[k] = make([]float64, len(kinds))
		}
		severally(len(kinds), func(k int) {
			got := kinds[k].covers(t, *coverage, 0.05)
			shares[0][k], shares[1][k], shares[2][k], shares[3][k] = got.macro, got.weighted, got.micro, got.difference
		})
		fmt.Fprintf(&b, "| %d | %d | %s | %s | %s | %s |\n", size[0], size[1], span(shares[0]), span(shares[1]), span(shares[2]), span(shares[3]))
	}
	page := filepath.Join("..", "docs", "coverage.md")
	first, _, _ := strings.Cut(readText(t, page), secondPart)
	if err := os.WriteFile(page, []byte(first+secondPart+b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// severally does work for each of n, as many at a time as there are processors.
func severally(n int, work func(k int)) {
	var all sync.WaitGroup
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	for k := range n {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			work(k)
		})
	}
	all.Wait()
}

// span is the least and the greatest of shares.
func span(shares []float64) string {
	return fmt.Sprintf("%.1f–%.1f %%", 100*slices.Min(shares), 100*slices.Max(shares))
}

// coverageRow draws the sixteen kinds of one size and ICC, several at a time.
func coverageRow(t *testing.T, size [2]int, icc float64) string {
	var kinds []clusters
	for _, auc := range []float64{0.6, 0.8, 0.9, 0.95} {
		for _, form := range []struct {
			name string
			per  int
		}{{"alike", 2}, {"alike", 5}, {"uneven", 5}, {"mixed", 2}} {
			kinds = append(kinds, clusters{size[0], size[1], form.name, form.per, icc, auc})
		}
	}
	var shares [3][]float64
	for k := range shares {
		shares[k] = make([]float64, len(kinds))
	}
	severally(len(kinds), func(k int) {
		got := kinds[k].covers(t, *coverage, 0.05)
		shares[0][k], shares[1][k], shares[2][k] = got.auc, got.difference, got.alone
	})
	return fmt.Sprintf("| %d | %d | %v | %s | %s | %s |", size[0], size[1], icc, span(shares[0]), span(shares[1]), span(shares[2]))
}
