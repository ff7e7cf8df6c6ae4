package trainer

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestCalibrationsEqualScikitLearn(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/calibration/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Cases []struct {
			Z, At, Platt, Temperature, Isotonic []float64
			Y                                   []int8
		}
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	for number, g := range file.Cases {
		for kind, want := range map[string][]float64{Platt: g.Platt, Temperature: g.Temperature, Isotonic: g.Isotonic} {
			c := calibrate(kind, g.Z, g.Y)
			if err := c.validate(); err != nil {
				t.Errorf("case %d: %v", number, err)
			}
			tolerance := 1e-4
			if kind == Isotonic {
				tolerance = 1e-12
			}
			for i, z := range g.At {
				if p := c.probability(z); math.Abs(p-want[i]) > tolerance {
					t.Errorf("case %d: %s at %v: %v, want %v (scikit-learn)", number, kind, z, p, want[i])
				}
			}
		}
	}
}

// A calibrated head is right as often as it says, on samples it has not seen.
func TestCalibratedHeadSaysHowOftenItIsRight(t *testing.T) {
	t.Parallel()
	w := drawWorld(11)
	support, test := w.Draw(60, 60, "s", 1), w.Draw(1000, 1000, "t", 2)
	prior := &Prior{T: w.T, Scale: w.Scale}
	loss := func(h *Head) float64 {
		p, err := h.Probabilities(test.X)
		if err != nil {
			t.Fatal(err)
		}
		sum := 0.0
		for i, label := range test.Labels {
			q := p.Data[i]
			if label == Negative {
				q = 1 - q
			}
			sum -= math.Log(max(q, 1e-6)) / float64(len(test.Labels))
		}
		return sum
	}
	for _, kind := range []string{Prototype, LinearProbe} {
		plain := fit(t, support, Options{Head: kind, Prior: prior})
		for _, calibration := range Calibrations() {
			h := fit(t, support, Options{Head: kind, Prior: prior, Calibrate: calibration})
			if calibration != Isotonic && loss(h) > loss(plain)+0.01 {
				t.Errorf("%s: log-loss %.3f calibrated by %s, %.3f before", kind, loss(h), calibration, loss(plain))
			}
			if !reflect.DeepEqual(h.W, plain.W) {
				t.Errorf("%s: calibration by %s changes the weights", kind, calibration)
			}
			again := reloaded(t, h)
			if !reflect.DeepEqual(again.Calibration, h.Calibration) {
				t.Errorf("read %+v, wrote %+v", again.Calibration, h.Calibration)
			}
		}
	}
}

