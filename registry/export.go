package registry

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"github.com/medprobe/medprobe/internal/atomicfile"
)

// Formats lists what Export writes.
func Formats() []string { return []string{"onnx", "safetensors", "bundle"} }

// Export writes a version to path for other programs: "onnx" a model file (see
// [ONNX]), "safetensors" a folder with the head, the model card and lines that load
// it, "bundle" the whole version as one file (see [Registry.WriteBundle]). A file is
// there whole or not at all; a folder must be new or empty. What is exported names no patient, image or path.
func (r *Registry) Export(v *Version, format, path string) error {
	var err error
	switch format {
	case "onnx":
		err = r.exportONNX(v, path)
	case "safetensors":
		err = r.exportSafetensors(v, path)
	case "bundle":
		var b bytes.Buffer
		if err = r.WriteBundle(&b, v); err == nil {
			err = atomicfile.WriteBytes(path, b.Bytes())
		}
	default:
		return fmt.Errorf("registry: export: format %q: want one of %q", format, Formats())
	}
	if err != nil {
		return fmt.Errorf("registry: export %s: %w", v.Reference(), err)
	}
	return nil
}

func (r *Registry) exportONNX(v *Version, path string) error {
	h, err := r.Head(v)
	if err != nil {
		return err
	}
	model, err := ONNX(h)
	if err != nil {
		return err
	}
	return atomicfile.WriteBytes(path, model)
}

// exportSafetensors fills a folder of another name and gives it its own at the end.
func (r *Registry) exportSafetensors(v *Version, dir string) error {
	head, err := r.File(v, headFile)
	if err != nil {
		return err
	}
	readme, err := r.File(v, cardFile)
	if err != nil {
		return err
	}
	readme = append(readme, loadingLines(v)...)
	return writeFolder(dir, map[string][]byte{headFile: head, cardFile: readme})
}

// writeFolder makes a folder with files in it, whole or not at all.
func writeFolder(dir string, files map[string][]byte) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	temporary, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+".tmp-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temporary)
	if err := os.Chmod(temporary, 0o755); err != nil {
		return err
	}
	for name, b := range files {
		if err := atomicfile.WriteBytes(filepath.Join(temporary, name), b); err != nil {
			return err
		}
	}
	// Takes the place of an empty folder; of a full one it does not.
	if err := os.Rename(temporary, dir); err != nil {
		return fmt.Errorf("%w; name a folder that is not there yet, or an empty one", err)
	}
	return nil
}

// loadingLines are for Python.
func loadingLines(v *Version) []byte {
	h := &v.Document.Head
	if !h.Linear {
		return fmt.Appendf(nil, "\n## Loading\n\nThe head is not linear; `medprobe predict --head %s` reads it.\n", headFile)
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
