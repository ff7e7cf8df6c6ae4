package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image/png"
	"math"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/medprobe/medprobe/evaluate"
)

// withEverything is a report in which every part of the page stands.
func withEverything(t *testing.T) *evaluate.Report {
	t.Helper()
	r := withTwins(t)
	picture := r.NearDuplicates.Shown[0].Train
	var scores []float64
	var labels []bool
	var sexes []string
	for i := range 200 {
		labels = append(labels, i%3 == 0)
		sexes = append(sexes, []string{"F", "M", ""}[i%7%3])
		p := 0.3 + 0.2*math.Sin(float64(7*i))
		if i%3 == 0 {
			p += 0.25
		}
		scores = append(scores, p)
	}
	sex, err := evaluate.Attribute{Column: "sex"}.Of(sexes)
	if err != nil {
		t.Fatal(err)
	}
	r.Mistakes = &evaluate.Mistakes{Method: "linear-probe"}
	for k := range r.Findings {
		f := &r.Findings[k]
		trial := evaluate.Trial{Name: f.Name, Labels: labels, Methods: []evaluate.Scored{{Method: "linear-probe", Scores: scores, Probabilities: scores}}}
		for i := range labels {
			trial.Groups = append(trial.Groups, fmt.Sprint(i/2))
		}
		reversed := make([]float64, len(scores)) // a head that takes the findings for their absence
		for i, p := range scores {
			reversed[i] = 1 - p
		}
		trial.Methods = append(trial.Methods, evaluate.Scored{Method: "logistic", Scores: reversed, Probabilities: reversed})
		for _, method := range []string{"linear-probe", "logistic"} {
			groups, err := trial.Subgroups(method, []evaluate.Attributed{sex}, 0.5, "patient")
			if err != nil {
				t.Fatal(err)
			}
			r.Subgroups = append(r.Subgroups, groups...)
		}
		at, err := evaluate.Operate(scores, labels, trial.Groups, 0.4, "patient")
		if err != nil {
			t.Fatal(err)
		}
		f.Methods[1].Cuts = []evaluate.Cut{{Rule: "youden", ChosenOn: "cross-validation", Operating: at}}
		r.Mistakes.Findings = append(r.Mistakes.Findings, evaluate.FindingMistakes{
			Finding: f.Name, Threshold: 0.4, Rule: "youden", FalsePositives: 1200, FalseNegatives: 1,
			Positive: []evaluate.Mistake{{Probability: 0.987654321, Image: picture, Nearest: []evaluate.Neighbour{{Cosine: 0.91, Positive: true, Image: picture}, {Cosine: 0.9, Image: []byte("<svg onload=alert(1)>")}}}},
			Negative: []evaluate.Mistake{{Probability: 0.0123, Nearest: []evaluate.Neighbour{}}},
		})
	}
	evaluate.AdjustSubgroups(r.Subgroups)
	return r
}

