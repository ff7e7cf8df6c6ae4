package experiment

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/medprobe/medprobe/evaluate"
	"github.com/parquet-go/parquet-go"
)

// elsewhere draws the patients of another site into b.csv, brighter by shift. They
// have the finding upper alone, one that the experiment does not know, and names
// that the experiment's patients have too.
func (w *world) elsewhere(patients int, shift uint8) {
	w.t.Helper()
	random := rand.New(rand.NewPCG(8, 8))
	rows := []string{"path,patient,upper,other"}
	for p := range patients {
		for k := range 2 {
			name := fmt.Sprintf("b-%03d-%d.png", p, k)
			w.write(name, picture(w.t, [4]uint8{uint8(40 + 70*(p%2) + random.IntN(90)), uint8(random.IntN(200)) + shift, uint8(p + 100), uint8(random.IntN(200)) + shift}))
			rows = append(rows, fmt.Sprintf("%s,Doe^Jane-%03d,%d,1", name, p, p%2))
		}
	}
	w.write("b.csv", []byte(strings.Join(rows, "\n")+"\n"))
}

const withSiteB = quick + `
external:
  - {name: site-b, data: {format: csv, path: b.csv, patient: patient, labels: [upper, other]}}
`

func (w *world) runFolder(yaml string) (*Result, map[string]string) {
	w.t.Helper()
	r := w.run(yaml)
	dir := filepath.Join(w.t.TempDir(), "run")
	if err := r.Write(dir); err != nil {
		w.t.Fatal(err)
	}
	return r, files(w.t, dir)
}

// External test sets are judged and kept apart: heads, predictions and samples are
// the same bytes with them and without.
func TestExternalSetsAreJudgedAndKeptApart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.elsewhere(40, 0)
	_, without := w.runFolder(quick)
	r, with := w.runFolder(withSiteB)
	for name, text := range without {
		switch name {
		case "report.json", "report.html", "experiment.json", "manifest.json":
		default:
			if with[name] != text {
				t.Errorf("%s is another with an external test set", name)
			}
		}
	}
	if len(with) != len(without)+1 || with["external.parquet"] == "" {
		t.Errorf("%d files, without external test sets %d: want external.parquet more", len(with), len(without))
	}
	rows, err := parquet.Read[ExternalRow](bytes.NewReader([]byte(with["external.parquet"])), int64(len(with["external.parquet"])))
	if err != nil {
		t.Fatal(err)
	}
	// One row for each sample, finding and method; labels of an absent finding are
	// unknown.
	if len(rows) != 80*2*1 {
		t.Errorf("%d rows: want 80 samples × 2 findings × 1 method", len(rows))
	}
	var scores []float64
	var labels []bool
	var groups []string
	for _, row := range rows {
		if row.Dataset != "site-b" || (row.Finding == "lower") != (row.Label == nil) {
			t.Fatalf("row %+v", row)
		}
		if row.Finding == "upper" {
			scores, labels, groups = append(scores, row.Score), append(labels, *row.Label == 1), append(groups, row.Patient)
		}
	}
	if len(r.Report.External) != 1 {
		t.Fatalf("%d external test sets: want 1", len(r.Report.External))
	}
	e := r.Report.External[0]
	if e.Name != "site-b" || len(e.Absent) != 1 || e.Absent[0] != "lower" || len(e.Findings) != 1 || e.Counts.Used != 80 || e.Shared+e.NearTrain != 0 || *e.Dataset.Patients != 40 {
		t.Errorf("%+v", e)
	}
	want, err := evaluate.AUC(scores, labels, groups)
	if err != nil {
		t.Fatal(err)
	}
	if got := e.Findings[0].Methods[0].AUC; got == nil || got.Point != want.Point || got.Low != want.Low || got.Units != 40 {
		t.Errorf("AUC %v: want %v of its rows in external.parquet", got, want)
	}
	for _, row := range with {
		if strings.Contains(row, "b-000-0.png") && !strings.HasPrefix(row, "PAR1") {
			t.Error("a file names an image of the other site")
		}
	}
	if d := e.Drift; d == nil || d.Head != "logistic" || d.Embedding == nil || len(d.Findings) != 2 || d.Findings[0].AUC == nil || d.Findings[1].Rate != nil || d.Reference.Units != 30 {
		t.Errorf("drift %+v", d)
	}
	text, err := os.ReadFile(filepath.Join(w.dir, "experiment.yaml"))
	if err != nil || !bytes.Contains(text, []byte("b.csv")) || strings.Contains(with["experiment.json"], w.dir) {
		t.Errorf("experiment.json holds the place of the data (%v)", err)
	}
}

func TestAnotherSiteDrifts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.elsewhere(40, 55)
	d := w.run(withSiteB).Report.External[0].Drift
	if d.Verdict != evaluate.Drifted || !strings.Contains(d.Reason, "the embeddings lie apart") {
		t.Errorf("a brighter site: %s (%s), want drift of the embeddings", d.Verdict, d.Reason)
	}
	w.elsewhere(4, 0)
	if d := w.run(withSiteB).Report.External[0].Drift; d.Verdict != evaluate.CannotTell || d.Now.Units != 4 {
		t.Errorf("four patients: %s (%s), want that it cannot tell", d.Verdict, d.Reason)
	}
}

