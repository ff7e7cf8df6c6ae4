package main

import (
	"context"

	"github.com/medprobe/medprobe/encoder"
	"github.com/medprobe/medprobe/examples"
	"github.com/medprobe/medprobe/registry"
)

// exportEndToEnd writes a version together with the encoder that it was trained on.
func exportEndToEnd(ctx context.Context, r *registry.Registry, v *registry.Version, out string) error {
	dir, err := encoder.DefaultDir()
	if err != nil {
		return err
	}
	e := &v.Document.Lineage.Encoder
	if e.Name == examples.DemoEncoder {
		if err := importDemo(ctx, dir); err != nil {
			return err
		}
	}
	tower, err := encoder.FindImageModel(dir, e.Name, e.Fingerprint, e.PreprocessFingerprint)
	if err != nil {
		return err
	}
	return r.ExportEndToEnd(ctx, v, tower, out)
}
