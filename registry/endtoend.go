package registry

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/medprobe/medprobe/internal/atomicfile"
	"github.com/medprobe/medprobe/trainer"
)

// Tower is an image encoder that can be put before a head, such as
// encoder.ImageModel.
type Tower interface {
	Fingerprint() string
	PreprocessFingerprint() string
	// Join writes into a folder model.onnx, in which the encoder comes before a
	// model that reads its vectors, of length one, and the encoder's weights.
	Join(ctx context.Context, dir string, reader []byte) error
	// Rules says how an image becomes pixels, one line each.
	Rules() string
}

// ExportEndToEnd writes a folder with an encoder and a version's head in one ONNX
// model: "pixels" float32 [N, 3, H, W] in, "label" and "probabilities" out as of
// [ONNX], the encoder's weights in a file beside it, a README, the reference distribution and provenance. The encoder must
// be the one that the head was trained on: another is a *[trainer.FingerprintError].
// Like every export the folder must be new or empty and is there whole or not at all.
func (r *Registry) ExportEndToEnd(ctx context.Context, v *Version, tower Tower, dir string) error {
	if err := r.exportEndToEnd(ctx, v, tower, dir); err != nil {
		return fmt.Errorf("registry: export %s: %w", v.Reference(), err)
	}
	return nil
}

func (r *Registry) exportEndToEnd(ctx context.Context, v *Version, tower Tower, dir string) error {
	h, err := r.Head(v)
	if err != nil {
		return err
	}
	if err := h.Check(trainer.Space{Encoder: tower.Fingerprint(), Preprocess: tower.PreprocessFingerprint()}); err != nil {
		return err
	}
	model, err := r.onnx(v)
	if err != nil {
		return err
	}
	card, err := r.card(v)
	if err != nil {
		return err
	}
	return placeFolder(dir, func(dir string) error {
		if err := tower.Join(ctx, dir, model); err != nil {
			return err
		}
		if err := atomicfile.WriteBytes(filepath.Join(dir, cardFile), append(card, endToEndLines(tower)...)); err != nil {
			return err
		}
		if v.HasReference() {
			reference, err := r.File(v, driftFile)
			if err != nil {
				return err
			}
			if err := atomicfile.WriteBytes(filepath.Join(dir, driftFile), reference); err != nil {
				return err
			}
		}
		return writeProvenance(v, dir)
	})
}

// writeProvenance states how the files of a folder were made. They are read again:
// an encoder's weights do not fit into memory everywhere.
func writeProvenance(v *Version, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	made, _, err := digests(root, nil)
	if err != nil {
		return err
	}
	text, err := provenance(v, made)
	if err != nil {
		return err
	}
	return atomicfile.WriteBytes(filepath.Join(dir, provenanceFile), text)
}

// endToEndLines say how the model is run.
func endToEndLines(tower Tower) []byte {
	var b strings.Builder
	b.WriteString("\n## Pixels in\n\n`model.onnx` holds encoder and head: `pixels` float32 [N, 3, H, W] in, `label` and `probabilities` out. Its weights lie in the\nfile beside it, under the encoder's own licence. An image becomes pixels so:\n\n")
	for line := range strings.Lines(tower.Rules()) {
		fmt.Fprintf(&b, "- %s\n", plain(strings.TrimSpace(line)))
	}
	b.WriteString("\n```python\n" + endToEndPython + "```\n")
	return []byte(b.String())
}

const endToEndPython = `import numpy, onnxruntime

session = onnxruntime.InferenceSession("model.onnx")
pixels = numpy.load("pixels.npy")  # as 'medprobe preprocess' writes it
label, probabilities = session.run(["label", "probabilities"], {"pixels": pixels})
`
