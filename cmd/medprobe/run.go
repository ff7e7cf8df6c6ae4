package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/medprobe/medprobe/datasets/phantom"
	"github.com/medprobe/medprobe/embedcache"
	"github.com/medprobe/medprobe/evaluate"
	"github.com/medprobe/medprobe/examples"
	"github.com/medprobe/medprobe/experiment"
	"github.com/medprobe/medprobe/internal/atomicfile"
	"github.com/medprobe/medprobe/report"
	"github.com/medprobe/medprobe/trainer"
	"github.com/spf13/cobra"
)

func (s *settings) runCommand() *cobra.Command {
	var out string
	var asJSON, noImages bool
	cmd := &cobra.Command{
		Use:   "run EXPERIMENT.yaml",
		Short: "Run an experiment and write its report",
		Long: `Run embeds the images of an experiment, trains its heads, compares them with
zero-shot on the test part and leaves in DIR:

  report.html          to read, without network; --no-images leaves out thumbnails
  report.json          every figure with its interval, n and unit
  predictions.parquet  the score of every method for every test sample
  samples.parquet      what became of every sample
  external.parquet     the same as predictions.parquet of external test sets, if any
  experiment.json      the experiment with every default, without the place of its data
  sample.safetensors   up to 256 vectors of test, for the registry
  heads/               the trained heads
  manifest.json        digests of all of it; written last

A run that is interrupted computes nothing twice when it is run again.`,
		Example: "  medprobe run experiment.yaml --out run",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := experiment.Load(args[0])
			if err != nil {
				return err
			}
			if cmd.Flags().Changed("seed") {
				c.Seed = s.seed
			}
			if noImages {
				c.NearDuplicates.Thumbnails = "no"
			}
			dir := cmp.Or(out, filepath.Join(filepath.Dir(args[0]), "run"))
			if err := checkRunFolder(dir); err != nil {
				return err
			}
			r, err := s.runExperiment(cmd.Context(), c, dir)
			if err != nil {
				return err
			}
			return s.showReport(r, dir, asJSON)
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "folder to write (default: run, beside the experiment)")
	cmd.Flags().BoolVar(&noImages, "no-images", false, "leave thumbnails out of the report, as near_duplicates: {thumbnails: no} does")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print report.json")
	return cmd
}

// runExperiment runs an experiment and writes its folder.
func (s *settings) runExperiment(ctx context.Context, c *experiment.Config, dir string) (r *evaluate.Report, err error) {
	if c.Data, err = s.allowed(c.Data); err != nil {
		return nil, err
	}
	for k := range c.External {
		if c.External[k].Data, err = s.allowed(c.External[k].Data); err != nil {
			return nil, err
		}
	}
	var result *experiment.Result
	err = s.withEncoder(ctx, c.Encoder, c.Preprocess, func(o experiment.Options) error {
		result, err = experiment.Run(ctx, c, o)
		return err
	})
	if err != nil {
		return nil, err
	}
	s.note("%d vectors computed, %d found in the cache", result.Embedded, result.Cached)
	return result.Report, result.Write(dir)
}

// checkRunFolder says before the work that its result has no place to go.
func checkRunFolder(dir string) error {
	if err := experiment.CheckFolder(dir); err != nil {
		return err
	}
	return writableFolder(dir)
}

// withEncoder lets do use an encoder, the cache and the terminal.
func (s *settings) withEncoder(ctx context.Context, name, profile string, do func(experiment.Options) error) error {
	return s.usingVectors(ctx, name, profile, func(e experiment.Encoder, cache *embedcache.Cache) error {
		return s.usingMultiplier(func(m trainer.Multiplier) error {
			free, err := memory()
			if err != nil {
				return err
			}
			steps := s.steps()
			defer steps.finish()
			return do(experiment.Options{
				Encoder: e, Cache: cache, Multiplier: m, Memory: free, Progress: steps.update,
				Another: func(name, profile string, do func(experiment.Encoder) error) error {
					return s.usingNamed(ctx, cache, name, profile, do)
				},
				Failed: func(f embedcache.Failure) {
					steps.finish() // the next stroke of the bar would take the note away
					s.note("failed: %s: %s", f.ID, f.Reason)
				},
				Note: func(text string) {
					steps.finish()
					s.note("note: %s", text)
				},
			})
		})
	})
}

// showReport prints the report, and where its page lies; or report.json.
func (s *settings) showReport(r *evaluate.Report, dir string, asJSON bool) error {
	if asJSON {
		return report.JSON(s.out, r)
	}
	if err := report.Text(s.out, r); err != nil {
		return err
	}
	_, err := fmt.Fprintf(s.out, "\nReport: %s\n", quoteControl(filepath.Join(dir, "report.html")))
	return err
}

func (s *settings) demoCommand() *cobra.Command {
	var out string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Draw images, train probes on them and show an honest AUC",
		Long: `Demo draws chest radiographs of patients who never lived, embeds them with the
small encoder that comes with medprobe, trains probes and compares them with
zero-shot. It needs no data and no network, and writes to DIR and the cache.

DIR/experiment.yaml is a good place to start one of your own. --seed draws other
samples for the curve and other folds; the patients stay who they are.`,
		Example: "  medprobe demo",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := examples.DemoExperiment()
			if err != nil {
				return err
			}
			if err := os.MkdirAll(out, 0o777); err != nil {
				return err
			}
			file := filepath.Join(out, "experiment.yaml")
			if mine, err := os.ReadFile(file); err == nil && !bytes.Equal(mine, text) {
				return fmt.Errorf("%s is not the demo's: 'medprobe run %s' runs it, --out names another folder for the demo", file, file)
			}
			if err := atomicfile.WriteBytes(file, text); err != nil {
				return err
			}
			c, err := experiment.Load(file)
			if err != nil {
				return err
			}
			if cmd.Flags().Changed("seed") {
				c.Seed = s.seed
			}
			dir := filepath.Join(out, "run")
			if err := checkRunFolder(dir); err != nil {
				return err
			}
			s.note("drawing the chest radiographs of 214 patients")
			if err := phantom.WriteDataset(cmd.Context(), filepath.Join(out, "phantoms"), phantom.Options{Seed: demoSeed}); err != nil {
				return err
			}
			r, err := s.runExperiment(cmd.Context(), c, dir)
			if err != nil {
				return err
			}
			return s.showReport(r, dir, asJSON)
		},
	}
	cmd.Flags().StringVar(&out, "out", "medprobe-demo", "folder to write")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print report.json")
	return cmd
}

// demoSeed draws the demo's patients: others than those that the encoder was
// trained on, and than those that its training script looked at.
const demoSeed = 2026
