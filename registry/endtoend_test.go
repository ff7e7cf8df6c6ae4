package registry_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"image"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/medprobe/medprobe/encoder"
	"github.com/medprobe/medprobe/internal/needs"
	"github.com/medprobe/medprobe/internal/onnxfile"
	"github.com/medprobe/medprobe/internal/raster"
	"github.com/medprobe/medprobe/internal/vec"
	"github.com/medprobe/medprobe/registry"
	"github.com/medprobe/medprobe/trainer"
	ort "github.com/yalue/onnxruntime_go"
	"gonum.org/v1/gonum/blas/blas32"
)

// tower imports an encoder of the encoder package's tests and opens it.
func tower(t *testing.T, from string, o encoder.ImportOptions, profile encoder.Profile) (dir string, e *encoder.Encoder) {
	t.Helper()
	o.Dir, o.Name = t.TempDir(), "x"
	if _, err := encoder.Import(t.Context(), filepath.Join("..", "encoder", "testdata", from), o); err != nil {
		t.Fatal(err)
	}
	e, err := encoder.Open(o.Dir, "x", encoder.Options{Profile: profile})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return o.Dir, e
}

// photographs of the encoder package's tests.
func photographs(t *testing.T) (images []image.Image) {
	t.Helper()
	for _, name := range []string{"rgb.png", "grey16.png", "444.jpg", "alpha.png", "two-wide.jpg", "palette.gif", "grey.jpg"} {
		data, err := os.ReadFile(filepath.Join("..", "encoder", "testdata", "preprocess", "files", name))
		if err != nil {
			t.Fatal(err)
		}
		img, err := raster.Decode(data, 0)
		if err != nil {
			t.Fatal(err)
		}
		images = append(images, img)
	}
	return images
}

// embedded returns the images' vectors, of length one.
func embedded(t *testing.T, e *encoder.Encoder, images []image.Image) blas32.General {
	t.Helper()
	vectors, err := e.EncodeImages(t.Context(), images)
	if err != nil {
		t.Fatal(err)
	}
	x := blas32.General{Rows: len(vectors), Cols: e.Dim(), Stride: e.Dim()}
	for _, v := range vectors {
		if err := vec.Unit(v, v); err != nil {
			t.Fatal(err)
		}
		x.Data = append(x.Data, v...)
	}
	return x
}

// onImages trains a head whose first class is at the first images.
func onImages(t *testing.T, e *encoder.Encoder, x blas32.General, o trainer.Options) *trainer.Head {
	t.Helper()
	y := trainer.Targets{Classes: []string{"effusion"}}
	for i := range x.Rows {
		y.Values = append(y.Values, []int8{map[bool]int8{true: trainer.Positive, false: trainer.Negative}[i < x.Rows/2]})
	}
	h, err := trainer.Fit(t.Context(), x, y, nil, o)
	if err != nil {
		t.Fatal(err)
	}
	h.Space = trainer.Space{Encoder: e.Fingerprint(), Preprocess: e.PreprocessFingerprint()}
	return h
}

