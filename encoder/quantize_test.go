package encoder

import (
	"image"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/medprobe/medprobe/datasets/phantom"
)

// agreement returns the mean and the worst cosine between the vectors of one
// encoder and another, and how many of an image's ten nearest are the same.
func agreement(a, b [][]float32) (mean, worst, overlap float64) {
	worst = 1
	k := min(10, len(a)-1)
	for i := range a {
		c := cosine(a[i], b[i])
		mean, worst = mean+c/float64(len(a)), min(worst, c)
		same := 0
		near := nearest(a, i, k)
		for _, j := range nearest(b, i, k) {
			if slices.Contains(near, j) {
				same++
			}
		}
		overlap += float64(same) / float64(k*len(a))
	}
	return mean, worst, overlap
}

func nearest(x [][]float32, i, k int) []int {
	var others []int
	for j := range x {
		if j != i {
			others = append(others, j)
		}
	}
	slices.SortFunc(others, func(p, q int) int {
		switch cp, cq := cosine(x[i], x[p]), cosine(x[i], x[q]); {
		case cp > cq:
			return -1
		case cp < cq:
			return 1
		}
		return p - q
	})
	return others[:k]
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
	mean, worst, overlap := agreement(a, b)
	t.Logf("images: cosine %.5f in the mean, %.5f at worst, overlap@10 %.3f", mean, worst, overlap)
	if mean < 0.995 {
		t.Errorf("mean cosine %.5f: want at least 0.995", mean)
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
	mean, worst, _ = agreement(ta, tb)
	t.Logf("texts: cosine %.5f in the mean, %.5f at worst", mean, worst)
	if mean < 0.995 {
		t.Errorf("mean cosine of texts %.5f: want at least 0.995", mean)
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
