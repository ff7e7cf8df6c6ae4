package report

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/medprobe/medprobe/evaluate"
)

// sample is a report as an experiment makes it, from drawn scores; a copy for
// each test.
func sample(t *testing.T) *evaluate.Report {
	t.Helper()
	drawOnce.Do(func() { drawn = drawSample(t) })
	if drawn == nil {
		t.Fatal("no sample: see the test that drew it")
	}
	return visible(drawn)
}

var (
	drawOnce sync.Once
	drawn    *evaluate.Report
)

func drawSample(t *testing.T) *evaluate.Report {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 1))
	const patients, per = 120, 2
	var groups []string
	for p := range patients {
		for range per {
			groups = append(groups, fmt.Sprint("p", p))
		}
	}
	patientCount, trainPatients := 2*patients, patients
	r := &evaluate.Report{
		Name:        "Chest phantoms",
		Description: "Six findings in drawn chest radiographs. Two of them never stand in the captions that the encoder was trained with under their clinical name, as happens with real encoders.",
		Synthetic:   true,
		Dataset: evaluate.DatasetFacts{
			Spec: "csv:phantoms/labels.csv", Digest: "sha256:9f2c0f5f0c2f3c1f6f6f0d5f8f8d54e3ab5b7b8c0d8f0a1b2c3d4e5f60718293",
			Task: "multilabel", Samples: 492, Images: 492, Patients: &patientCount, Unit: "patient",
		},
		Counts: evaluate.Counts{
			Samples: 492, Used: 480,
			Excluded: []evaluate.Tally{{Reason: "no label says positive or negative", N: 8}, {Reason: `in part "val", which this experiment does not use`, N: 3}},
			Failed:   []evaluate.Tally{{Reason: "could not be decoded", N: 1}},
		},
		Splits: map[string]evaluate.Part{"train": {Samples: 240, Patients: &trainPatients}, "test": {Samples: 240, Patients: &trainPatients}},
		Encoder: evaluate.EncoderFacts{
			Name: "demo", Fingerprint: "3f2a91bc5e7d0c4416b2a8f90d1e2c3b4a5968778695a4b3c2d1e0f9a8b7c6d5",
			Preprocess: "hf", PreprocessFingerprint: "91bc3f2a0c445e7d16b2a8f9c3b4a5968d1e2770869aa4b3c2d18b7e0f9c6d5a", LogitScale: 100, Dim: 192,
		},
		Warnings: []string{"encoder demo has only ever seen drawn images"},
	}
	var trials []evaluate.Trial
	for _, f := range []struct {
		name, note       string
		rate, zero, head float64
	}{
		{"enlarged heart", "named in captions", 0.5, 2.6, 2.9},
		{"effusion", "named in captions", 0.4, 1.9, 2.1},
		{"opacity", "named in captions", 0.4, 1.4, 1.5},
		{"nodule", "named in captions", 0.3, 1.0, 1.2},
		{"pneumothorax", "never named; described by appearance", 0.3, 0.1, 1.5},
		{"device", "never named; described by appearance", 0.25, -0.1, 1.1},
	} {
		trial := evaluate.Trial{Name: f.name, Note: f.note, Groups: groups, Prompts: evaluate.Prompts{
			Positive: []string{"a chest radiograph with " + f.name}, Negative: []string{"a chest radiograph without " + f.name},
		}}
		var zero, probe, logistic []float64
		for range patients {
			positive := random.Float64() < f.rate
			common := random.NormFloat64()
			for range per {
				x, own := 0.0, 0.6*common+0.8*random.NormFloat64()
				if positive {
					x = 1
				}
				trial.Labels = append(trial.Labels, positive)
				zero = append(zero, f.zero*x+own)
				probe = append(probe, 1/(1+math.Exp(1.5-f.head*x-0.8*own-0.5*random.NormFloat64())))
				logistic = append(logistic, 1/(1+math.Exp(1.5-0.9*f.head*x-0.6*own-0.7*random.NormFloat64())))
			}
		}
		trial.Methods = []evaluate.Scored{
			{Method: "zero-shot", Scores: zero, Detail: "logit of the softmax over two prompts"},
			{Method: "linear-probe", Scores: probe, Probabilities: probe, Detail: "λ = 3.16, 64 positives, 64 negatives"},
			{Method: "logistic", Scores: logistic, Probabilities: logistic, Detail: "C = 1, 64 positives, 64 negatives"},
		}
		for k, method := range []string{"linear-probe", "logistic"} {
			curve := evaluate.Curve{Finding: f.name, Method: method}
			for _, shots := range []int{1, 2, 4, 8, 16, 32, 64} {
				learnt := 1 - math.Exp(-float64(shots)/12)
				var draws [][]float64
				for range 5 {
					knowledge := learnt + (1-learnt)*0.5*random.Float64()
					scores := make([]float64, len(zero))
					for i := range scores {
						scores[i] = knowledge*math.Log(probe[i]/(1-probe[i])) + (1-knowledge)*(float64(1-k)*zero[i]+2*random.NormFloat64())
					}
					draws = append(draws, scores)
				}
				p, err := evaluate.NewCurvePoint(shots, draws, trial.Labels, groups, "patient")
				if err != nil {
					t.Fatal(err)
				}
				if err := p.CompareWith(zero, draws, trial.Labels, groups, "patient"); err != nil {
					t.Fatal(err)
				}
				p.Positives, p.Negatives = shots, shots
				if f.name == "device" && shots == 64 {
					p = evaluate.CurvePoint{Shots: 64, Unmet: "only 51 positive samples to draw from"}
				}
				curve.Points = append(curve.Points, p)
			}
			curve.FindEnough()
			if err := curve.FindTrend(); err != nil {
				t.Fatal(err)
			}
			r.Curves = append(r.Curves, curve)
		}
		trials = append(trials, trial)
	}
	var err error
	if r.Findings, r.Macro, err = evaluate.Assess(t.Context(), trials, "patient", evaluate.Bootstrap{Resamples: 500}); err != nil {
		t.Fatal(err)
	}
	return r
}