// An image of train in an external test set is a leak by its bytes, whatever its
// patient is called there.
func TestExternalSetsLeak(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.elsewhere(40, 0)
	table, err := os.ReadFile(filepath.Join(w.dir, "b.csv"))
	if err != nil {
		t.Fatal(err)
	}
	w.write("b.csv", append(table, []byte(w.twin("scan-000-0.png")+",Smith,0,1\n")...))
	if _, err := Run(t.Context(), w.load(withSiteB), w.options()); !errors.Is(err, ErrLeak) || !strings.Contains(err.Error(), "external site-b") || !strings.Contains(err.Error(), "1 of its images") {
		t.Errorf("an image of train: %v: want ErrLeak", err)
	}
	e := w.run(withSiteB + "leakage: drop\n").Report.External[0]
	if e.Shared != 1 || e.Counts.Used != 80 || len(e.Counts.Excluded) != 1 || e.Counts.Excluded[0].Reason != "its image in train too" {
		t.Errorf("dropped: %+v, %d shared", e.Counts, e.Shared)
	}
	e = w.run(withSiteB + "leakage: warn\n").Report.External[0]
	if e.Shared != 1 || e.Counts.Used != 81 || !strings.Contains(strings.Join(e.Warnings, " "), "1 of its images stand in train too") {
		t.Errorf("warned: %+v, %q", e.Counts, e.Warnings)
	}
	// So it is by its pixels, in a file of other bytes.
	w.write("b.csv", append(table, []byte(w.repacked("scan-000-0.png")+",Smith,0,1\n")...))
	if e := w.run(withSiteB + "leakage: drop\n").Report.External[0]; e.Shared != 1 || e.Counts.Used != 80 || e.NearTrain != 0 {
		t.Errorf("other bytes of the same pixels: %+v, %d shared, %d near", e.Counts, e.Shared, e.NearTrain)
	}
	// One that is nearly the same is counted.
	w.write("near.png", w.nearly("scan-000-0.png"))
	w.write("b.csv", append(table, []byte("near.png,Smith,0,1\n")...))
	if e := w.run(withSiteB).Report.External[0]; e.Shared != 0 || e.Counts.Used != 81 || e.NearTrain != 1 {
		t.Errorf("nearly the same: %+v, %d shared, %d near", e.Counts, e.Shared, e.NearTrain)
	}
	// An image of the test part is none.
	w.write("b.csv", append(table, []byte(w.twin("scan-058-0.png")+",Smith,0,1\n")...))
	if e := w.run(withSiteB).Report.External[0]; e.Shared != 0 || e.Counts.Used != 81 {
		t.Errorf("an image of test: %+v, %d shared", e.Counts, e.Shared)
	}
}

func (w *world) decoded(name string) *image.Gray {
	w.t.Helper()
	text, err := os.ReadFile(filepath.Join(w.dir, name))
	if err != nil {
		w.t.Fatal(err)
	}
	img, err := png.Decode(bytes.NewReader(text))
	if err != nil {
		w.t.Fatal(err)
	}
	return img.(*image.Gray)
}

// repacked writes the pixels of an image into a file of other bytes.
func (w *world) repacked(name string) string {
	w.t.Helper()
	var b bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.NoCompression}).Encode(&b, w.decoded(name)); err != nil {
		w.t.Fatal(err)
	}
	w.write("repacked.png", b.Bytes())
	return "repacked.png"
}

// nearly returns an image that the encoder sees alike, with one other pixel.
func (w *world) nearly(name string) []byte {
	w.t.Helper()
	img := w.decoded(name)
	img.Pix[9] ^= 1
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		w.t.Fatal(err)
	}
	return b.Bytes()
}

func TestExternalSetsThatCannotBe(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.elsewhere(3, 0)
	w.write("labels.csv", nil)
	load := func(yaml string) error {
		w.write("experiment.yaml", []byte(quick+yaml))
		_, err := Load(filepath.Join(w.dir, "experiment.yaml"))
		return err
	}
	for yaml, want := range map[string]string{
		"external: [{name: a, data: csv:b.csv}, {name: a, data: csv:b.csv}]": `name "a" stands twice`,
		"external: [{name: ../a, data: csv:b.csv}]":                          `name "../a": want up to 20`,
		"external: [{name: a}]":                                              "data: missing",
		"external: [{name: a, date: csv:b.csv}]":                             "date",
	} {
		if err := load(yaml); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v: want an error with %q", yaml, err, want)
		}
	}
	c := w.load(quick + "external: [{name: a, data: {format: csv, path: b.csv, labels: [other]}}]")
	if _, err := Run(t.Context(), c, w.options()); err == nil || !strings.Contains(err.Error(), `external a: it knows none of the findings ["upper" "lower"]: it has ["other"]`) {
		t.Errorf("no finding in common: %v", err)
	}
	c = w.load(quick + "external: [{name: a, data: csv:c.csv}]")
	if _, err := Run(t.Context(), c, w.options()); err == nil || !strings.Contains(err.Error(), "external a: ") {
		t.Errorf("a table that is not there: %v", err)
	}
}
