package experiment

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/medprobe/medprobe/datasets"
	"github.com/medprobe/medprobe/trainer"
	"gonum.org/v1/gonum/blas/blas32"
)

var asked = Prompts{
	"upper": {Positive: []string{"upper left", "upper left, upper right"}, Negative: []string{"noise"}},
	"lower": {Positive: []string{"lower right"}, Negative: []string{"lower left", "noise"}},
}

// The scores are computed here from cosines, as the papers write them.
func TestScoresAreThoseOfTheirFormulas(t *testing.T) {
	t.Parallel()
	enc, classes := &quadrants{}, []string{"upper", "lower"}
	x := unit(t, []float32{0.9, 0.2, 0.4, 0.1, 1})
	cosine := func(texts ...string) float64 {
		mean := make([]float64, 5)
		for _, text := range texts {
			vectors, err := enc.EncodeTexts(t.Context(), []string{text})
			if err != nil {
				t.Fatal(err)
			}
			for i, v := range unit(t, vectors[0]) {
				mean[i] += float64(v)
			}
		}
		dot, norm := 0.0, 0.0
		for i, m := range mean {
			dot, norm = dot+m*float64(x[i]), norm+m*m
		}
		return dot / math.Sqrt(norm)
	}
	const scale, bias = 10, -2
	var p, n [2]float64
	for c, name := range classes {
		p[c], n[c] = cosine(asked[name].Positive...), cosine(asked[name].Negative...)
	}
	sigmoid := func(z float64) float64 { return 1 / (1 + math.Exp(-z)) }
	want := map[Score][2]float64{
		ScorePair:       {math.Exp(scale*p[0]) / (math.Exp(scale*p[0]) + math.Exp(scale*n[0])), math.Exp(scale*p[1]) / (math.Exp(scale*p[1]) + math.Exp(scale*n[1]))},
		ScoreDifference: {sigmoid(p[0] - n[0]), sigmoid(p[1] - n[1])},
		ScoreSoftmax:    {math.Exp(scale*p[0]) / (math.Exp(scale*p[0]) + math.Exp(scale*p[1])), math.Exp(scale*p[1]) / (math.Exp(scale*p[0]) + math.Exp(scale*p[1]))},
		ScoreSigmoid:    {sigmoid(scale*p[0] + bias), sigmoid(scale*p[1] + bias)},
	}
	for score, want := range want {
		prior, _, err := newPrior(t.Context(), enc, classes, false, asked, score)
		if err != nil {
			t.Fatal(err)
		}
		head, err := trainer.ZeroShot(*prior, classes, score == ScoreSoftmax, trainer.Space{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := head.Probabilities(blas32.General{Rows: 1, Cols: 5, Stride: 5, Data: x})
		if err != nil {
			t.Fatal(err)
		}
		for c := range classes {
			if math.Abs(got.Data[c]-want[c]) > 1e-6 {
				t.Errorf("%s of %s: %v, want %v", score, classes[c], got.Data[c], want[c])
			}
		}
	}
}

func TestDefaultScore(t *testing.T) {
	t.Parallel()
	alone := Prompts{"upper": {Positive: []string{"a"}}, "lower": {Positive: []string{"b"}}}
	for _, c := range []struct {
		prompts   Prompts
		exclusive bool
		want      Score
	}{{asked, false, ScorePair}, {asked, true, ScoreSoftmax}, {alone, true, ScoreSoftmax}, {alone, false, ScoreSigmoid}} {
		if _, got, err := newPrior(t.Context(), &quadrants{}, []string{"upper", "lower"}, c.exclusive, c.prompts, ""); err != nil || got != c.want {
			t.Errorf("score %q, %v: want %q", got, err, c.want)
		}
	}
}

func TestPromptsThatDoNotFitAreRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		change func(Prompts)
		score  Score
		want   string
	}{
		{func(p Prompts) { p["uper"] = p["upper"] }, "", `did you mean "upper"`},
		{func(p Prompts) { delete(p, "upper") }, "", `none for "upper"`},
		{func(p Prompts) { p["upper"] = Prompt{Positive: []string{"x"}} }, "", `"upper" has no negative text`},
		{func(p Prompts) { p["upper"] = Prompt{Positive: []string{"mute"}, Negative: []string{"x"}} }, "", "upper: no text tower"},
		{func(Prompts) {}, "sigmoyd", `did you mean "sigmoid"`},
	} {
		prompts := Prompts{"upper": asked["upper"], "lower": asked["lower"]}
		c.change(prompts)
		if _, _, err := newPrior(t.Context(), &quadrants{}, []string{"upper", "lower"}, false, prompts, c.score); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v: want %q", err, c.want)
		}
	}
}

