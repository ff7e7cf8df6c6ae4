package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/medprobe/medprobe/internal/atomicfile"
)

// exportFormat is one that Export writes: its name, how the name of its file ends,
// empty for a folder, what it is in the words of a help text, and how a version is
// written to a path.
type exportFormat struct {
	name, ending, what string
	write              func(ctx context.Context, r *Registry, v *Version, path string) error
}

// folderFiles returns the files of an export that is a folder.
type folderFiles func(*Registry, *Version) (map[string][]byte, error)

func exportFormats() []exportFormat {
	folder := func(files folderFiles) func(context.Context, *Registry, *Version, string) error {
		return func(_ context.Context, r *Registry, v *Version, path string) error {
			return r.exportFolder(v, path, files)
		}
	}
	return []exportFormat{
		{"onnx", ".onnx", "a model file: embedding [N, D] in, label [N] and probabilities\n[N, C] out, calibration folded in, core operators only",
			func(_ context.Context, r *Registry, v *Version, path string) error { return r.exportONNX(v, path) }},
		{"safetensors", "", "a folder with the head, a model card and lines for PyTorch", folder((*Registry).safetensorsFiles)},
		{"mlflow", "", "a folder that mlflow.pyfunc.load_model loads", folder((*Registry).mlflowFiles)},
		{"oci", "", "an OCI image layout with a ModelPack artefact",
			func(ctx context.Context, r *Registry, v *Version, path string) error { return r.writeOCI(ctx, v, path) }},
		{"hf", "", "a folder as Hugging Face's Hub wants it", folder((*Registry).huggingFaceFiles)},
		{"bundle", ".tar", "the whole version as one file, for 'medprobe registry import'",
			func(_ context.Context, r *Registry, v *Version, path string) error {
				return atomicfile.Write(path, func(w io.Writer) error { return r.writeBundle(w, v) })
			}},
		{EndToEnd, "", "a folder with the encoder and the head in one model: pixels\n[N, 3, H, W] in; the encoder must be imported", nil},
	}
}

// Formats lists what Export writes.
func Formats() (names []string) {
	for _, f := range exportFormats() {
		if f.write != nil {
			names = append(names, f.name)
		}
	}
	return names
}

// exportFormatOf returns the format of a name; the zero format if there is none.
func exportFormatOf(name string) exportFormat {
	for _, f := range exportFormats() {
		if f.name == name {
			return f
		}
	}
	return exportFormat{}
}

// FormatWords says what a format is, [EndToEnd] among them, in lines for a help text.
func FormatWords(format string) string { return exportFormatOf(format).what }

// FormatEnding says how the name of a format's file ends; it is empty for folders.
func FormatEnding(format string) string { return exportFormatOf(format).ending }

// EndToEnd is the format of [Registry.ExportEndToEnd], which needs an encoder.
const EndToEnd = "onnx-e2e"

// Export writes a version to path for other programs: "onnx" a model file (see
// [ONNX]); "safetensors" a folder with the head, the model card and lines that load
// it; "mlflow" a folder with an MLmodel; "hf" one as Hugging Face's Hub wants it;
// "oci" an OCI image layout with those files as a ModelPack artefact; "bundle" the
// whole version as one tar file, the same bytes whatever it is called and whoever
// added it. A file or folder is there whole or not at all; a folder must be new or
// empty. What is exported names no patient, image or path.
func (r *Registry) Export(ctx context.Context, v *Version, format, path string) error {
	f := exportFormatOf(format)
	if f.write == nil {
		return fmt.Errorf("registry: export: format %q: want one of %q", format, Formats())
	}
	if err := f.write(ctx, r, v, path); err != nil {
		return fmt.Errorf("registry: export %s: %w", v.Reference(), err)
	}
	return nil
}

func (r *Registry) exportONNX(v *Version, path string) error {
	model, err := r.onnx(v)
	if err != nil {
		return err
	}
	return atomicfile.WriteBytes(path, model)
}

// onnx returns a version's model, which carries what the version is: it can become
// one again.
func (r *Registry) onnx(v *Version) ([]byte, error) {
	h, err := r.Head(v)
	if err != nil {
		return nil, err
	}
	file, err := r.File(v, headFile)
	if err != nil {
		return nil, err
	}
	card, err := r.card(v)
	if err != nil {
		return nil, err
	}
	text, _, err := v.Document.encode()
	if err != nil {
		return nil, err
	}
	return onnxModel(h, file, [][2]string{{onnxDocument, string(text)}, {onnxModelCard, string(card)}})
}

