package encoder

import (
	"image"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/medprobe/medprobe/datasets/phantom"
	"github.com/medprobe/medprobe/internal/needs"
)

// agreement is [Agree] of vectors that can be compared.
func agreement(t testing.TB, a, b [][]float32) Agreement {
	t.Helper()
	g, err := Agree(a, b)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("cosine %.5f in the mean, %.5f at worst, overlap@10 %.3f", g.MeanCosine, g.WorstCosine, g.Overlap)
	return g
}

// pair imports a checkpoint in both precisions.
func pair(t testing.TB, checkpoint string) (fp32, int8 *Encoder) {
	t.Helper()
	needRuntime(t)
	dir := t.TempDir()
	open := func(precision string) *Encoder {
		if _, err := Import(t.Context(), checkpoint, ImportOptions{Dir: dir, Name: precision, Precision: precision}); err != nil {
			t.Fatal(err)
		}
		e, err := Open(dir, precision, Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { e.Close() })
		return e
	}
	return open(precisionFP32), open(precisionInt8)
}

func TestInt8StaysCloseOnTheDemoEncoder(t *testing.T) {
	t.Parallel()
	needs.Time(t)
	fp32, int8 := pair(t, filepath.Join("..", "examples", "demo", "encoder"))
	if fp32.Fingerprint() == int8.Fingerprint() {
		t.Error("both precisions have one fingerprint")
	}
	var images []image.Image
	for n := range uint64(60) {
		images = append(images, phantom.NewPatient(77, n).Radiograph(0).Image)
	}
	a, err := fp32.EncodeImages(t.Context(), images)
	if err != nil {
		t.Fatal(err)
	}
	b, err := int8.EncodeImages(t.Context(), images)
	if err != nil {
		t.Fatal(err)
	}
	if g := agreement(t, a, b); g.MeanCosine < 0.995 {
		t.Errorf("images: %+v: want a mean cosine of at least 0.995", g)
	}
	texts := []string{"a chest radiograph with an effusion", "a chest radiograph with no effusion", "a red blood cell", "an enlarged heart", "a nodule"}
	ta, err := fp32.EncodeTexts(t.Context(), texts)
	if err != nil {
		t.Fatal(err)
	}
	tb, err := int8.EncodeTexts(t.Context(), texts)
	if err != nil {
		t.Fatal(err)
	}
	if g := agreement(t, ta, tb); g.MeanCosine < 0.995 {
		t.Errorf("texts: %+v: want a mean cosine of at least 0.995", g)
	}
}

// A layer's integers give what plain arithmetic on the rounded weights gives.
func TestQuantizedRowsAreNearTheirWeights(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 1))
	const n, width = 7, 50
	data := make([]float32, n*width)
	for i := range data {
		data[i] = float32(random.NormFloat64() * math.Pow(10, float64(i/width-3)))
	}
	clear(data[3*width : 4*width]) // a row of zeros
	values, scales := quantizeRows(data, n, width)
	if len(values) != n*width || len(scales) != 4*n {
		t.Fatalf("%d values, %d bytes of scales", len(values), len(scales))
	}
	for r := range n {
		row := data[r*width : (r+1)*width]
		scale := bestScale(row)
		signal, noise := 0.0, 0.0
		for c, v := range row {
			q := int8(values[c*n+r])
			if q > weightSteps || q < -weightSteps {
				t.Fatalf("step %d", q)
			}
			d := float64(v) - float64(q)*float64(scale)
			signal, noise = signal+float64(v*v), noise+d*d
		}
		if noise > signal*3e-4 {
			t.Errorf("row %d: noise %.1e of %.1e", r, noise, signal)
		}
	}
}

func TestInt8TakesAQuarterOfTheSpace(t *testing.T) {
	t.Parallel()
	needs.Time(t)
	dir := t.TempDir()
	size := map[string]int64{}
	for _, precision := range Precisions() {
		if _, err := Import(t.Context(), filepath.Join("..", "examples", "demo", "encoder"), ImportOptions{Dir: dir, Name: precision, Precision: precision}); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(filepath.Join(dir, precision, visionGraph+".weights"))
		if err != nil {
			t.Fatal(err)
		}
		size[precision] = info.Size()
	}
	if ratio := float64(size[precisionFP32]) / float64(size[precisionInt8]); ratio < 2.5 {
		t.Errorf("int8 weights take %d bytes, fp32 %d: want far less", size[precisionInt8], size[precisionFP32])
	}
}

func TestAgreementOfKnownVectors(t *testing.T) {
	t.Parallel()
	a := [][]float32{{1, 0}, {0.9, 0.1}, {0, 1}, {0.1, 0.9}}
	if g := agreement(t, a, a); g.MeanCosine < 1-1e-12 || g.WorstCosine < 1-1e-12 || g.Overlap != 1 || g.Images != 4 {
		t.Errorf("with itself: %+v", g)
	}
	// The other way round: every cosine is that of swapped coordinates.
	b := [][]float32{{0, 1}, {0.1, 0.9}, {1, 0}, {0.9, 0.1}}
	if g := agreement(t, a, b); g.WorstCosine != 0 || g.Overlap != 1 {
		t.Errorf("swapped: %+v", g)
	}
	for name, pair := range map[string][2][][]float32{
		"at least two": {a[:1], b[:1]},
		"as many":      {a, b[:3]},
		"dimensions":   {a, {{1}, {1}, {1}, {1}}},
		"length zero":  {a, {{1, 0}, {0, 0}, {0, 1}, {1, 1}}},
	} {
		if _, err := Agree(pair[0], pair[1]); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v: want %q", err, name)
		}
	}
}
