package encoder

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/medprobe/medprobe/internal/atomicfile"
	"github.com/medprobe/medprobe/internal/onnxfile"
	"github.com/medprobe/medprobe/internal/onnxgraph"
)

// ImageModel is the image tower of an imported encoder as files, to be joined with
// what is to read its vectors. It needs no ONNX Runtime.
type ImageModel struct {
	manifest   Manifest
	folder     string
	preprocess *preprocessor
}

// FindImageModel finds the imported encoder and the preprocessing profile with the
// fingerprints. name is what it was called once, for the error: that wraps
// [ErrNotFound] where there is no such encoder.
func FindImageModel(dir, name, fingerprint, preprocess string) (*ImageModel, error) {
	all, err := List(dir)
	if err != nil {
		return nil, err
	}
	known := []string{}
	for _, m := range all {
		if m.Fingerprint == fingerprint {
			return newImageModel(dir, m, preprocess)
		}
		known = append(known, fmt.Sprintf("%s (%.12s)", m.Name, m.Fingerprint))
	}
	what := fmt.Sprintf("encoder: no imported encoder has the fingerprint %.12s; the head's was called %q", fingerprint, name)
	if i := slices.IndexFunc(all, func(m Manifest) bool { return m.Name == name }); i >= 0 {
		what = fmt.Sprintf("encoder: %q is imported with the fingerprint %.12s, the head was trained on %.12s", name, all[i].Fingerprint, fingerprint)
	}
	if len(known) == 0 {
		known = append(known, "none")
	}
	return nil, fmt.Errorf("%s: %w; import the one it was trained on, in the same precision: medprobe encoder import SRC; imported: %s", what, ErrNotFound, strings.Join(known, ", "))
}

func newImageModel(dir string, m Manifest, preprocess string) (*ImageModel, error) {
	e := &ImageModel{manifest: m, folder: filepath.Join(dir, m.Name)}
	for _, profile := range Profiles() {
		p, err := loadPreprocessor(filepath.Join(e.folder, preprocessorFile), m.ImageSize, Profile(profile))
		if err != nil {
			return nil, fmt.Errorf("encoder: %w", err)
		}
		if p.Fingerprint() == preprocess {
			e.preprocess = p
			return e, nil
		}
	}
	return nil, fmt.Errorf("encoder: %s: no profile of %q has the preprocessing fingerprint %.12s that the head was trained on: its preprocessor_config.json is another, or this medprobe makes other pixels; train the head again", m.Name, Profiles(), preprocess)
}

// Fingerprint is that of [Encoder.Fingerprint].
func (e *ImageModel) Fingerprint() string { return e.manifest.Fingerprint }

// PreprocessFingerprint is that of [Encoder.PreprocessFingerprint].
func (e *ImageModel) PreprocessFingerprint() string { return e.preprocess.Fingerprint() }

const (
	jointFile  = "model.onnx"
	pixelsName = "pixels"
)

// Join writes into the folder dir model.onnx: the tower, which takes "pixels",
// float32 [N, 3, size, size] as [Encoder.Preprocess] gives them, its vectors made
// of length one, and the model that reads them as float32 [N, Dim]. Its outputs and
// metadata are the joint model's; more metadata say what the pixels are. A tower
// that takes one image at a time makes a model that does, N = 1. Weights outside the
// tower's graph are copied beside the model and checked against their digests on the
// way, a piece in memory at a time; the encoder's licences are copied too.
func (e *ImageModel) Join(ctx context.Context, dir string, reader []byte) error {
	if err := e.join(ctx, dir, reader); err != nil {
		return fmt.Errorf("encoder: %s: %w", e.manifest.Name, err)
	}
	return nil
}

func (e *ImageModel) join(ctx context.Context, dir string, reader []byte) error {
	t := e.manifest.vision()
	model := filepath.Join(e.folder, filepath.FromSlash(t.File))
	if err := checkDigest(model, e.manifest.Files[t.File]); err != nil {
		return fmt.Errorf("%q %w; import it again", t.File, err)
	}
	inside, err := onnxfile.Inspect(model)
	if err != nil {
		return err
	}
	for _, name := range inside.External {
		if name == jointFile {
			return fmt.Errorf("its weights lie in a file %q: name that otherwise and import it again", name)
		}
		from := path.Join(path.Dir(t.File), filepath.ToSlash(name))
		if err := e.copyWeights(ctx, from, filepath.Join(dir, filepath.FromSlash(name))); err != nil {
			return err
		}
	}
	for name := range e.manifest.Files { // the weights' terms go where they go
		if IsLicence(name) {
			if err := copyFile(filepath.Join(e.folder, name), filepath.Join(dir, name)); err != nil {
				return err
			}
		}
	}
	if reader, err = e.describe(reader); err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(dir, jointFile), func(w io.Writer) error {
		return onnxfile.Join(w, e.pixels(t), model, e.unit(t), reader)
	})
}

// copyWeights copies a file of the encoder's and checks its digest. A hard link
// would be faster, but runtimes refuse weights that have a second name, and who
// changed the one would change the other.
func (e *ImageModel) copyWeights(ctx context.Context, name, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	got, err := copyLarge(ctx, filepath.Join(e.folder, filepath.FromSlash(name)), to)
	if err == nil && got != e.manifest.Files[name] {
		err = fmt.Errorf("%q has SHA-256 %s: want %s; import it again", name, got, e.manifest.Files[name])
	}
	return err
}

