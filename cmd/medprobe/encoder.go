package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/medprobe/medprobe/encoder"
	"github.com/medprobe/medprobe/examples"
	"github.com/medprobe/medprobe/internal/hfhub"
	"github.com/medprobe/medprobe/internal/near"
	"github.com/spf13/cobra"
)

func (s *settings) encoderCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "encoder",
		Short:   "Import encoders and show them",
		Example: "  medprobe encoder import ~/models/medsiglip-448 --name medsiglip\n  medprobe encoder list",
	}
	cmd.AddCommand(s.encoderImportCommand(), s.encoderListCommand(), s.encoderShowCommand(), s.encoderVerifyCommand(), s.encoderTryCommand())
	return cmd
}

func (s *settings) encoderImportCommand() *cobra.Command {
	var o encoder.ImportOptions
	var download, asJSON bool
	var revision string
	cmd := &cobra.Command{
		Use:   "import SRC",
		Short: "Turn a Hugging Face checkpoint into an encoder",
		Long: `Import reads config.json, the safetensors weights, preprocessor_config.json
and, for prompts, spiece.model of a SigLIP checkpoint and writes an encoder that
the other commands open by name. Nothing is unpickled.

SRC may also be ONNX: a folder with onnx/vision_model.onnx and, for prompts,
onnx/text_model.onnx, or one image encoder, MODEL.onnx. What the graph does not
say itself (size, mean, std, layout, input, output, pool, resample, crop,
logit_scale, logit_bias) stands in preprocessor_config.json or in a YAML file:
medprobe.yaml in the folder, MODEL.yaml beside the model, or --config. An ONNX
model is run for the first time in a process of its own.

SRC is a folder, a model, or OWNER/NAME at Hugging Face: then the cache of Hugging Face
($HF_HUB_CACHE, $HF_HOME) is looked in, and with --download what is missing there
is fetched. Gated repositories need their terms accepted and a token in HF_TOKEN.`,
		Example: `  medprobe encoder import ~/models/medsiglip-448 --name medsiglip
  medprobe encoder import google/medsiglip-448 --name medsiglip --download
  medprobe encoder import rad-dino.onnx --config rad-dino.yaml`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := near.Check("--precision", o.Precision, encoder.Precisions()); err != nil {
				return usagef(cmd, "%w", err)
			}
			abs, err := filepath.Abs(args[0])
			if err != nil {
				return err
			}
			if o.Name = cmp.Or(o.Name, strings.TrimSuffix(filepath.Base(abs), ".onnx")); o.Name == examples.DemoEncoder {
				return usagef(cmd, "the encoder that comes with medprobe is called %s; choose another with --name", o.Name)
			}
			src, err := s.checkpoint(cmd.Context(), args[0], revision, o.Precision, download)
			if err != nil {
				return err
			}
			if src != args[0] {
				o.Source = args[0]
			}
			if o.Dir, err = encoder.DefaultDir(); err != nil {
				return err
			}
			o.Try = s.try
			before, _ := encoder.Show(o.Dir, o.Name) // nil: there is none
			m, err := encoder.Import(cmd.Context(), src, o)
			if err != nil {
				return err
			}
			if before != nil && before.Fingerprint != m.Fingerprint {
				s.note("%s was another encoder before (%.12s); vectors of that one are not used any more", m.Name, before.Fingerprint)
			}
			if m.NoText != "" {
				s.note("no text tower: %s", m.NoText)
			} else if m.HasText && m.LogitScale == 0 {
				s.note("the export says no logit scale and bias: ranks of prompts are right, probabilities need logit_scale and logit_bias in medprobe.yaml")
			}
			return s.showManifest(m, asJSON)
		},
	}
	cmd.Flags().StringVar(&o.Config, "config", "", "YAML file about an ONNX model")
	cmd.Flags().StringVar(&o.Name, "name", "", "name to use it by (default: the folder's)")
	cmd.Flags().StringVar(&o.Precision, "precision", "fp32", "fp32; int8, several times faster on a CPU; fp16, for GPUs")
	cmd.Flags().BoolVar(&download, "download", false, "fetch what is missing from Hugging Face")
	cmd.Flags().StringVar(&revision, "revision", "main", "branch, tag or commit at Hugging Face")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// checkpoint returns the folder of a checkpoint: the one named, or that of a
// repository at Hugging Face.
func (s *settings) checkpoint(ctx context.Context, src, revision, precision string, download bool) (string, error) {
	if _, err := os.Stat(src); err == nil || !hfhub.IsRepo(src) {
		return src, nil
	}
	if !download {
		dir, err := hfhub.Find(src, revision)
		if errors.Is(err, hfhub.ErrAbsent) {
			return "", fmt.Errorf("%w, and there is no such folder; --download fetches it", err)
		}
		return dir, err
	}
	steps := s.steps()
	defer steps.finish()
	fetch := func(want func(string) bool) (string, error) {
		return hfhub.Download(ctx, src, hfhub.Options{
			Revision: revision, Want: want,
			Progress: func(name string, done, total int64) { steps.update(name, int(done), int(total)) },
		})
	}
	// The small files say which weights are needed.
	var listed []string
	dir, err := fetch(func(name string) bool {
		listed = append(listed, name)
		return path.Dir(name) == "." && (path.Ext(name) == ".json" || name == "spiece.model" || name == "README.md" || encoder.IsLicence(name))
	})
	if err != nil {
		return "", err
	}
	weights := encoder.ExportFiles(listed, precision)
	if len(weights) == 0 {
		if weights, err = encoder.WeightFiles(dir); err != nil {
			return "", err
		}
	}
	return fetch(func(name string) bool { return slices.Contains(weights, name) })
}

func (s *settings) encoderListCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the imported encoders",
		Example: "  medprobe encoder list --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := encoder.DefaultDir()
			if err != nil {
				return err
			}
			manifests, err := encoder.List(dir)
			if err != nil {
				return err
			}
			if asJSON {
				return s.json(append([]encoder.Manifest{}, manifests...))
			}
			if len(manifests) == 0 {
				s.note("no encoder is imported yet; medprobe encoder import SRC imports one, and demo comes with medprobe")
				return nil
			}
			w := tabwriter.NewWriter(s.out, 0, 8, 2, ' ', 0)
			fmt.Fprintln(w, "NAME\tDIM\tSIZE\tTEXT\tPRECISION\tFINGERPRINT")
			for _, m := range manifests {
				fmt.Fprintf(w, "%s\t%d\t%d\t%v\t%s\t%.12s\n", m.Name, m.Dim, m.ImageSize, m.HasText, m.Precision, m.Fingerprint)
			}
			return w.Flush()
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func (s *settings) encoderShowCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "show NAME",
		Short:   "Show one encoder",
		Example: "  medprobe encoder show demo",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := encoder.DefaultDir()
			if err != nil {
				return err
			}
			if args[0] == examples.DemoEncoder {
				if err := importDemo(cmd.Context(), dir); err != nil {
					return err
				}
			}
			m, err := encoder.Show(dir, args[0])
			if err != nil {
				return err
			}
			return s.showManifest(m, asJSON)
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func (s *settings) showManifest(m *encoder.Manifest, asJSON bool) error {
	if asJSON {
		return s.json(m)
	}
	w := tabwriter.NewWriter(s.out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(w, "name\t%s\nfingerprint\t%s\ndimensions\t%d\nimage size\t%d\ntext tower\t%v\nprecision\t%s\npreprocess\t%s\n",
		m.Name, m.Fingerprint, m.Dim, m.ImageSize, m.HasText, m.Precision, m.Preprocess)
	return w.Flush()
}
