package registry

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// maxLayers bounds the files of an artefact.
const maxLayers = 1000

// readLayout reads the one artefact of an OCI image layout. Its layers are named
// files; none is written anywhere by its name.
func readLayout(root *os.Root) (*carried, error) {
	text, err := readPlain(root, "index.json", maxDocument)
	if err != nil {
		return nil, err
	}
	var index ocispec.Index
	if err := json.Unmarshal(text, &index); err != nil {
		return nil, fmt.Errorf("index.json: %w", err)
	}
	if len(index.Manifests) != 1 {
		return nil, fmt.Errorf("index.json names %d artefacts: want a layout of one", len(index.Manifests))
	}
	var manifest ocispec.Manifest
	if text, err = readBlob(root, index.Manifests[0], maxDocument); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	if err := json.Unmarshal(text, &manifest); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	if manifest.ArtifactType != modelArtifact || len(manifest.Layers) > maxLayers {
		return nil, fmt.Errorf("an artefact of type %q with %d layers: want a model, %q", manifest.ArtifactType, len(manifest.Layers), modelArtifact)
	}
	layers := map[string]ocispec.Descriptor{}
	for _, layer := range manifest.Layers {
		name := layer.Annotations[modelFilePath]
		if !fs.ValidPath(name) || strings.ContainsAny(name, "\\:\x00") {
			return nil, fmt.Errorf("a layer is to be the file %q: want a relative path without \"..\"", name)
		}
		if _, twice := layers[name]; twice {
			return nil, fmt.Errorf("two layers are to be the file %q", name)
		}
		layers[name] = layer
	}
	return readFiles(func(name string, most int64) ([]byte, error) {
		layer, ok := layers[name]
		if !ok {
			return nil, fmt.Errorf("no layer is the file %s: %w", name, fs.ErrNotExist)
		}
		b, err := readBlob(root, layer, most)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return b, nil
	})
}

// readBlob reads a blob and checks size and digest.
func readBlob(root *os.Root, d ocispec.Descriptor, most int64) ([]byte, error) {
	digest, ok := strings.CutPrefix(string(d.Digest), "sha256:")
	if sum, err := hex.DecodeString(digest); !ok || err != nil || len(sum) != 32 || strings.ToLower(digest) != digest {
		return nil, fmt.Errorf("digest %q: want sha256 in hexadecimal", d.Digest)
	}
	b, err := readPlain(root, path.Join("blobs", "sha256", digest), most)
	if err != nil {
		return nil, err
	}
	if int64(len(b)) != d.Size || hexDigest(b) != digest {
		return nil, errors.New("its blob has another size or digest than its name says: it was changed or damaged")
	}
	return b, nil
}