func TestEveryPartIsShown(t *testing.T) {
	t.Parallel()
	r := withEverything(t)
	page := written(t, HTML, r)
	checkPage(t, "everything", page)
	for _, want := range []string{
		`id="pr"`, `id="reliability"`, `id="subgroups"`, `id="mistakes"`, "threshold youden (from 0.4), sensitivity", "1,200 false positives from 0.4 (youden) on",
		"probability 0.987654", "positive, cosine 0.910", "not known", "What to show", `<option value="effusion">effusion</option>`, "; img-src data:",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	// Two of the pair, two for each finding's mistakes.
	if n, want := strings.Count(page, "<img "), 2+2*len(r.Findings); n != want {
		t.Errorf("%d pictures, want %d: what is no PNG is none", n, want)
	}
	if svgs, titles := strings.Count(page, `role="img"`), regexp.MustCompile(`role="img"[^>]*><title>[^<]{8,}`).FindAllString(page, -1); svgs != len(titles) || svgs < 30 {
		t.Errorf("%d plots, %d with a text alternative", svgs, len(titles))
	}
	for name, write := range writers {
		if name != "report.html" && !strings.Contains(written(t, write, r), "sex F") {
			t.Errorf("%s: no subgroups", name)
		}
	}
}

// The subgroups of every method are on the page: the first head's open, the others'
// folded, each with its own figures, in its own colour and hidden with it.
func TestSubgroupsOfEveryMethod(t *testing.T) {
	t.Parallel()
	r := withEverything(t)
	_, section, _ := strings.Cut(written(t, HTML, r), `<h2 id="subgroups">`)
	section, _, _ = strings.Cut(section, "</section>")
	open, folded, found := strings.Cut(section, `<details class="screen by2"><summary>Logistic</summary>`)
	if !found || strings.Contains(folded, "<details") {
		t.Fatal("want one part folded, of logistic")
	}
	for _, part := range []struct{ name, method, class, text string }{{"open", "linear-probe", "m1 by1", open}, {"folded", "logistic", "m2 by2", folded}} {
		if !strings.Contains(part.text, `<g class="`+part.class+`">`) {
			t.Errorf("%s: nothing is drawn in the colour of %s", part.name, part.method)
		}
		for _, g := range r.Subgroups {
			if here := strings.Contains(part.text, "AUC "+g.AUC.String()); here != (g.Score == part.method) {
				t.Errorf("%s: %s of %s, %s: there %v", part.name, g.AUC, g.Score, g.Label, here)
			}
		}
	}
	if !strings.Contains(open, `<div class="by1">`) {
		t.Error("the filters do not hide the first head's")
	}
}

func TestNoImagesMeansNone(t *testing.T) {
	t.Parallel()
	r := withEverything(t)
	bare := r.WithoutImages()
	if !r.ShowsImages() || bare.ShowsImages() || sample(t).ShowsImages() {
		t.Error("ShowsImages is wrong")
	}
	page := written(t, HTML, bare)
	if strings.Contains(page, "<img") || strings.Contains(page, "base64,iVBOR") || strings.Contains(page, "img-src") || !strings.Contains(page, "Images are not shown") {
		t.Error("a page without images has some, allows them, or does not say so")
	}
	if text := written(t, JSON, bare); strings.Contains(text, "iVBOR") {
		t.Error("report.json without images has some")
	}
	if !strings.Contains(written(t, HTML, r), "<img") {
		t.Error("leaving images out of a copy took them from the report")
	}
}

func TestVegaSpecificationsAreWhole(t *testing.T) {
	t.Parallel()
	files, err := Vega(withEverything(t))
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, f := range files {
		if names[f.Name] {
			t.Errorf("%s stands twice", f.Name)
		}
		names[f.Name] = true
		var spec struct {
			Schema string `json:"$schema"`
			Data   struct {
				Values []struct {
					What, Method string
					X, Y         *float64
					Row          string
				}
				URL *string
			}
			Layer []struct {
				Mark     any
				Encoding map[string]any
			}
			Description string
		}
		if err := json.Unmarshal(f.Data, &spec); err != nil {
			t.Fatalf("%s: %v", f.Name, err)
		}
		if spec.Schema != "https://vega.github.io/schema/vega-lite/v5.json" || len(spec.Data.Values) == 0 || spec.Data.URL != nil || len(spec.Layer) < 2 || spec.Description == "" {
			t.Errorf("%s: not a specification of version 5 with its data: %.200s", f.Name, f.Data)
		}
		for _, layer := range spec.Layer {
			if layer.Mark == nil || len(layer.Encoding) == 0 {
				t.Errorf("%s: a layer without mark or encoding", f.Name)
			}
		}
		for _, row := range spec.Data.Values {
			if row.What == "" || row.Method == "" || row.X == nil || row.What == "point" && row.Y == nil && row.Row == "" {
				t.Errorf("%s: row %+v", f.Name, row)
			}
		}
	}
	for _, want := range []string{"auc", "differences", "roc-02-effusion", "pr-02-effusion", "reliability-02-effusion", "subgroups-02-effusion", "curve-02-effusion"} {
		if !names[want+".vl.json"] {
			t.Errorf("no %s", want)
		}
	}
}

func TestFiguresAreTheSameBytes(t *testing.T) {
	t.Parallel()
	r := withEverything(t)
	r.Findings, r.Curves = r.Findings[:2], r.Curves[:4]
	a, err := Figures(r)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Figures(r)
	if err != nil {
		t.Fatal(err)
	}
	for k, f := range a {
		if f.Name != b[k].Name || !bytes.Equal(f.Data, b[k].Data) {
			t.Errorf("%s: the same report gives other bytes", f.Name)
		}
		if strings.HasSuffix(f.Name, ".png") {
			if img, err := png.Decode(bytes.NewReader(f.Data)); err != nil || img.Bounds().Dx() < 300 {
				t.Errorf("%s: %v", f.Name, err)
			}
		} else if !bytes.HasPrefix(f.Data, []byte("%PDF-")) || !bytes.Contains(f.Data, []byte("D:20000101000000")) {
			t.Errorf("%s: no PDF, or one with a date", f.Name)
		}
	}
	if len(a) != 2*(2+2*6) {
		t.Errorf("%d files, want PNG and PDF of 14 plots", len(a))
	}
	if none, err := Figures(&evaluate.Report{}); err != nil || len(none) != 0 {
		t.Errorf("an empty report gives %d figures, %v", len(none), err)
	}
}

func TestHostileNamesMakeNoFileNames(t *testing.T) {
	t.Parallel()
	r := hostile(t)
	r.Findings[0].Name, r.Findings[1].Name = "../../etc/passwd", strings.Repeat("ä/", 90)
	files, err := Vega(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !regexp.MustCompile(`^[a-z0-9-]{1,60}\.vl\.json$`).MatchString(f.Name) {
			t.Errorf("file name %q", f.Name)
		}
	}
}

func TestPaletteIsThatOfTheStylesheet(t *testing.T) {
	t.Parallel()
	css, err := os.ReadFile("report.css")
	if err != nil {
		t.Fatal(err)
	}
	light, _, _ := strings.Cut(string(css), "@media")
	for k, colour := range palette {
		if want := fmt.Sprintf("--m%d:%s", k, colour); !strings.Contains(light, want) {
			t.Errorf("report.css has no %s", want)
		}
		if dashes(k) != map[int]string{0: "5 3", 1: "", 2: "1.5 2.5", 3: "8 3 2 3"}[k] {
			t.Errorf("dashes of %d", k)
		}
	}
}
