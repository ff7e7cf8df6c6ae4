package main

import (
	"context"
	"fmt"

	"github.com/medprobe/medprobe/embedcache"
	"github.com/medprobe/medprobe/encoder"
	"github.com/medprobe/medprobe/examples"
	"github.com/medprobe/medprobe/experiment"
	"github.com/spf13/cobra"
)

func (s *settings) cacheExportCommand() *cobra.Command {
	var enc encoderFlags
	var o embedcache.ExportOptions
	var dataset, out string
	var sampleIDs, asJSON bool
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write vectors for other programs: npz, npy, parquet or safetensors",
		Long: `Export writes the vectors of an encoder, of length one, with an id for each: all of
the cache, or those of a dataset in its order. An id is the SHA-256 of the image,
with the frame and the region where it is not the whole; no path and no name enters
the file unless --sample-ids asks for the dataset's own ids, which --id-key hides.`,
		Example: "  medprobe cache export --encoder demo --dataset csv:labels.csv --out vectors.npz",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := enc.check(cmd); err != nil {
				return err
			}
			if err := needFlags(cmd, "out"); err != nil {
				return err
			}
			if sampleIDs && dataset == "" {
				return usagef(cmd, "--sample-ids are those of a --dataset, which is missing")
			}
			if err := checkPlace(out); err != nil {
				return err
			}
			return s.usingVectors(cmd.Context(), enc.name, enc.profile, func(e experiment.Encoder, cache *embedcache.Cache) error {
				if dataset != "" {
					var err error
					if o.Keys, o.IDs, err = s.datasetKeys(cmd.Context(), e, cache, dataset); err != nil {
						return err
					}
					if !sampleIDs {
						o.IDs = nil
					}
				}
				n, err := cache.Export(cmd.Context(), embedcache.SpaceOf(e), out, o)
				if err != nil {
					return err
				}
				if asJSON {
					return s.json(map[string]any{"rows": n, "dim": e.Dim(), "out": out})
				}
				_, err = fmt.Fprintf(s.out, "%d vectors of %d values in %s\n", n, e.Dim(), quoteControl(out))
				return err
			})
		},
	}
	enc.add(cmd)
	cmd.Flags().StringVar(&dataset, "dataset", "", "SPEC of the images whose vectors to export (default: all vectors)")
	cmd.Flags().StringVar(&out, "out", "", "file to write: .npz, .npy, .parquet or .safetensors (required)")
	cmd.Flags().BoolVar(&o.Raw, "raw", false, "leave the vectors as the encoder's tower gives them")
	cmd.Flags().BoolVar(&sampleIDs, "sample-ids", false, "name the vectors by the dataset's ids, which may hold paths")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// datasetKeys names the vectors of a dataset's samples, and the samples.
func (s *settings) datasetKeys(ctx context.Context, e experiment.Encoder, cache *embedcache.Cache, spec string) (keys []embedcache.Key, ids []string, err error) {
	d, err := s.openDataset(ctx, spec)
	if err != nil {
		return nil, nil, err
	}
	defer closing(d, &err)
	for i := range d.Samples {
		ids = append(ids, d.Samples[i].ID)
	}
	if v, ok := e.(*embedcache.Vectors); ok {
		return v.Keys(d), ids, nil
	}
	keys, failed, err := cache.Keys(ctx, d)
	if err == nil && len(failed) > 0 {
		err = fmt.Errorf("%d of %d samples of %s cannot be read, the first, %q: %s", len(failed), len(keys), spec, failed[0].ID, failed[0].Reason)
	}
	return keys, ids, err
}

func (s *settings) cacheImportCommand() *cobra.Command {
	var o embedcache.ImportOptions
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Take in vectors that were made elsewhere",
		Long: `Import reads vectors and their ids from an .npz with one array for each id or with
an array of ids and one of vectors, an .npy and a table of ids, a Parquet file with
a column of lists, or safetensors. Several vectors for each image, [tokens, D], are
kept as such.

Under the name of an encoder that is imported here, ids must be those of an export.
Under any other name the vectors are known by the ids of samples, and 'encoder: NAME'
in an experiment takes them.`,
		Example: "  medprobe cache import vectors.npz --encoder-name elixr --ids ids --embeddings emb",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if err := needFlags(cmd, "encoder-name"); err != nil {
				return err
			}
			if o.Space, err = s.encoderSpace(cmd.Context(), o.Name); err != nil {
				return err
			}
			cache, err := s.openCache(cmd.Context())
			if err != nil {
				return err
			}
			defer closing(cache, &err)
			done, err := cache.Import(cmd.Context(), args[0], o)
			if err != nil {
				return err
			}
			if asJSON {
				return s.json(done)
			}
			_, err = fmt.Fprintf(s.out, "%d vectors of %d × %d values taken in as %s\n", done.Rows, done.Tokens, done.Dim, quoteControl(done.Encoder))
			return err
		},
	}
	cmd.Flags().StringVar(&o.Name, "encoder-name", "", "encoder that made the vectors (required)")
	cmd.Flags().StringVar(&o.IDs, "ids", "", "array, column or tensor of the ids, or a table of them, .csv")
	cmd.Flags().StringVar(&o.Embeddings, "embeddings", "", "array, column or tensor of the vectors")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// encoderSpace returns the space of an imported encoder with its own preprocessing;
// nil where there is no encoder of the name.
func (s *settings) encoderSpace(ctx context.Context, name string) (*embedcache.Space, error) {
	m, err := s.manifest(name)
	if m == nil || err != nil {
		return nil, err
	}
	var space embedcache.Space
	err = s.using(ctx, name, "", func(e *encoder.Encoder) error {
		space = embedcache.SpaceOf(e)
		return nil
	})
	return &space, err
}

// manifest returns what an imported encoder says of itself, or nil where none of
// the name is imported.
func (s *settings) manifest(name string) (*encoder.Manifest, error) {
	dir, err := encoder.DefaultDir()
	if err != nil {
		return nil, err
	}
	m, err := encoder.Show(dir, name)
	if err != nil && name != examples.DemoEncoder {
		return nil, nil
	}
	if err != nil {
		if err := importDemo(context.Background(), dir); err != nil {
			return nil, err
		}
		return encoder.Show(dir, name)
	}
	return m, nil
}
