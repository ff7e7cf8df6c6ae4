package experiment

import (
	"context"
	"fmt"
	"image"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/medprobe/medprobe/datasets"
	"github.com/medprobe/medprobe/trainer"
	"gonum.org/v1/gonum/blas/blas32"
)

// Where an ensemble is linear, what is asked of the cosines and the head made of
// the prompts say the same, to the rounding of float32.
func TestQuestionsAgreeWithTheHead(t *testing.T) {
	t.Parallel()
	enc, classes := &quadrants{}, []string{"upper", "lower"}
	x := blas32.General{Rows: 3, Cols: 5, Stride: 5}
	for _, v := range [][]float32{{0.9, 0.2, 0.4, 0.1, 1}, {0.1, 0.1, 0.8, 0.7, 1}, {0, 0.3, 0, 0.9, 1}} {
		x.Data = append(x.Data, unit(t, v)...)
	}
	for _, ensemble := range []Ensemble{"", EnsembleMean, EnsembleScores} {
		for _, score := range Scores() {
			prompts := Prompts{}
			for name, p := range asked {
				p.Ensemble = ensemble
				prompts[name] = p
			}
			prior, _, err := newPrior(t.Context(), enc, classes, false, prompts, Score(score))
			if err != nil {
				t.Fatal(err)
			}
			head, err := trainer.ZeroShot(*prior, classes, score == string(ScoreSoftmax), trainer.Space{})
			if err != nil {
				t.Fatal(err)
			}
			want, err := head.LogOdds(x)
			if err != nil {
				t.Fatal(err)
			}
			q, err := newQuestions(t.Context(), enc, classes, false, prompts, Score(score))
			if err != nil {
				t.Fatal(err)
			}
			images, err := rowsOf(x, 1)
			if err != nil {
				t.Fatal(err)
			}
			got := q.ask(images)
			for i := range got.odds.Data {
				if math.Abs(got.odds.Data[i]-want.Data[i]) > 1e-5 {
					t.Errorf("%s of %q: log-odds %v, want %v", score, ensemble, got.odds.Data[i], want.Data[i])
				}
			}
		}
	}
}

// The greatest cosine over texts, and over the vectors of an image, computed
// here by hand: the texts name one axis each.
func TestMaxOverTextsAndVectors(t *testing.T) {
	t.Parallel()
	h := math.Sqrt(0.5)
	q := &questions{
		score: ScoreDifference, classes: []string{"a"}, scale: 1,
		positive: [][][]float32{{{1, 0}, {0, 1}}}, negative: [][][]float32{{{float32(h), float32(h)}}},
	}
	images, err := rowsOf(blas32.General{Rows: 1, Cols: 4, Stride: 4, Data: []float32{3, 4, 0, 2}}, 2)
	if err != nil {
		t.Fatal(err)
	}
	// Unit vectors (.6, .8) and (0, 1): the best positive is 1, the best
	// negative (.6+.8)·√½.
	if got, want := q.ask(images).odds.Data[0], 1-1.4*h; math.Abs(got-want) > 1e-6 {
		t.Errorf("difference %v, want %v", got, want)
	}
	if _, err := rowsOf(blas32.General{Rows: 1, Cols: 4, Stride: 4, Data: []float32{3, 4, 0, 0}}, 2); err == nil || !strings.Contains(err.Error(), "vector 2") {
		t.Errorf("error %v: want the vector of length zero", err)
	}
}

func TestTemplatesAndEnsembles(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "p.yaml")
	load := func(text string) (Prompts, error) {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return loadPrompts(file)
	}
	p, err := load(`"*": {templates: ["a film with {}", "{} is seen"], ensemble: max}
edema: {positive: [edema, swelling], negative: [no edema]}
mass: {positive: [mass], templates: ["{}"], ensemble: mean}
`)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"a film with edema", "a film with swelling", "edema is seen", "swelling is seen"}
	if got := p["edema"]; len(p) != 2 || !slices.Equal(got.Positive, want) || !slices.Equal(got.Negative, []string{"a film with no edema", "no edema is seen"}) || got.Ensemble != EnsembleMax {
		t.Errorf("%+v", p)
	}
	if got := p["mass"]; !slices.Equal(got.Positive, []string{"mass"}) || got.Ensemble != EnsembleMean {
		t.Errorf("its own templates: %+v", got)
	}
	for text, want := range map[string]string{
		`{mass: {positive: [x], templates: ["a film"]}}`: `template "a film" has no {}`,
		`{mass: {positive: [x], ensemble: maxx}}`:        `did you mean "max"`,
		`{"*": {positive: [x]}, mass: {positive: [x]}}`:  `"*" stands for every finding`,
		`{mass: {negative: [x]}}`:                        "mass: no positive text",
		`{mass: {positive: [x, " "]}}`:                   "mass: a text is empty",
		`{mass: {positive: [x], negative: [""]}}`:        "mass: a text is empty",
	} {
		if _, err := load(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", text, err, want)
		}
	}
	if _, _, err := newPrior(t.Context(), &quadrants{}, []string{"edema"}, false, Prompts{"edema": {Positive: []string{"x"}, Ensemble: EnsembleMax}}, ""); err == nil || !strings.Contains(err.Error(), "no linear classifier") {
		t.Errorf("error %v: want why max is no start for a head", err)
	}
}

