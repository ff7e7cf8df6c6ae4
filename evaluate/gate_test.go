package evaluate

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/medprobe/medprobe/internal/needs"
)

var gateRuns = flag.Int("gate", 0, "simulate the gate so many times per row; make bench-gate does")

// gateWorld draws two heads' scores for one label: images of patients, each head
// with a true AUC of Φ(d/√2), correlated between the heads and within a patient.
type gateWorld struct {
	images, perPatient int
	prevalence         float64
	auc, drop          float64
	between, within    float64 // correlations
}

func (w gateWorld) draw(random *rand.Rand) Matched {
	m := Matched{Label: "effusion"}
	distance := func(auc float64) float64 { return math.Sqrt2 * quantile(2*auc-1) }
	baseline, candidate := distance(w.auc), distance(w.auc-w.drop)
	shared, own := math.Sqrt(w.between), math.Sqrt(1-w.between)
	patient, image := math.Sqrt(w.within), math.Sqrt(1-w.within)
	noise := func(of, alone float64) float64 { return patient*of + image*alone }
	for p := range w.images / w.perPatient {
		positive := random.Float64() < w.prevalence
		both, a, b := random.NormFloat64(), random.NormFloat64(), random.NormFloat64()
		for range w.perPatient {
			common := shared * noise(both, random.NormFloat64())
			x := common + own*noise(a, random.NormFloat64())
			y := common + own*noise(b, random.NormFloat64())
			if positive {
				x, y = x+baseline, y+candidate
			}
			m.Baseline, m.Candidate = append(m.Baseline, x), append(m.Candidate, y)
			m.Truth, m.Groups = append(m.Truth, positive), append(m.Groups, fmt.Sprint(p))
		}
	}
	return m
}

// rates counts how often a gate fails, passes and is inconclusive, and how often
// one with a fixed tolerance of .01 fails.
func (w gateWorld) rates(t testing.TB, runs int, seed uint64) (failed, passed, tolerance float64) {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 17))
	counted := 0
	for counted < runs {
		m := w.draw(random)
		g, err := Decide([]Matched{m}, DefaultGateRules())
		if err != nil {
			t.Fatal(err)
		}
		if g.Labels[0].Difference == nil {
			continue // one class only
		}
		counted++
		switch g.Verdict {
		case Fail:
			failed++
		case Pass:
			passed++
		}
		if *g.Labels[0].Difference < -0.01 {
			tolerance++
		}
	}
	n := float64(counted)
	return failed / n, passed / n, tolerance / n
}

