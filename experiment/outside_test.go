package experiment

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/medprobe/medprobe/trainer"
)

const outsiders = pairs + `
heads: [ensemble]
members: [linear-probe, knn]
ensemble_scores:
  - {file: reader.csv, columns: {upper: reader, lower: coin}}
`

// withReader adds a table in which a reader knows upper nearly always, and a coin is
// tossed for lower. A few rows are of samples that nobody uses.
func withReader(w *world) {
	random := rand.New(rand.NewPCG(3, 3))
	table := "id,reader,coin\nno such sample,1,1\n"
	for _, row := range w.rows {
		f := strings.Split(row, ",")
		reader := random.NormFloat64() * 0.1
		if f[3] == "1" {
			reader++
		}
		table += fmt.Sprintf("%s,%.4f,%.4f\n", f[0], reader, random.NormFloat64())
	}
	w.write("reader.csv", []byte(table))
}

// weightsOf returns the weights of the members for each finding.
func weightsOf(t *testing.T, r *Result, name string) (weights [][]float64, on string) {
	t.Helper()
	for _, h := range append(r.joined, namedHead{trainer.Ensemble, r.Heads[1]}) {
		if h.name != name {
			continue
		}
		for _, f := range h.head.Fits {
			var one []float64
			for _, m := range f.Members {
				one = append(one, m.Weight)
			}
			weights, on = append(weights, one), f.ChosenOn
		}
	}
	return weights, on
}

// The weights of an ensemble are chosen on held-out patients of train, or on the
// validation part where there is one; what the test part says moves none of them.
func TestEnsembleDoesNotKnowTheTest(t *testing.T) {
	t.Parallel()
	for _, want := range []string{"cross-validation", "validation"} {
		w := newWorld(t)
		if want == "validation" {
			for i, row := range w.rows[:30] {
				w.rows[i] = strings.Replace(row, ",train,", ",validation,", 1)
			}
		}
		withReader(w)
		r := w.run(outsiders)
		for _, name := range []string{trainer.Ensemble, withScores} {
			weights, on := weightsOf(t, r, name)
			if len(weights) != 2 || on != want {
				t.Fatalf("%s: weights %v, chosen on %q: want those of two findings on %s", name, weights, on, want)
			}
		}
		weights, _ := weightsOf(t, r, withScores)
		if reader, coin := weights[0][2], weights[1][2]; reader < 0.5 || coin > 0.1 {
			t.Errorf("%s: weights %v: want much for the reader, and none for the coin", want, weights)
		}
		byName := map[string]float64{}
		for _, m := range r.Report.Findings[0].Methods {
			byName[m.Method] = m.AUC.Point
		}
		if byName[withScores] < 0.99 || byName[withScores] < byName[trainer.Ensemble] {
			t.Errorf("%s: AUCs %v: want more with the reader", want, byName)
		}
		for i, row := range w.rows {
			if f := strings.Split(row, ","); f[2] == "test" {
				f[3], f[4] = fmt.Sprint(i/2%2), fmt.Sprint(i/4%2)
				w.rows[i] = strings.Join(f, ",")
			}
		}
		again := w.run(outsiders)
		for _, name := range []string{trainer.Ensemble, withScores} {
			before, _ := weightsOf(t, r, name)
			after, _ := weightsOf(t, again, name)
			if !slices.EqualFunc(before, after, slices.Equal[[]float64]) {
				t.Errorf("%s on %s: weights %v, and %v with other labels in test", name, want, before, after)
			}
		}
		if !slices.ContainsFunc(r.Report.Warnings, func(s string) bool {
			return strings.Contains(s, "SHA-256") && strings.Contains(s, "1 of its rows are of no sample")
		}) {
			t.Errorf("warnings %q: want one that names the table", r.Report.Warnings)
		}
		dir := filepath.Join(t.TempDir(), "run")
		if err := r.Write(dir); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"ensemble", "ensemble+scores"} {
			if _, err := trainer.LoadHead(filepath.Join(dir, "heads", name+".safetensors")); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestOutsideScoresThatCannotBe(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	withReader(w)
	text := files(t, w.dir)["reader.csv"]
	for want, table := range map[string]string{
		`no row for 1 of 120 samples, such as ["scan-000-0.png"]`: strings.Replace(text, "scan-000-0.png", "scan-x", 1),
		`the id "scan-000-0.png" stands twice`:                    strings.Replace(text, "scan-000-1.png", "scan-000-0.png", 1),
		`row 1: "reader" = "high": want a finite score`:           strings.Replace(text, "sample,1,", "sample,high,", 1),
		`row 1: "coin" = "": want a finite score`:                 strings.Replace(text, "sample,1,1", "sample,1,", 1),
		`no column "reader"`:                                      strings.Replace(text, "reader", "radiologist", 1),
		"empty table":                                             "",
	} {
		w.write("reader.csv", []byte(table))
		_, err := Run(t.Context(), w.load(outsiders), w.options())
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "reader.csv") {
			t.Errorf("error %v: want %q and the file", err, want)
		}
	}
	w.write("reader.csv", []byte(text))
	if _, err := Run(t.Context(), w.load(strings.Replace(outsiders, "lower: coin", "lowe: coin", 1)), w.options()); err == nil || !strings.Contains(err.Error(), `did you mean "lower"`) {
		t.Errorf("error %v: want the finding", err)
	}
	for want, yaml := range map[string]string{
		"without the head ensemble": strings.Replace(outsiders, "heads: [ensemble]\nmembers: [linear-probe, knn]", "heads: [logistic]", 1),
		"want names, each once":     strings.Replace(outsiders, "lower: coin", "lower: reader", 1),
		"at least one finding":      strings.Replace(outsiders, "{upper: reader, lower: coin}", "{}", 1),
		"want all of the training":  outsiders + "train: {shots: 3}\n",
	} {
		w.write("experiment.yaml", []byte(yaml))
		if _, err := Load(filepath.Join(w.dir, "experiment.yaml")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v: want %q", err, want)
		}
	}
}