// pixels is what comes before the tower: it brings the pixels into the tower's
// layout.
func (e *ImageModel) pixels(t *Graph) []byte {
	g := onnxgraph.New(pixelsName)
	g.Prefix = "pixels/"
	size, batch := onnxgraph.Dim{Size: int64(e.manifest.ImageSize)}, onnxgraph.Dim{Name: "N"}
	if t.OneByOne {
		batch = onnxgraph.Dim{Size: 1}
	}
	x := g.Input(pixelsName, onnxgraph.Float, batch, onnxgraph.Dim{Size: 3}, size, size)
	if t.Layout == layoutNHWC {
		x = g.Op("Transpose", []string{x}, attr("perm", []int64{0, 2, 3, 1}))
	}
	if x != t.Input {
		g.Output(t.Input, x, onnxgraph.Float)
	}
	return g.Model()
}

// unit is what comes behind the tower: one vector of each image, of length one as
// [vec.Unit] makes it, in float64 and rounded. A vector without a direction becomes
// NaN.
func (e *ImageModel) unit(t *Graph) []byte {
	g := onnxgraph.New("unit")
	g.Prefix = "vector/"
	dim := int64(e.manifest.Dim)
	v := g.Input(t.Output, onnxgraph.Float)
	switch t.Pool {
	case poolCLS:
		v = g.Op("Gather", []string{v, g.Ints(nil, 0)}, attr("axis", int64(1)))
	case poolMean:
		v = g.Op("GlobalAveragePool", []string{g.Op("Transpose", []string{v}, attr("perm", []int64{0, 2, 1}))})
	}
	v = g.Op("Reshape", []string{v, g.Ints([]int{2}, -1, dim)})
	v = g.Op("Cast", []string{v}, attr("to", int64(onnxgraph.Double)))
	ones := make([]float64, dim)
	for i := range ones {
		ones[i] = 1
	}
	squares := g.Op("MatMul", []string{g.Op("Mul", []string{v, v}), g.Doubles([]int{int(dim), 1}, ones...)})
	inverse := g.Op("Div", []string{g.Doubles(nil, 1), g.Op("Sqrt", []string{squares})})
	v = g.Op("Cast", []string{g.Op("Mul", []string{v, inverse})}, attr("to", int64(onnxgraph.Float)))
	g.Output("vector/unit", v, onnxgraph.Float, onnxgraph.Dim{Name: "N"}, onnxgraph.Dim{Size: dim})
	return g.Model()
}

// describe adds to a model's metadata what the pixels are.
func (e *ImageModel) describe(reader []byte) ([]byte, error) {
	p := e.preprocess
	c := &p.config
	text, err := json.Marshal(map[string]any{
		"profile": p.profile, "size": p.size, "shortest_edge": p.shortest, "resample": c.Resample,
		"rescale_factor": c.RescaleFactor, "image_mean": c.Mean, "image_std": c.Std,
	})
	if err != nil {
		return nil, err
	}
	g := onnxgraph.New("")
	for _, kv := range [][2]string{
		{"medprobe.encoder.name", e.manifest.Name}, {"medprobe.encoder.precision", e.manifest.Precision},
		{"medprobe.pixels", string(text)}, {"medprobe.pixels.rules", e.Rules()},
	} {
		g.Meta(kv[0], kv[1])
	}
	return append(slices.Clone(reader), g.Metadata()...), nil
}

// Rules says in plain words, one line each, how an image becomes pixels.
func (e *ImageModel) Rules() string {
	p := e.preprocess
	c, filter := &p.config, p.filter.name
	var b strings.Builder
	fmt.Fprintf(&b, "Decode to RGB, 8 bits a channel: grey is repeated, alpha dropped, 16 bits scaled by their maximum, EXIF orientation applied to TIFF only, unless the data said upright: true.\n")
	switch {
	case p.profile == ProfileBigVision:
		fmt.Fprintf(&b, "Stretch to %d×%d as tf.image.resize does, bilinear without antialiasing, and cut to bytes.\n", p.size, p.size)
	case p.profile == ProfilePadded:
		fmt.Fprintf(&b, "Pad with black to a square, half before and the rest after, and resize to %d×%d as Pillow does, %s.\n", p.size, p.size, filter)
	case p.shortest != 0:
		fmt.Fprintf(&b, "Resize the shorter side to %d as Pillow does, %s, and cut the middle %d×%d out.\n", p.shortest, filter, p.size, p.size)
	default:
		fmt.Fprintf(&b, "Stretch to %d×%d as Pillow's resize does, %s.\n", p.size, p.size, filter)
	}
	fmt.Fprintf(&b, "Take (byte·%v − mean)/std, mean %v and std %v of red, green and blue, in float32.\n", c.RescaleFactor, c.Mean, c.Std)
	fmt.Fprintf(&b, "Lay it out as [N, 3, %d, %d], red first. 'medprobe preprocess --preprocess %s' does all this.\n", p.size, p.size, p.profile)
	return b.String()
}