// A gate that nothing was changed behind fails in at most α + 1 % of runs, where a
// tolerance of .01 cries wolf; a real drop is found.
func TestGateFalseAlarms(t *testing.T) {
	needs.Time(t)
	t.Parallel()
	runs := 400
	if testing.Short() {
		runs = 100
	}
	var table strings.Builder
	if *gateRuns > 0 {
		runs = *gateRuns
		fmt.Fprintf(&table, gateTable, runs)
	}
	alpha := DefaultGateRules().Alpha
	// Binomial noise of this many runs, three deviations.
	noise := 3 * math.Sqrt(alpha*(1-alpha)/float64(runs))
	for _, images := range []int{100, 500, 5000} {
		if images == 5000 && *gateRuns == 0 {
			continue
		}
		for _, perPatient := range []int{1, 2, 5} {
			for _, drop := range []float64{0, 0.03, 0.06} {
				w := gateWorld{images: images, perPatient: perPatient, prevalence: 0.3, auc: 0.88, drop: drop, between: 0.8, within: 0.5}
				failed, passed, tolerance := w.rates(t, runs, uint64(images+perPatient))
				if *gateRuns > 0 {
					fmt.Fprintf(&table, "| %d | %d | %.2f | %.1f %% | %.1f %% | %.1f %% | %.1f %% |\n", images, perPatient, drop, 100*failed, 100*passed, 100*(1-failed-passed), 100*tolerance)
				}
				if drop == 0 && failed > alpha+0.01+noise {
					t.Errorf("%d images, %d per patient: %.3f false alarms, want at most %.3f", images, perPatient, failed, alpha+0.01)
				}
				if drop == 0 && images == 100 && tolerance < 0.3 {
					t.Errorf("%d images, %d per patient: a tolerance of .01 fails in %.3f, want a world where it cries wolf", images, perPatient, tolerance)
				}
				if drop > 0.03 && passed > 0.05 {
					t.Errorf("%d images: a drop of %v passes in %.3f", images, drop, passed)
				}
			}
		}
	}
	if *gateRuns > 0 {
		if err := os.WriteFile(filepath.Join("testdata", "gate.md"), []byte(table.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// gateTable is the head of testdata/gate.md.
const gateTable = `# How often the gate is right

Made by ` + "`make bench-gate`" + `: %d drawn test parts a row. One label, 30 %% positives, an AUC of .88 in the baseline and as much less as the
true drop says in the candidate; the scores of the two correlate at .8, those of one patient's images at .5. Margin .02, least effect
.005, α .05. Beside it a gate that fails whenever the AUC is .01 lower.

| images | per patient | true drop | gate fails | passes | open | tolerance of .01 fails |
|---:|---:|---:|---:|---:|---:|---:|
`

// With fourteen labels Holm keeps the false alarms of all together where they were.
func TestGateFalseAlarmsOfManyLabels(t *testing.T) {
	t.Parallel()
	needs.Time(t)
	const runs = 150
	random := rand.New(rand.NewPCG(5, 5))
	w := gateWorld{images: 300, perPatient: 2, prevalence: 0.3, auc: 0.85, between: 0.8, within: 0.5}
	failed := 0
	for range runs {
		var labels []Matched
		for k := range 14 {
			m := w.draw(random)
			m.Label = fmt.Sprint(k)
			labels = append(labels, m)
		}
		g, err := Decide(labels, DefaultGateRules())
		if err != nil {
			t.Fatal(err)
		}
		if g.Verdict == Fail {
			failed++
		}
	}
	if rate := float64(failed) / runs; rate > 0.06+3*math.Sqrt(0.05*0.95/runs) {
		t.Errorf("%.3f of gates with 14 labels raise a false alarm", rate)
	}
}

// separated is a label whose scores separate the classes but for some swaps.
func separated(n int, swaps ...int) (scores []float64, truth []bool) {
	for i := range n {
		scores, truth = append(scores, float64(i)), append(truth, i >= n/2)
	}
	for _, s := range swaps {
		scores[s], scores[n-1-s] = scores[n-1-s], scores[s]
	}
	return scores, truth
}

func TestGateVerdicts(t *testing.T) {
	t.Parallel()
	good, truth := separated(400, 1, 5, 9)
	slightly, _ := separated(400, 1, 5, 9, 199)
	bad, _ := separated(400, 1, 5, 9, 13, 17, 21, 25, 29, 33, 37, 41, 45, 49, 53, 57, 61, 65, 69)
	same := make([]float64, 400)
	few, fewTruth := separated(30, 1)
	worse, _ := separated(30, 1, 13, 14)
	positive := make([]bool, 400)
	for i := range positive {
		positive[i] = true
	}
	for name, test := range map[string]struct {
		m      Matched
		want   Verdict
		reason string
	}{
		"the same head":      {Matched{Baseline: good, Candidate: good, Truth: truth}, Pass, ""},
		"a trifle worse":     {Matched{Baseline: good, Candidate: slightly, Truth: truth}, Pass, ""},
		"much worse":         {Matched{Baseline: good, Candidate: bad, Truth: truth}, Fail, ""},
		"better":             {Matched{Baseline: bad, Candidate: good, Truth: truth}, Pass, ""},
		"few samples":        {Matched{Baseline: few, Candidate: worse, Truth: fewTruth}, Inconclusive, "leaves it open"},
		"one class":          {Matched{Baseline: good, Candidate: good, Truth: positive}, Inconclusive, "only one class"},
		"constant candidate": {Matched{Baseline: good, Candidate: same, Truth: truth}, Inconclusive, "every score of the candidate is the same"},
		"both constant":      {Matched{Baseline: same, Candidate: same, Truth: truth}, Inconclusive, "is the same"},
	} {
		g, err := Decide([]Matched{test.m}, DefaultGateRules())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if l := g.Labels[0]; g.Verdict != test.want || l.Verdict != test.want || !strings.Contains(l.Reason, test.reason) {
			t.Errorf("%s: %s, %q (%s): want %s, %q", name, g.Verdict, l.Reason, g.Reason, test.want, test.reason)
		}
	}
	nan := append([]float64{math.NaN()}, good[1:]...)
	if g, err := Decide([]Matched{{Label: "effusion", Baseline: good, Candidate: nan, Truth: truth}}, DefaultGateRules()); err == nil || !strings.Contains(err.Error(), "effusion") {
		t.Errorf("a score that is not a number: %+v, %v: want an error that names the label", g, err)
	}
	if _, err := Decide(nil, DefaultGateRules()); err == nil {
		t.Error("a gate of no label passes")
	}
	for _, rules := range []GateRules{{Margin: -1, Alpha: 0.05}, {Margin: math.NaN(), Alpha: 0.05}, {MinEffect: 2, Alpha: 0.05}, {Alpha: 0}, {Alpha: 0.9}} {
		if _, err := Decide([]Matched{{Baseline: good, Candidate: good, Truth: truth}}, rules); err == nil {
			t.Errorf("rules %+v are taken", rules)
		}
	}
}

// So many patients as a gate asks for do settle it: with as many copies of each,
// the same difference passes or fails.
func TestNeededSettles(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(8, 8))
	w := gateWorld{images: 150, perPatient: 1, prevalence: 0.4, auc: 0.85, drop: 0.02, between: 0.7}
	settled := 0
	for range 60 {
		m := w.draw(random)
		g, err := Decide([]Matched{m}, DefaultGateRules())
		if err != nil {
			t.Fatal(err)
		}
		l := g.Labels[0]
		if l.Needed == 0 {
			continue
		}
		copies := int(math.Ceil(float64(l.Needed) / float64(l.Units)))
		if copies > 200 {
			continue
		}
		more := Matched{}
		for k := range copies {
			more.Baseline, more.Candidate, more.Truth = append(more.Baseline, m.Baseline...), append(more.Candidate, m.Candidate...), append(more.Truth, m.Truth...)
			for i := range m.Truth {
				more.Groups = append(more.Groups, fmt.Sprint(k, i))
			}
		}
		if again, err := Decide([]Matched{more}, DefaultGateRules()); err != nil || again.Verdict == Inconclusive {
			t.Errorf("%d of %d needed, yet with %d: %+v, %v", l.Units, l.Needed, l.Units*copies, again.Labels[0], err)
		}
		settled++
	}
	if settled < 10 {
		t.Errorf("only %d gates were open", settled)
	}
}

func TestMatchSaysWhatDiffers(t *testing.T) {
	t.Parallel()
	one, zero := int32(1), int32(0)
	side := func(change func(*Side)) Side {
		s := Side{Encoder: "aaa", Preprocess: "bbb", Rows: []Prediction{
			{ID: "x", Patient: "p", Finding: "effusion", Label: &one, Score: 1},
			{ID: "y", Patient: "q", Finding: "effusion", Label: &zero, Score: 0},
			{ID: "z", Patient: "q", Finding: "effusion", Score: math.NaN()},
		}}
		change(&s)
		return s
	}
	baseline := side(func(*Side) {})
	for name, test := range map[string]struct {
		change func(*Side)
		allow  string
		want   string
	}{
		"nothing":       {func(*Side) {}, "", ""},
		"encoder":       {func(s *Side) { s.Encoder = "ccc" }, AllowEncoder, "encoders aaa and ccc"},
		"preprocessing": {func(s *Side) { s.Preprocess = "ccc" }, AllowPreprocess, "preprocessing bbb and ccc"},
		"a sample less": {func(s *Side) { s.Rows = s.Rows[1:] }, AllowSamples, "effusion: 1 samples are in the baseline only"},
		"a sample more": {func(s *Side) { s.Rows = append(s.Rows, Prediction{ID: "secret", Finding: "effusion", Label: &one}) }, AllowSamples, "effusion: 1 samples are in the candidate only"},
		"a label":       {func(s *Side) { s.Rows[0].Label = &zero }, "", "effusion: 1 samples have other labels"},
		"a known label": {func(s *Side) { s.Rows[2].Label = &zero }, "", "effusion: 1 samples have other labels"},
		"a patient":     {func(s *Side) { s.Rows[0].Patient = "q" }, "", "effusion: 1 samples have other patients"},
		"a finding":     {func(s *Side) { s.Rows = append(s.Rows, Prediction{ID: "x", Finding: "nodule", Label: &one}) }, AllowFindings, "findings of the candidate only: nodule"},
	} {
		candidate := side(test.change)
		labels, differences, examples, err := Match(baseline, candidate, nil)
		if err != nil || strings.Join(differences, "; ") != test.want {
			t.Errorf("%s: %q, %v: want %q", name, differences, err, test.want)
		}
		if strings.Contains(strings.Join(differences, ""), "secret") {
			t.Errorf("%s: the differences name a sample: %q", name, differences)
		}
		if (len(examples) > 0) != strings.Contains(test.want, "samples") {
			t.Errorf("%s: examples %q", name, examples)
		}
		if test.want == "" && (len(labels) != 1 || len(labels[0].Truth) != 2) {
			t.Errorf("%s: %+v: want one label of two known samples", name, labels)
		}
		if test.allow == "" {
			continue
		}
		if _, differences, _, err := Match(baseline, candidate, []string{test.allow}); err != nil || len(differences) > 0 {
			t.Errorf("%s, allowed: %q, %v", name, differences, err)
		}
	}
	if _, differences, _, err := Match(baseline, side(func(s *Side) {
		for i := range s.Rows {
			s.Rows[i].ID += "'"
		}
	}), []string{AllowSamples}); err != nil || len(differences) == 0 {
		t.Errorf("no sample in common: %q, %v: want a difference", differences, err)
	}
	if _, _, _, err := Match(baseline, side(func(s *Side) { s.Rows = append(s.Rows, s.Rows[0]) }), nil); err == nil {
		t.Error("two scores of one sample are taken")
	}
}