// The same images through encoder and head, and through the one graph that holds
// both.
func TestEndToEndGivesTheSameProbabilities(t *testing.T) {
	startRuntime(t)
	pooled := func(pool string) encoder.ImportOptions {
		config := filepath.Join(t.TempDir(), "tokens.yaml")
		if err := os.WriteFile(config, []byte("mean: [0.5, 0.5, 0.5]\nstd: [0.5, 0.5, 0.5]\noutput: tokens\npool: "+pool+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return encoder.ImportOptions{Config: config}
	}
	images := photographs(t)
	var graphs []string
	for name, c := range map[string]struct {
		from    string
		o       encoder.ImportOptions
		profile encoder.Profile
		head    trainer.Options
	}{
		"fp32":                     {"siglip-f32", encoder.ImportOptions{}, encoder.ProfileHF, trainer.Options{Head: trainer.Logistic, C: 10}},
		"int8":                     {"siglip-f32", encoder.ImportOptions{Precision: "int8"}, encoder.ProfilePadded, trainer.Options{Head: trainer.Logistic, C: 10}},
		"fp16":                     {"siglip-f32", encoder.ImportOptions{Precision: "fp16"}, encoder.ProfileBigVision, trainer.Options{Head: trainer.Logistic, C: 10}},
		"neighbours":               {"siglip-f32", encoder.ImportOptions{}, encoder.ProfileHF, trainer.Options{Head: trainer.KNN, Neighbours: 3}},
		"channels last, first":     {"onnx/tokens.onnx", pooled("cls"), encoder.ProfileHF, trainer.Options{Head: trainer.Logistic, C: 10}},
		"channels last, mean":      {"onnx/tokens.onnx", pooled("mean"), encoder.ProfileHF, trainer.Options{Head: trainer.Logistic, C: 10}},
		"an exporter's, one graph": {"onnx/siglip/vision_model.onnx", encoder.ImportOptions{Config: siglipConfig(t)}, encoder.ProfileHF, trainer.Options{Head: trainer.Logistic, C: 10}},
	} {
		dir, e := tower(t, c.from, c.o, c.profile)
		x := embedded(t, e, images)
		h := onImages(t, e, x, c.head)
		want, err := h.Probabilities(x)
		if err != nil {
			t.Fatal(err)
		}
		r := open(t, t.TempDir())
		v := addIn(t, r, h)
		image, err := encoder.FindImageModel(dir, "x", e.Fingerprint(), e.PreprocessFingerprint())
		if err != nil {
			t.Fatal(err)
		}
		out := filepath.Join(t.TempDir(), "model")
		if err := r.ExportEndToEnd(t.Context(), v, image, out); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		graphs = append(graphs, filepath.Join(out, "model.onnx"))
		if _, err := onnxfile.Inspect(graphs[len(graphs)-1]); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		again := filepath.Join(t.TempDir(), "model")
		if err := r.ExportEndToEnd(t.Context(), v, image, again); err != nil {
			t.Fatal(err)
		}
		second := contents(t, again)
		for file, b := range contents(t, out) {
			if !bytes.Equal(b, second[file]) || bytes.Contains(b, []byte("Doe")) || bytes.Contains(b, []byte(os.TempDir()+"/")) {
				t.Errorf("%s: %s differs between two exports, or names a patient or a path", name, file)
			}
		}
		pixels := make([][]float32, len(images))
		for i, img := range images {
			if pixels[i], err = e.Preprocess(img); err != nil {
				t.Fatal(err)
			}
		}
		got, names := inferPixels(t, graphs[len(graphs)-1], pixels, e.ImageSize(), len(h.Classes))
		worst := 0.0
		for i, p := range want.Data {
			worst = max(worst, math.Abs(p-float64(got[i])))
		}
		t.Logf("%s: greatest difference %.2g, probabilities %.4f to %.4f", name, worst, slices.Min(want.Data), slices.Max(want.Data))
		if !(worst <= 1e-4) {
			t.Errorf("%s: greatest difference %v: want 1e-4", name, worst)
		}
		if want := labels(h, got); !slices.Equal(names, want) {
			t.Errorf("%s: labels %q: want %q", name, names, want)
		}
		readme, err := os.ReadFile(filepath.Join(out, "README.md"))
		if err != nil || !strings.Contains(string(readme), "## Pixels in") || !strings.Contains(string(readme), "--preprocess "+string(c.profile)) {
			t.Errorf("%s: %v: the README does not say what the pixels are: %s", name, err, readme)
		}
	}
	checkEndToEnd(t, graphs)
}

// checkEndToEnd asks ONNX's own checker.
func checkEndToEnd(t *testing.T, graphs []string) {
	t.Helper()
	if err := exec.Command("/usr/bin/python3", "-c", "import onnx").Run(); err != nil {
		needs.Opinion(t, "no Python with onnx (Debian: python3-onnx)")
	}
	out, err := exec.Command("/usr/bin/python3", append([]string{"../tools/reference/onnxcheck.py"}, graphs...)...).Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	lines := 0
	for line := range strings.Lines(string(out)) {
		lines++
		var got struct {
			Inputs, Outputs map[string][]any
			Metadata        map[string]string
		}
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatal(err)
		}
		if len(got.Inputs) != 1 || len(got.Inputs["pixels"]) != 4 || got.Inputs["pixels"][0] != "N" || len(got.Outputs["label"]) != 1 || len(got.Outputs["probabilities"]) != 2 {
			t.Errorf("inputs %v, outputs %v", got.Inputs, got.Outputs)
		}
		if !strings.Contains(got.Metadata["medprobe.pixels"], `"image_mean":[0.5,0.5,0.5]`) || got.Metadata["medprobe.classes"] != `["effusion"]` {
			t.Errorf("metadata %v", got.Metadata)
		}
	}
	if lines != len(graphs) {
		t.Errorf("%d models checked: want %d", lines, len(graphs))
	}
}

// siglipConfig says how images are made ready for the exporter's graph.
func siglipConfig(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "siglip.yaml")
	if err := os.WriteFile(path, []byte("mean: [0.5, 0.5, 0.5]\nstd: [0.5, 0.5, 0.5]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// addIn keeps a head of a run in the head's own space.
func addIn(t *testing.T, r *registry.Registry, h *trainer.Head) *registry.Version {
	t.Helper()
	v, _, err := r.Add(t.Context(), "cxr", registry.Origin{Run: run(t, h), By: "ada"})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func startRuntime(t testing.TB) {
	t.Helper()
	rt, _, err := encoder.FindRuntime("")
	if err != nil {
		needs.Skip(t, err.Error())
	}
	if !ort.IsInitialized() {
		ort.SetSharedLibraryPath(rt.Path)
		if err := ort.InitializeEnvironment(); err != nil {
			t.Fatal(err)
		}
	}
}

// inferPixels runs a model from its file, image by image and all at once.
func inferPixels(t *testing.T, path string, pixels [][]float32, size, classes int) (probabilities []float32, names []string) {
	t.Helper()
	session, err := ort.NewDynamicAdvancedSession(path, []string{"pixels"}, []string{"label", "probabilities"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Destroy()
	in, err := ort.NewTensor(ort.NewShape(int64(len(pixels)), 3, int64(size), int64(size)), slices.Concat(pixels...))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Destroy()
	label, err := ort.NewStringTensor(ort.NewShape(int64(len(pixels))))
	if err != nil {
		t.Fatal(err)
	}
	defer label.Destroy()
	p, err := ort.NewEmptyTensor[float32](ort.NewShape(int64(len(pixels)), int64(classes)))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Destroy()
	if err := session.Run([]ort.Value{in}, []ort.Value{label, p}); err != nil {
		t.Fatal(err)
	}
	if names, err = label.GetContents(); err != nil {
		t.Fatal(err)
	}
	return slices.Clone(p.GetData()), names
}

// An encoder that is not there, another one, another preprocessing and damaged
// weights are said, and leave nothing behind.
func TestEndToEndWantsTheEncoderOfTheHead(t *testing.T) {
	startRuntime(t)
	dir, e := tower(t, "siglip-f32", encoder.ImportOptions{}, "")
	h := onImages(t, e, embedded(t, e, photographs(t)), trainer.Options{Head: trainer.Logistic, C: 1})
	r := open(t, t.TempDir())
	v := addIn(t, r, h)
	for want, find := range map[string]func() error{
		"imported: none": func() error {
			_, err := encoder.FindImageModel(t.TempDir(), "x", e.Fingerprint(), e.PreprocessFingerprint())
			return err
		},
		`"x" is imported with the fingerprint`: func() error {
			_, err := encoder.FindImageModel(dir, "x", "0123", e.PreprocessFingerprint())
			return err
		},
		`the head's was called "y"`: func() error {
			_, err := encoder.FindImageModel(dir, "y", "0123", e.PreprocessFingerprint())
			return err
		},
	} {
		if err := find(); !errors.Is(err, encoder.ErrNotFound) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "medprobe encoder import") {
			t.Errorf("error %v: want %q and what to do", err, want)
		}
	}
	if _, err := encoder.FindImageModel(dir, "x", e.Fingerprint(), "0123"); err == nil || !strings.Contains(err.Error(), "no profile of") {
		t.Errorf("another preprocessing: %v", err)
	}
	other, f := tower(t, "siglip-f32", encoder.ImportOptions{Precision: "int8"}, "")
	image, err := encoder.FindImageModel(other, "x", f.Fingerprint(), f.PreprocessFingerprint())
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "model")
	var mismatch *trainer.FingerprintError
	if err := r.ExportEndToEnd(t.Context(), v, image, out); !errors.As(err, &mismatch) {
		t.Errorf("the head with another encoder: %v: want a FingerprintError", err)
	}
	weights := filepath.Join(dir, "x", "vision.onnx.weights")
	b, err := os.ReadFile(weights)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(weights, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if image, err = encoder.FindImageModel(dir, "x", e.Fingerprint(), e.PreprocessFingerprint()); err != nil {
		t.Fatal(err)
	}
	if err := r.ExportEndToEnd(t.Context(), v, image, out); err == nil || !strings.Contains(err.Error(), "import it again") {
		t.Errorf("damaged weights: %v", err)
	}
	if files := contents(t, filepath.Dir(out)); len(files) != 0 {
		t.Errorf("%d files are left behind", len(files))
	}
}
