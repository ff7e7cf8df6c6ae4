package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/content/oci"
)

// Media types of ModelPack, the CNCF's specification of models as OCI artefacts.
const (
	modelArtifact = "application/vnd.cncf.model.manifest.v1+json"
	modelConfig   = "application/vnd.cncf.model.config.v1+json"
	modelWeight   = "application/vnd.cncf.model.weight.v1.raw"
	modelDoc      = "application/vnd.cncf.model.doc.v1.raw"
	modelSettings = "application/vnd.cncf.model.weight.config.v1.raw"
	modelFilePath = "org.cncf.model.filepath"
)

// writeOCI makes an OCI image layout with the version as a ModelPack artefact, one
// file a layer, tagged with its number. The same version gives the same digest.
func (r *Registry) writeOCI(ctx context.Context, v *Version, dir string) error {
	files, err := r.folder(v, (*Registry).huggingFaceFiles)
	if err != nil {
		return err
	}
	return placeFolder(dir, func(dir string) error {
		store, err := oci.NewWithContext(ctx, dir)
		if err != nil {
			return err
		}
		root, err := packModel(ctx, store, v, files)
		if err != nil {
			return err
		}
		return store.Tag(ctx, root, fmt.Sprint(v.Number))
	})
}

// packModel puts the artefact into a store and returns its manifest.
func packModel(ctx context.Context, store oras.Target, v *Version, files map[string][]byte) (root ocispec.Descriptor, err error) {
	var layers []ocispec.Descriptor
	var digests []digest.Digest
	for _, name := range slices.Sorted(maps.Keys(files)) {
		layer := content.NewDescriptorFromBytes(mediaType(name), files[name])
		layer.Annotations = map[string]string{modelFilePath: name}
		if err := store.Push(ctx, layer, bytes.NewReader(files[name])); err != nil {
			return root, fmt.Errorf("%s: %w", name, err)
		}
		layers, digests = append(layers, layer), append(digests, layer.Digest)
	}
	created := v.Added.UTC().Format(time.RFC3339)
	text, err := json.Marshal(map[string]any{
		"descriptor": map[string]any{"createdAt": created, "name": v.Model, "version": fmt.Sprint(v.Number), "family": "medprobe-head"},
		"config":     map[string]any{"format": "safetensors", "precision": "fp32"},
		"modelfs":    map[string]any{"type": "layers", "diffIds": digests},
	})
	if err != nil {
		return root, err
	}
	config := content.NewDescriptorFromBytes(modelConfig, text)
	if err := store.Push(ctx, config, bytes.NewReader(text)); err != nil {
		return root, err
	}
	return oras.PackManifest(ctx, store, oras.PackManifestVersion1_1, modelArtifact, oras.PackManifestOptions{
		Layers: layers, ConfigDescriptor: &config, ManifestAnnotations: map[string]string{ocispec.AnnotationCreated: created},
	})
}

func mediaType(name string) string {
	if name == provenanceFile {
		return modelDoc
	}
	switch filepath.Ext(name) {
	case ".safetensors", ".onnx":
		return modelWeight
	case ".md":
		return modelDoc
	}
	return modelSettings
}
