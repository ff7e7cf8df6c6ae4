package experiment

import (
	"fmt"
	"math"
	"strings"
	"testing"
)

// joined is the world with a site that tells upper, and an age that tells
// nothing; a level of test stands in no row of train, and cells are empty.
func joined(t *testing.T) *world {
	w := newWorld(t)
	for i, row := range w.rows {
		fields := strings.Split(row, ",")
		site := map[string]string{"0": "north", "1": "south"}[fields[3]]
		switch {
		case i/2%7 == 0:
			site = ""
		case i == 2*patients-1:
			site = "elsewhere"
		}
		w.rows[i] = row + fmt.Sprintf(",%s,%d", site, 40+i*7%30)
	}
	return w
}

func (w *world) loadJoined(yaml string) (*Config, error) {
	w.t.Helper()
	w.write("labels.csv", []byte("path,patient,split,upper,lower,site,age\n"+strings.Join(w.rows, "\n")+"\n"))
	w.write("experiment.yaml", []byte(yaml))
	return Load(w.dir + "/experiment.yaml")
}

const quick = `
data: {format: csv, path: labels.csv, image: path, patient: patient, split: split, labels: [upper, lower]}
encoder: quadrants
heads: [logistic]
near_duplicates: {cosine: 0.99999}
`

func TestCovariatesShowAShortcut(t *testing.T) {
	t.Parallel()
	w := joined(t)
	c, err := w.loadJoined(quick + "covariates: [site, age]\n")
	if err != nil {
		t.Fatal(err)
	}
	r, err := Run(t.Context(), c, w.options())
	if err != nil {
		t.Fatal(err)
	}
	g := r.Report.Covariates
	if g == nil || g.Head != "logistic" || len(g.Findings) != 2 {
		t.Fatalf("covariates %+v", g)
	}
	upper, lower := g.Findings[0], g.Findings[1]
	if upper.Covariates.Point < 0.85 || lower.Covariates.Point > 0.75 {
		t.Errorf("covariates alone: %v of upper, which the site tells, and %v of lower", upper.Covariates, lower.Covariates)
	}
	if d := lower.OverCovariates; d.Difference.Low <= 0 || d.Difference.Unit != "patient" || d.AdjustedP < d.P {
		t.Errorf("image over covariates for lower: %+v", d)
	}
	for k, f := range r.Report.Findings {
		if got, want := g.Findings[k].Image.Point, f.Methods[0].AUC.Point; got != want {
			t.Errorf("%s: image alone %v, in the table %v", f.Name, got, want)
		}
		if d := g.Findings[k]; math.Abs(d.OverImage.Difference.Point-(d.Both.Point-d.Image.Point)) > 1e-12 {
			t.Errorf("%s: difference %v of %v and %v", f.Name, d.OverImage.Difference, d.Both, d.Image)
		}
	}
	dir := t.TempDir() + "/run"
	if err := r.Write(dir); err != nil {
		t.Fatal(err)
	}
	left := files(t, dir)
	for _, name := range []string{"heads/covariates.safetensors", "heads/logistic+covariates.safetensors"} {
		if left[name] == "" {
			t.Errorf("no %s", name)
		}
	}
	if page := left["report.html"]; !strings.Contains(page, "What covariates add") || !strings.Contains(page, "site and age alone") {
		t.Error("the page says nothing of covariates")
	}
	if err := r.Write(dir); err != nil {
		t.Errorf("again: %v", err)
	}
}

func TestTestPartDoesNotTeachCovariates(t *testing.T) {
	t.Parallel()
	heads := func(change bool) string {
		w := joined(t)
		if change {
			for i, row := range w.rows {
				if strings.Contains(row, ",test,") {
					w.rows[i] = row[:strings.LastIndex(row, ",")] + ",99"
				}
			}
		}
		c, err := w.loadJoined(quick + "covariates: [site, age]\n")
		if err != nil {
			t.Fatal(err)
		}
		r, err := Run(t.Context(), c, w.options())
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(r.joined[1].head.W.Data, r.joined[1].head.Covariates.Columns)
	}
	if heads(false) != heads(true) {
		t.Error("other ages in test move the head or its encoding")
	}
}

func TestCovariatesThatCannotBeAreRefused(t *testing.T) {
	t.Parallel()
	for yaml, want := range map[string]string{
		"covariates: [sight]":                  `no attribute "sight"`,
		"covariates: [age, age]":               "each once",
		"covariates: [age]\nheads: [knn]":      "none of the heads",
		"covariates: [age]\ntrain: {shots: 4}": "shots: 0",
	} {
		w := joined(t)
		text := quick
		if strings.Contains(yaml, "heads:") {
			text = strings.Replace(text, "heads: [logistic]\n", "", 1)
		}
		c, err := w.loadJoined(text + yaml + "\n")
		if err == nil {
			_, err = Run(t.Context(), c, w.options())
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v: want %q", yaml, err, want)
		}
	}
}
