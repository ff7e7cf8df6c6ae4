package evaluate

import (
	"encoding/json"
	"math"
	"os"
	"testing"
)

// golden reads a file of numbers made elsewhere; see testdata/README.md.
func golden(t *testing.T, name string, into any) {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatal(err)
	}
}

func within(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance*max(1, math.Abs(want))) {
		t.Errorf("%s = %.17g, want %.17g", what, got, want)
	}
}

func booleans(y []int) []bool {
	labels := make([]bool, len(y))
	for i, v := range y {
		labels[i] = v == 1
	}
	return labels
}

func TestAUCAndComparisonEqualThoseOfPROC(t *testing.T) {
	t.Parallel()
	var want struct {
		Cases []struct {
			Name  string
			Y     []int
			A, B  []float64
			Group []string
			PROC  struct {
				AUCA float64    `json:"auc_a"`
				AUCB float64    `json:"auc_b"`
				CIA  [2]float64 `json:"ci_a"`
				CIB  [2]float64 `json:"ci_b"`
				VarA float64    `json:"var_a"`
				VarB float64    `json:"var_b"`
				Z, P float64
				CI   [2]float64 `json:"ci_difference"`
			} `json:"proc"`
			Clustered struct {
				VarA          float64 `json:"var_a"`
				VarB          float64 `json:"var_b"`
				VarDifference float64 `json:"var_difference"`
			}
		}
	}
	golden(t, "auc.json", &want)
	if len(want.Cases) != 8 {
		t.Fatalf("%d cases, want 8", len(want.Cases))
	}
	for _, c := range want.Cases {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			labels := booleans(c.Y)
			got, err := Compare(c.A, c.B, labels, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range []struct {
				name     string
				got      Estimate
				auc, sd  float64
				interval [2]float64
			}{
				{"A", got.A, c.PROC.AUCA, math.Sqrt(c.PROC.VarA), c.PROC.CIA},
				{"B", got.B, c.PROC.AUCB, math.Sqrt(c.PROC.VarB), c.PROC.CIB},
				{"A − B", got.Difference, c.PROC.AUCA - c.PROC.AUCB, (c.PROC.AUCA - c.PROC.AUCB) / c.PROC.Z, c.PROC.CI},
			} {
				if e.got.Method != "delong" {
					t.Errorf("%s: method %q, want delong", e.name, e.got.Method)
				}
				within(t, e.name, e.got.Point, e.auc, 1e-12)
				within(t, e.name+": standard error", e.got.StdErr, e.sd, 1e-12)
				within(t, e.name+": low", e.got.Low, e.interval[0], 1e-12)
				within(t, e.name+": high", e.got.High, e.interval[1], 1e-12)
			}
			within(t, "p", got.P, c.PROC.P, 1e-9)

			clustered, err := Compare(c.A, c.B, labels, c.Group)
			if err != nil {
				t.Fatal(err)
			}
			within(t, "clustered A: standard error", clustered.A.StdErr, math.Sqrt(c.Clustered.VarA), 1e-12)
			within(t, "clustered B: standard error", clustered.B.StdErr, math.Sqrt(c.Clustered.VarB), 1e-12)
			within(t, "clustered A − B: standard error", clustered.Difference.StdErr, math.Sqrt(c.Clustered.VarDifference), 1e-12)
		})
	}
}

func TestFiguresEqualThoseOfScikitLearn(t *testing.T) {
	t.Parallel()
	var want struct {
		Cases []struct {
			Name             string
			Y                []int
			P                []float64
			AUC              float64
			AveragePrecision float64 `json:"average_precision"`
			Brier            float64
			LogLoss          float64 `json:"log_loss"`
			ECE              float64
		}
	}
	golden(t, "metrics.json", &want)
	if len(want.Cases) != 8 {
		t.Fatalf("%d cases, want 8", len(want.Cases))
	}
	auc := func(scores []float64, labels []bool) (float64, error) {
		e, err := AUC(scores, labels, nil)
		return e.Point, err
	}
	for _, c := range want.Cases {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			for _, f := range []struct {
				name   string
				figure func([]float64, []bool) (float64, error)
				want   float64
			}{
				{"AUC", auc, c.AUC}, {"average precision", AveragePrecision, c.AveragePrecision},
				{"Brier score", Brier, c.Brier}, {"log-loss", LogLoss, c.LogLoss}, {"ECE", ECE, c.ECE},
			} {
				got, err := f.figure(c.P, booleans(c.Y))
				if err != nil {
					t.Errorf("%s: %v", f.name, err)
				}
				within(t, f.name, got, f.want, 1e-12)
			}
		})
	}
}

// TestBCaEqualsThatOfBoot hands ours the replicates that R's boot drew.
func TestBCaEqualsThatOfBoot(t *testing.T) {
	t.Parallel()
	var want struct {
		Cases []struct {
			Name             string
			Y                []int
			S, Replicas      []float64
			Level, Low, High float64
		}
	}
	golden(t, "bca.json", &want)
	if len(want.Cases) != 3 {
		t.Fatalf("%d cases, want 3", len(want.Cases))
	}
	for _, c := range want.Cases {
		labels := booleans(c.Y)
		contrast, err := newContrast(labels, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := contrast.add(c.S, 1); err != nil {
			t.Fatal(err)
		}
		s, err := newSweep(c.S, labels, nil)
		if err != nil {
			t.Fatal(err)
		}
		f := figure{value: s.auc, contrast: contrast, replicas: c.Replicas}
		low, high := f.corrected((1-c.Level)/2, (1+c.Level)/2)
		within(t, c.Name+": low", normalStatistic(c.Replicas, low), c.Low, 1e-9)
		within(t, c.Name+": high", normalStatistic(c.Replicas, high), c.High, 1e-9)
		if plain := orderStatistic(c.Replicas, (1-c.Level)/2); plain == c.Low {
			t.Errorf("%s: the percentile interval is the same: this case shows nothing", c.Name)
		}
	}
}