// Of two classes one is to be found; prompts may name both.
func TestPromptsOfTwoClasses(t *testing.T) {
	t.Parallel()
	d := &datasets.Dataset{Classes: []string{"sick"}, Other: "well"}
	both := Prompts{"sick": {Positive: []string{"a"}}, "well": {Positive: []string{"b"}}}
	if got := both.of(d); len(got) != 1 || !slices.Equal(got["sick"].Negative, []string{"b"}) || len(both) != 2 {
		t.Errorf("%v of %v", got, both)
	}
	own := Prompts{"sick": {Positive: []string{"a"}, Negative: []string{"c"}}, "well": {Positive: []string{"b"}}}
	if got := own.of(d); len(got) != 1 || !slices.Equal(got["sick"].Negative, []string{"c"}) {
		t.Errorf("its own negative texts: %v", got)
	}
	if got := both.of(&datasets.Dataset{Classes: []string{"sick"}}); len(got) != 2 {
		t.Errorf("a finding of its own: %v", got)
	}
}

func TestPacksAreWhole(t *testing.T) {
	t.Parallel()
	if !slices.Contains(Packs(), "chexpert") {
		t.Fatalf("packs %q", Packs())
	}
	for _, name := range Packs() {
		prompts, err := loadPrompts("pack:" + name)
		if err != nil || len(prompts) == 0 {
			t.Fatal(name, err)
		}
		for finding, p := range prompts {
			if len(p.Negative) == 0 {
				t.Errorf("%s: %s has no negative text", name, finding)
			}
			for _, text := range p.Negative {
				if strings.Contains(strings.ToLower(text), "no no ") {
					t.Errorf("%s: %s: %q negates itself and turns the score around", name, finding, text)
				}
			}
		}
	}
	if _, err := loadPrompts("pack:chexprt"); err == nil || !strings.Contains(err.Error(), `"chexpert"`) {
		t.Errorf("error %v: want the pack that was meant", err)
	}
}

func TestZeroShotLooksAtEveryLabelledSample(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.load(pairs)
	w.write("prompts.yaml", []byte("upper: {positive: [upper left], negative: [noise]}\nlower: {positive: [lower right], negative: [noise]}\n"))
	for _, score := range Scores() {
		r, err := ZeroShot{Data: c.Data, Prompts: w.dir + "/prompts.yaml", Score: Score(score), MaxFailures: "0"}.Run(t.Context(), w.options())
		if err != nil {
			t.Fatal(err)
		}
		f := r.Findings[0]
		if f.N != 2*patients || len(f.Methods) != 1 || f.Methods[0].AUC.Point < 0.6 {
			t.Errorf("%s: %d samples, %+v", score, f.N, f.Methods)
		}
		if (f.Methods[0].Brier == nil) != (score == string(ScoreDifference)) {
			t.Errorf("%s: Brier score %v: only a difference is no probability", score, f.Methods[0].Brier)
		}
	}
	r, err := ZeroShot{Data: c.Data, Prompts: w.dir + "/prompts.yaml", Split: "test", MaxFailures: "0"}.Run(t.Context(), w.options())
	if err != nil || r.Findings[0].N != patients || r.Counts.Used != patients {
		t.Errorf("split test: %+v, %v", r, err)
	}
}

// A prior says whose texts it is made of, and nothing takes it for vectors of
// another encoder or preprocessing.
func TestAPriorIsOfItsEncoder(t *testing.T) {
	t.Parallel()
	enc := &quadrants{}
	prompts := Prompts{"upper": {Positive: []string{"the upper left"}, Negative: []string{"noise"}}}
	prior, _, err := newPrior(t.Context(), enc, []string{"upper"}, false, prompts, "")
	if err != nil {
		t.Fatal(err)
	}
	own := trainer.Space{Encoder: enc.Fingerprint(), Preprocess: enc.PreprocessFingerprint()}
	x := blas32.General{Rows: 4, Cols: 5, Stride: 5, Data: []float32{1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 1, 1, 0, 0, 0, 0, 1, 0, 1, 0}}
	y := trainer.Targets{Classes: []string{"upper"}, Values: [][]int8{{1}, {0}, {1}, {0}}}
	v := trainer.Values{Names: []string{"upper"}, Rows: [][]float64{{1}, {2}, {3}, {5}}}
	for name, space := range map[string]trainer.Space{
		"the same": own, "unknown": {},
		"another encoder":       {Encoder: "ef", Preprocess: own.Preprocess},
		"another preprocessing": {Encoder: own.Encoder, Preprocess: "ef"},
	} {
		refused := strings.HasPrefix(name, "another")
		_, zero := trainer.ZeroShot(*prior, []string{"upper"}, false, space)
		_, probe := trainer.Fit(t.Context(), x, y, nil, trainer.Options{Prior: prior, Space: space})
		_, ridge := trainer.FitValues(t.Context(), x, v, nil, trainer.Options{Head: trainer.RidgePrior, Prior: prior, Space: space})
		for what, err := range map[string]error{"zero-shot": zero, "fit": probe, "fit of values": ridge} {
			if (err != nil) != refused || refused && !strings.Contains(err.Error(), "the prior is of encoder abab") {
				t.Errorf("%s, %s: error %v", name, what, err)
			}
		}
	}
}