func TestPacksKnowTheirDatasets(t *testing.T) {
	t.Parallel()
	for pack, classes := range map[string][]string{
		"chexpert":    {"No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema", "Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture", "Support Devices"},
		"nih":         {"Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumonia", "Pneumothorax", "Consolidation", "Edema", "Emphysema", "Fibrosis", "Pleural_Thickening", "Hernia", "pleural"},
		"scin":        {"Eczema", "Allergic Contact Dermatitis", "Insect Bite", "Urticaria", "Psoriasis", "Folliculitis", "Irritant Contact Dermatitis", "Tinea", "Herpes Zoster", "Drug Rash"},
		"colorectal":  {"ADI", "BACK", "DEB", "LYM", "MUC", "MUS", "NORM", "STR", "TUM", "adipose", "colorectal adenocarcinoma epithelium"},
		"retinopathy": {"0", "1", "2", "3", "4", "No DR"},
		"dermoscopy":  {"akiec", "bcc", "bkl", "df", "mel", "nv", "vasc", "benign keratosis-like lesions"},
		"blood":       {"basophil", "eosinophil", "erythroblast", "immature granulocytes", "lymphocyte", "monocyte", "neutrophil", "platelet"},
	} {
		p, err := loadPrompts("pack:" + pack)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.known(&datasets.Dataset{Classes: classes}); len(got) != len(classes) {
			t.Errorf("pack %s knows %v of %v", pack, sortedKeys(got), classes)
		}
		if odd := p.suspects(&quadrants{}); len(odd) > 0 {
			t.Errorf("pack %s: %q", pack, odd)
		}
	}
}

// short reads four words.
type short struct{ quadrants }

func (*short) Cut(text string) int { return max(0, len(strings.Fields(text))-4) }

func TestSuspectPromptsAreNamed(t *testing.T) {
	t.Parallel()
	odd := Prompts{
		"No Finding": {Positive: []string{"No Finding"}, Negative: []string{"no No Finding"}},
		"edema":      {Positive: []string{"one two three four five six"}, Negative: []string{"no edema"}},
		"mass":       {Positive: []string{"a mass"}, Negative: []string{"a mass"}},
		"nodule":     {Positive: []string{"a nodule"}, Negative: []string{"no nodule", "nose, not nodule"}},
	}.suspects(&short{})
	want := []string{`No Finding: "no No Finding" negates itself`, `edema: "one two three four five six" is cut at 64 tokens: its last 2`, `mass: "a mass" is both`}
	for _, w := range want {
		if !slices.ContainsFunc(odd, func(text string) bool { return strings.Contains(text, w) }) {
			t.Errorf("no %q in %q", w, odd)
		}
	}
	if slices.ContainsFunc(odd, func(text string) bool { return strings.Contains(text, "nodule") }) {
		t.Errorf("an honest prompt: %q", odd)
	}
}

// A prompt whose two sides were swapped is named, in a run from its training
// part, before the test part is looked at.
func TestScoresTurnedAroundAreNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	swapped := strings.Replace(pairs, "{positive: [bright in the upper left], negative: [noise]}", "{positive: [noise], negative: [bright in the upper left]}", 1)
	warned := func(warnings []string, on string) bool {
		return slices.ContainsFunc(warnings, func(text string) bool {
			return strings.Contains(text, "upper: zero-shot's AUC") && strings.Contains(text, on)
		})
	}
	if r := w.run(swapped).Report; !warned(r.Warnings, "training part") {
		t.Errorf("warnings %q", r.Warnings)
	}
	if r := w.run(pairs).Report; warned(r.Warnings, "") {
		t.Errorf("an honest prompt: warnings %q", r.Warnings)
	}
	w.write("prompts.yaml", []byte("upper: {positive: [noise], negative: [upper left]}\nlower: {positive: [lower right], negative: [noise]}\n"))
	r, err := ZeroShot{Data: w.load(pairs).Data, Prompts: w.dir + "/prompts.yaml", MaxFailures: "0"}.Run(t.Context(), w.options())
	if err != nil || !warned(r.Warnings, "these samples") {
		t.Errorf("warnings %+v, %v", r, err)
	}
}

// halves gives two vectors per image: the upper two quarters and the lower two.
type halves struct{ quadrants }

func (*halves) Tokens() int { return 2 }
func (*halves) Dim() int    { return 5 }
func (h *halves) Preprocess(img image.Image) ([]float32, error) {
	v, err := h.quadrants.Preprocess(img)
	if err != nil {
		return nil, err
	}
	return []float32{v[0], v[1], 0, 0, 1, 0, 0, v[2], v[3], 1}, nil
}

func (h *halves) EncodePixels(ctx context.Context, pixels [][]float32) ([][]float32, error) {
	for _, p := range pixels {
		if len(p) != 10 {
			return nil, fmt.Errorf("%d values", len(p))
		}
	}
	return pixels, ctx.Err()
}

func TestImagesOfSeveralVectors(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("prompts.yaml", []byte("upper: {positive: [upper left], negative: [noise]}\nlower: {positive: [lower right], negative: [noise]}\n"))
	o := w.options()
	o.Encoder = &halves{}
	r, err := ZeroShot{Data: w.load(pairs).Data, Prompts: w.dir + "/prompts.yaml", Score: ScoreDifference, MaxFailures: "0"}.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.Findings {
		if f.Methods[0].AUC.Point < 0.75 {
			t.Errorf("%s: AUC %v", f.Name, f.Methods[0].AUC)
		}
	}
}
