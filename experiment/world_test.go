package experiment

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/medprobe/medprobe/embedcache"
	"github.com/medprobe/medprobe/encoder"
	"github.com/medprobe/medprobe/internal/vec"
	"go.uber.org/goleak"
)

// An imported encoder is what an experiment wants.
var _ Encoder = (*encoder.Encoder)(nil)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// quadrants is an encoder that sees the brightness of the four quarters of an
// image. A text's vector is the quarter that it names, and "noise" none.
type quadrants struct{ encoded int }

func (*quadrants) Name() string                  { return "quadrants" }
func (*quadrants) Source() string                { return "drawn/quadrants" }
func (*quadrants) License() string               { return "cc0-1.0" }
func (*quadrants) Fingerprint() string           { return strings.Repeat("ab", 32) }
func (*quadrants) PreprocessFingerprint() string { return strings.Repeat("cd", 32) }
func (*quadrants) Dim() int                      { return 5 }
func (*quadrants) LogitScale() float64           { return 10 }
func (*quadrants) LogitBias() float64            { return -2 }

func (*quadrants) Preprocess(img image.Image) ([]float32, error) {
	b, v := img.Bounds(), make([]float32, 5)
	for q := range 4 {
		r, _, _, _ := img.At(b.Min.X+b.Dx()/4+q%2*b.Dx()/2, b.Min.Y+b.Dy()/4+q/2*b.Dy()/2).RGBA()
		v[q] = float32(r) / 0xffff
	}
	v[4] = 1 // never of length zero
	return v, nil
}

func (q *quadrants) EncodePixels(ctx context.Context, pixels [][]float32) ([][]float32, error) {
	q.encoded += len(pixels)
	return pixels, ctx.Err()
}

func (*quadrants) EncodeTexts(_ context.Context, texts []string) ([][]float32, error) {
	var vectors [][]float32
	for _, text := range texts {
		v := []float32{0, 0, 0, 0, 1}
		for q, name := range []string{"upper left", "upper right", "lower left", "lower right"} {
			if strings.Contains(text, name) {
				v[q] = 1
			}
		}
		if strings.Contains(text, "mute") {
			return nil, errors.New("no text tower")
		}
		vectors = append(vectors, v)
	}
	return vectors, nil
}

// picture is an 8×8 PNG with the quarters of a brightness.
func picture(t testing.TB, quarters [4]uint8) []byte {
	t.Helper()
	img := image.NewGray(image.Rect(0, 0, 8, 8))
	for i := range img.Pix {
		img.Pix[i] = quarters[i%8/4+i/32*2]
	}
	img.SetGray(0, 0, color.Gray{Y: quarters[0]})
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// world is a folder with an experiment on drawn patients: upper is bright in
// the upper left, which a prompt names, lower in the lower right, which none
// does.
type world struct {
	t   *testing.T
	dir string
	// rows are the lines of labels.csv under its header.
	rows []string
}

const patients = 60

// newWorld draws two images of each patient; images of one patient are alike.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir()}
	random := rand.New(rand.NewPCG(7, 7))
	for p := range patients {
		upper, lower := p%2, p/2%2
		split := "train"
		if p >= patients/2 {
			split = "test"
		}
		for k := range 2 {
			noisy := func(positive int) uint8 { return uint8(60 + 70*positive + random.IntN(90)) }
			name := fmt.Sprintf("scan-%03d-%d.png", p, k)
			w.write(name, picture(t, [4]uint8{noisy(upper), uint8(random.IntN(255)), uint8(p), noisy(lower)}))
			w.rows = append(w.rows, fmt.Sprintf("%s,Doe^Jane-%03d,%s,%d,%d", name, p, split, upper, lower))
		}
	}
	return w
}

// twin copies an image to another name and returns that.
func (w *world) twin(name string) string {
	w.t.Helper()
	data, err := os.ReadFile(filepath.Join(w.dir, name))
	if err != nil {
		w.t.Fatal(err)
	}
	w.write("twin-of-"+name, data)
	return "twin-of-" + name
}

func (w *world) write(name string, data []byte) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, name), data, 0o644); err != nil {
		w.t.Fatal(err)
	}
}

const pairs = `
name: Quarters
data: {format: csv, path: labels.csv, image: path, patient: patient, split: split, labels: [upper, lower]}
encoder: quadrants
prompts:
  upper: {positive: [bright in the upper left], negative: [noise]}
  lower: {positive: [a streak], negative: [noise]}
curve: {shots: [1, 4, 500], draws: 3}
near_duplicates: {cosine: 0.99999}
`

// load writes labels.csv and the experiment, and loads it.
func (w *world) load(yaml string) *Config {
	w.t.Helper()
	w.write("labels.csv", []byte("path,patient,split,upper,lower\n"+strings.Join(w.rows, "\n")+"\n"))
	w.write("experiment.yaml", []byte(yaml))
	c, err := Load(filepath.Join(w.dir, "experiment.yaml"))
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func (w *world) options() Options {
	w.t.Helper()
	cache, err := embedcache.Open(w.t.Context(), filepath.Join(w.t.TempDir(), "cache.db"))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := cache.Close(); err != nil {
			w.t.Error(err)
		}
	})
	return Options{Encoder: &quadrants{}, Cache: cache}
}

func (w *world) run(yaml string) *Result {
	w.t.Helper()
	r, err := Run(w.t.Context(), w.load(yaml), w.options())
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// files returns what lies in a folder, by path.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		all[filepath.ToSlash(name)] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// unit returns v at length one.
func unit(t *testing.T, v []float32) []float32 {
	t.Helper()
	if err := vec.Unit(v, v); err != nil {
		t.Fatal(err)
	}
	return v
}