func (r *Registry) safetensorsFiles(v *Version) (map[string][]byte, error) {
	return r.headFiles(v, nil)
}

// headFiles returns a version's head as safetensors, its card below a front matter,
// and what the version is.
func (r *Registry) headFiles(v *Version, front []byte) (map[string][]byte, error) {
	head, err := r.File(v, headFile)
	if err != nil {
		return nil, err
	}
	card, err := r.card(v)
	if err != nil {
		return nil, err
	}
	document, _, err := v.Document.encode()
	if err != nil {
		return nil, err
	}
	return r.withReference(v, map[string][]byte{headFile: head, cardFile: slices.Concat(front, card, loadingLines(v)), documentFile: document})
}

// card returns a version's card. One that was read back from an export whose README
// was changed has none.
func (r *Registry) card(v *Version) ([]byte, error) {
	card, err := r.File(v, cardFile)
	if errors.Is(err, ErrNotCarried) {
		return fmt.Appendf(nil, "# %s\n\nThe card did not come along with the export that this version was read back from.\n", plain(v.Document.Lineage.Run)), nil
	}
	return card, err
}

func (r *Registry) exportFolder(v *Version, dir string, files folderFiles) error {
	contents, err := r.folder(v, files)
	if err != nil {
		return err
	}
	return placeFolder(dir, func(dir string) error {
		for name, b := range contents {
			if err := atomicfile.WriteBytes(filepath.Join(dir, name), b); err != nil {
				return err
			}
		}
		return nil
	})
}

// folder returns the files of an export and the statement of how they were made.
func (r *Registry) folder(v *Version, files folderFiles) (map[string][]byte, error) {
	contents, err := files(r, v)
	if err != nil {
		return nil, err
	}
	contents[provenanceFile], err = provenance(v, digestsOf(contents))
	return contents, err
}

// placeFolder lets fill make a folder under another name beside dir and gives it
// that name at the end.
func placeFolder(dir string, fill func(dir string) error) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	temporary, err := atomicfile.TemporaryFolder(filepath.Dir(dir), "."+filepath.Base(dir)+".tmp-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temporary)
	if err := os.Chmod(temporary, 0o755); err != nil {
		return err
	}
	if err := fill(temporary); err != nil {
		return err
	}
	// Takes the place of an empty folder; of a full one it does not.
	if err := os.Rename(temporary, dir); err != nil {
		if entries, readErr := os.ReadDir(dir); readErr == nil && len(entries) > 0 {
			return fmt.Errorf("folder %s holds files, such as %q: name a folder that is not there yet, or an empty one", dir, entries[0].Name())
		}
		return fmt.Errorf("%w; name a folder that is not there yet, or an empty one", err)
	}
	return nil
}

// loadingLines are for Python.
func loadingLines(v *Version) []byte {
	h := &v.Document.Head
	if !h.Linear {
		return fmt.Appendf(nil, "\n## Loading\n\nThe head is not linear; `medprobe predict --head %s` reads it, and so does ONNX Runtime its ONNX export.\n", headFile)
	}
	return []byte(loading)
}

const loading = "\n## Loading\n\n`weight` is [classes, dimensions] and `bias` [classes]; the classes are in the metadata, as JSON.\n\n" +
	"```python\n" + loadingPython + "```\n"

const loadingPython = `import json
import torch
from safetensors import safe_open

with safe_open("head.safetensors", "pt") as f:
    weight, bias, about = f.get_tensor("weight"), f.get_tensor("bias"), f.metadata()
classes = json.loads(about["classes"])

def probabilities(x):  # x: unit vectors of the encoder, [n, dimensions]
    z = x.double() @ weight.double().T + bias.double()
    for k, c in enumerate(json.loads(about.get("calibration", "[]"))):
        if about["exclusive"] == "true":
            z = z * c["slope"]
        elif c["kind"] != "isotonic":  # of an isotonic one, ask medprobe or the ONNX export
            z[:, k] = z[:, k] * c["slope"] + c.get("intercept", 0)
    return z.softmax(1) if about["exclusive"] == "true" else z.sigmoid()
`