func TestExclusiveClassesHaveATemperature(t *testing.T) {
	t.Parallel()
	x, y := drawLarge(21, 60, 10, 3, false)
	h, err := Fit(t.Context(), x, y, nil, Options{Head: Logistic, C: 1, Calibrate: Temperature})
	if err != nil {
		t.Fatal(err)
	}
	z, times, err := crossValidated(t.Context(), x, y, nil, Options{Head: Logistic, C: 1, Folds: 5, ClassWeight: "none"})
	if err != nil {
		t.Fatal(err)
	}
	cost := func(slope float64) (sum float64) {
		for i, row := range y.Values {
			if times[3*i] == 0 {
				t.Fatalf("row %d was never held out", i)
			}
			logits := slices.Clone(z.Data[3*i : 3*i+3])
			for k := range logits {
				logits[k] *= slope
			}
			sum += rowLoss(logits, slices.Index(row, Positive))
		}
		return sum
	}
	at := h.Calibration[0].Slope
	if cost(at) > cost(at*1.01) || cost(at) > cost(at/1.01) {
		t.Errorf("slope %v has a loss of %v; %v and %v beside it", at, cost(at), cost(at*1.01), cost(at/1.01))
	}
	for _, o := range []Options{{Calibrate: Platt}, {Thresholds: []Rule{{Name: "youden"}}}} {
		if _, err := Fit(t.Context(), x, y, nil, o); err == nil || !strings.Contains(err.Error(), "exclude one another") {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// Every rule against trying all thresholds.
func TestThresholdsAreTheBestOfAll(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 8))
		n := 2 + random.IntN(30)
		scores, labels := make([]float64, n), make([]int8, n)
		for i := range scores {
			scores[i], labels[i] = math.Round(20*random.Float64())/20, int8(random.IntN(2))
		}
		labels[0], labels[1] = 0, 1
		for _, text := range []string{"youden", "sensitivity=0.9", "specificity=0.95", "ppv=0.8", "cost=3"} {
			rule, err := ParseRule(text)
			if err != nil || rule.String() != text {
				t.Fatalf("%s: %v, %v", text, rule, err)
			}
			got, ok := rule.choose(scores, labels)
			best, any := math.Inf(-1), false
			for _, limit := range scores {
				tp, fp, fn, tn := 0.0, 0.0, 0.0, 0.0
				for i, s := range scores {
					switch {
					case s >= limit && labels[i] == 1:
						tp++
					case s >= limit:
						fp++
					case labels[i] == 1:
						fn++
					default:
						tn++
					}
				}
				merit, wish := tp/(tp+fn)+tn/(tn+fp), true
				switch rule.Name {
				case "sensitivity":
					merit, wish = tn/(tn+fp), tp >= 0.9*(tp+fn)-1e-9
				case "specificity":
					merit, wish = tp/(tp+fn), tn >= 0.95*(tn+fp)-1e-9
				case "ppv":
					merit, wish = tp/(tp+fn), tp >= 0.8*(tp+fp)-1e-9
				case "cost":
					merit = -(3*fn + fp)
				}
				if wish {
					best, any = max(best, merit), true
				}
				if ok && limit == got.Probability && (got.Sensitivity != tp/(tp+fn) || math.Abs(got.Specificity-tn/(tn+fp)) > 1e-12 || got.PPV != tp/(tp+fp)) {
					t.Fatalf("seed %d, %s: %+v, counted %v %v %v %v", seed, text, got, tp, fp, fn, tn)
				}
			}
			merit := map[string]float64{"youden": got.Sensitivity + got.Specificity, "sensitivity": got.Specificity, "specificity": got.Sensitivity, "ppv": got.Sensitivity}[rule.Name]
			if ok != any || ok && rule.Name != "cost" && math.Abs(merit-best) > 1e-12 {
				t.Fatalf("seed %d, %s: %+v (%v), want a merit of %v (%v)", seed, text, got, ok, best, any)
			}
		}
	}
	for _, text := range []string{"", "youden=1", "sensitivity", "sensitivity=0", "ppv=1.2", "cost=-1", "cost=NaN", "accuracy=1"} {
		if _, err := ParseRule(text); err == nil {
			t.Errorf("%q: no error", text)
		}
	}
}

func TestThresholdsComeFromHeldOutScores(t *testing.T) {
	t.Parallel()
	s, prior := draw(12, 30, 2)
	rules := []Rule{{Name: "youden"}, {Name: "sensitivity", Value: 0.9}}
	h := fit(t, s, Options{Prior: prior, Calibrate: Platt, Thresholds: rules})
	if len(h.Thresholds) != 2 || h.Thresholds[1].Sensitivity < 0.9 {
		t.Fatalf("thresholds %+v", h.Thresholds)
	}
	z, _, err := crossValidated(t.Context(), s.X, binaryTargets(s.Labels), s.Groups, Options{Prior: prior, Head: LinearProbe, Folds: 5, ClassWeight: "none"})
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, v := range z.Data {
		found = found || h.Calibration[0].probability(v) == h.Thresholds[0].Probability
	}
	if !found {
		t.Errorf("threshold %v is no cross-validated probability", h.Thresholds[0].Probability)
	}
	p, err := reloaded(t, h).Probabilities(s.X)
	if err != nil {
		t.Fatal(err)
	}
	called, err := h.Decide(p.Data, rules[0])
	if err != nil {
		t.Fatal(err)
	}
	for i, yes := range called {
		if yes != (p.Data[i] >= h.Thresholds[0].Probability) {
			t.Fatalf("row %d: probability %v is called %v", i, p.Data[i], yes)
		}
	}
	if _, err := h.Decide(p.Data, Rule{Name: "cost", Value: 2}); err == nil {
		t.Error("a rule that the head does not know: no error")
	}
	few, _ := draw(1, 1, 1)
	if _, err := Fit(t.Context(), few.X, binaryTargets(few.Labels), few.Groups, Options{Head: Prototype, Calibrate: Platt}); err == nil || !strings.Contains(err.Error(), "too few patients") {
		t.Errorf("one patient a class: %v", err)
	}
}
