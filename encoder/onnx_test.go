package encoder

import (
	"errors"
	"fmt"
	"image"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/medprobe/medprobe/internal/npy"
	"github.com/medprobe/medprobe/internal/raster"
)

// export lays out the graphs in testdata/onnx/siglip as transformers.js does,
// beside the small files of the checkpoint they were exported from.
func export(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for from, to := range map[string]string{
		"onnx/siglip/vision_model.onnx":       "onnx/vision_model.onnx",
		"onnx/siglip/text_model.onnx":         "onnx/text_model.onnx",
		"siglip-f32/config.json":              "config.json",
		"siglip-f32/preprocessor_config.json": "preprocessor_config.json",
		"siglip-f32/spiece.model":             "spiece.model",
	} {
		copyTo(t, filepath.Join("testdata", from), filepath.Join(dir, to))
	}
	return dir
}

func copyTo(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// openImport imports what lies at src and opens it.
func openImport(t *testing.T, src string, o ImportOptions) (*Encoder, *Manifest) {
	t.Helper()
	o.Dir, o.Name = t.TempDir(), "x"
	m, err := Import(t.Context(), src, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := Verify(o.Dir, "x"); err != nil {
		t.Error(err)
	}
	e, err := Open(o.Dir, "x", Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e, m
}

func TestExportOfBothTowersAgreesWithPyTorch(t *testing.T) {
	t.Parallel()
	_, built := openImport(t, filepath.Join("testdata", "siglip-f32"), ImportOptions{})
	dir := export(t)
	write(t, filepath.Join(dir, "medprobe.yaml"), fmt.Sprintf("logit_scale: %v\nlogit_bias: %v\n", built.LogitScale, built.LogitBias))
	e, _ := openImport(t, dir, ImportOptions{})
	checkEncoder(t, e, filepath.Join("testdata", "siglip-f32", "golden.npz"))
}

// The same images through the graphs that medprobe builds and through those of
// an exporter: the preprocessing is the same too.
func TestExportGivesTheVectorsOfItsCheckpoint(t *testing.T) {
	t.Parallel()
	built, _ := openImport(t, filepath.Join("testdata", "siglip-f32"), ImportOptions{})
	exported, m := openImport(t, export(t), ImportOptions{})
	if m.LogitScale != 0 {
		t.Errorf("logit scale %v, which nothing says", m.LogitScale)
	}
	if built.Fingerprint() == exported.Fingerprint() {
		t.Error("other graphs have the same fingerprint")
	}
	if built.PreprocessFingerprint() != exported.PreprocessFingerprint() {
		t.Error("the same preprocessing has another fingerprint")
	}
	img := photograph(t, "rgb.png")
	a, err := built.EncodeImages(t.Context(), []image.Image{img})
	if err != nil {
		t.Fatal(err)
	}
	b, err := exported.EncodeImages(t.Context(), []image.Image{img})
	if err != nil {
		t.Fatal(err)
	}
	if c := cosineOf(a[0], b[0]); !(c > 0.999999) {
		t.Errorf("cosine %v", c)
	}
}

func photograph(t *testing.T, name string) image.Image {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "preprocess", "files", name))
	if err != nil {
		t.Fatal(err)
	}
	img, err := raster.Decode(data, 0)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

const tokensConfig = "mean: [0.5, 0.5, 0.5]\nstd: [0.5, 0.5, 0.5]\noutput: tokens\n"

// An image encoder with channels last, weights in a file beside it and a vector
// per token.
func TestLoneImageEncoderAgreesWithPyTorch(t *testing.T) {
	t.Parallel()
	golden := filepath.Join("testdata", "onnx", "tokens.npz")
	pixels := array(t, golden, "pixels")
	for _, pool := range []string{"cls", "mean"} {
		config := filepath.Join(t.TempDir(), "tokens.yaml")
		write(t, config, tokensConfig+"pool: "+pool+"\n")
		e, m := openImport(t, filepath.Join("testdata", "onnx", "tokens.onnx"), ImportOptions{Config: config})
		if m.Dim != 16 || m.ImageSize != 24 || m.HasText {
			t.Errorf("manifest %+v", m)
		}
		got, err := e.EncodePixels(t.Context(), pixels)
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range array(t, golden, pool) {
			for k := range want {
				if math.Abs(float64(got[i][k]-want[k])) > 1e-5 {
					t.Fatalf("%s: image %d, value %d: %v, want %v", pool, i, k, got[i][k], want[k])
				}
			}
		}
		if _, err := e.EncodeTexts(t.Context(), []string{"a"}); !errors.Is(err, ErrNoText) {
			t.Errorf("texts: %v, want ErrNoText", err)
		}
	}
}

// The middle cut out of an image whose shorter side is resized: equal to
// Pillow's, byte for byte.
func TestCentreCropEqualsPillow(t *testing.T) {
	t.Parallel()
	golden, err := npy.OpenArchive(filepath.Join("testdata", "onnx", "crops.npz"))
	if err != nil {
		t.Fatal(err)
	}
	defer golden.Close()
	for _, c := range []struct {
		name, config string
		size         int
	}{
		{"rgb.png", `{"do_center_crop":true,"crop_size":{"height":32,"width":32},"size":{"shortest_edge":40},"resample":3}`, 32},
		{"palette.png", `{"do_center_crop":true,"crop_size":32,"size":33,"resample":2}`, 32},
		{"two-wide.jpg", `{"do_center_crop":true,"crop_size":17,"size":{"shortest_edge":24}}`, 17},
	} {
		path := filepath.Join(t.TempDir(), "preprocessor_config.json")
		write(t, path, c.config)
		p, err := loadPreprocessor(path, c.size, ProfileHF)
		if err != nil {
			t.Fatal(err)
		}
		got, err := p.Pixels(photograph(t, c.name))
		if err != nil {
			t.Fatal(err)
		}
		want, err := golden.Read(c.name)
		if err != nil {
			t.Fatal(err)
		}
		values, err := want.Float32()
		if err != nil {
			t.Fatal(err)
		}
		lossy := strings.HasSuffix(c.name, ".jpg") // another inverse transform
		for i, v := range values {
			if d := math.Abs(float64((got[i]+1)*127.5 - v)); d > 0.01 && !lossy || d > 2 {
				t.Fatalf("%s: value %d is %v, Pillow's %v", c.name, i, (got[i]+1)*127.5, v)
			}
		}
	}
}

func TestUnclearExportsAreRefusedWithWhatToSay(t *testing.T) {
	t.Parallel()
	lone := filepath.Join("testdata", "onnx", "tokens.onnx")
	for name, c := range map[string]struct{ config, want string }{
		"nothing said":      {"layout: nhwc", "outputs tokens, attention: name one in"},
		"no such output":    {"output: token", `no output "token"; there are tokens, attention`},
		"no such input":     {"input: pixels\noutput: tokens", `no input "pixels"; there are images`},
		"no normalisation":  {"output: tokens", "mean: [0.485, 0.456, 0.406]"},
		"no pooling":        {tokensConfig, "a vector per token: want pool: cls"},
		"unknown pooling":   {tokensConfig + "pool: max", `"max"`},
		"wrong size":        {tokensConfig + "pool: cls\nsize: 32", "want a square, of 32 pixels"},
		"wrong layout":      {tokensConfig + "pool: cls\nlayout: nchw", "24 channels in layout nchw: want 3"},
		"unknown key":       {tokensConfig + "colour: rgb", "colour"},
		"unknown filter":    {tokensConfig + "pool: cls\nresample: lanczos", `"lanczos"`},
		"crop too small":    {tokensConfig + "pool: cls\ncrop: 20", "at least the crop's 24"},
		"no deviation":      {"output: tokens\npool: cls\nmean: [0,0,0]\nstd: [1,0,1]", "want them above 0"},
		"a mean too few":    {"output: tokens\npool: cls\nmean: [0,0]\nstd: [1,1,1]", "mean: [0.485"},
		"an output of maps": {"mean: [0,0,0]\nstd: [1,1,1]\noutput: attention\npool: cls", ""},
	} {
		config := filepath.Join(t.TempDir(), "tokens.yaml")
		write(t, config, c.config+"\n")
		dir := t.TempDir()
		_, err := Import(t.Context(), lone, ImportOptions{Dir: dir, Config: config})
		if c.want == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v: want %q", name, err, c.want)
		}
		if entries, _ := os.ReadDir(dir); len(entries) > 0 {
			t.Errorf("%s: left %v", name, entries)
		}
	}
}

func TestExportWithoutOurTokenizerHasImagesOnlyAndSaysWhy(t *testing.T) {
	t.Parallel()
	dir := export(t)
	if err := os.Remove(filepath.Join(dir, "spiece.model")); err != nil {
		t.Fatal(err)
	}
	e, _ := openImport(t, dir, ImportOptions{})
	if err := e.NoText(); !errors.Is(err, ErrNoText) || !strings.Contains(err.Error(), "only SigLIP's tokenizer is known") {
		t.Errorf("%v", err)
	}
}

func TestPrecisionOfAnExportIsThatOfItsFiles(t *testing.T) {
	t.Parallel()
	dir := export(t)
	if _, err := Import(t.Context(), dir, ImportOptions{Dir: t.TempDir(), Precision: "int8"}); err == nil || !strings.Contains(err.Error(), "there are text_model.onnx, vision_model.onnx") {
		t.Errorf("%v", err)
	}
	if _, err := Import(t.Context(), filepath.Join("testdata", "onnx", "tokens.onnx"), ImportOptions{Dir: t.TempDir(), Precision: "int8"}); err == nil || !strings.Contains(err.Error(), "taken as it is") {
		t.Errorf("%v", err)
	}
}

func TestTermsOfAModelComeAlong(t *testing.T) {
	t.Parallel()
	dir := export(t)
	write(t, filepath.Join(dir, "README.md"), "---\nlicense: other\nlicense_name: \"health-ai\"\nlicense_link: https://example.org/terms\ntags:\n- x\n---\n# A model\n")
	write(t, filepath.Join(dir, "Licence.txt"), "terms\n")
	_, m := openImport(t, dir, ImportOptions{})
	if m.License != "other, health-ai, https://example.org/terms" || m.Files["Licence.txt"] == "" {
		t.Errorf("license %q, files %v", m.License, m.Files)
	}
}

func TestDevicesAreNamedOrRefused(t *testing.T) {
	t.Parallel()
	for _, device := range []string{"", "cpu", "cuda", "cuda:0", "cuda:3"} {
		if err := CheckDevice(device); err != nil {
			t.Error(err)
		}
	}
	for _, device := range []string{"gpu", "cuda:", "cuda:x", "cuda:-1", "cuda0", "CUDA"} {
		if err := CheckDevice(device); err == nil || !strings.Contains(err.Error(), "want cpu, cuda or cuda:N") {
			t.Errorf("%q: %v", device, err)
		}
	}
}

// The library that the tests use has no CUDA: asking for it is an error that
// says what is needed, not a run on the CPU.
func TestMissingDeviceIsAnErrorNotAnotherDevice(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := Import(t.Context(), filepath.Join("testdata", "siglip-f32"), ImportOptions{Dir: dir, Name: "x"}); err != nil {
		t.Fatal(err)
	}
	e, err := Open(dir, "x", Options{Device: "cuda:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	_, err = e.EncodePixels(t.Context(), [][]float32{make([]float32, 3*e.ImageSize()*e.ImageSize())})
	if !errors.Is(err, ErrDevice) || !strings.Contains(err.Error(), "--ort-lib") {
		t.Errorf("%v: want ErrDevice", err)
	}
}
