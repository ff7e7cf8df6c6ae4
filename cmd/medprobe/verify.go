package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/medprobe/medprobe/datasets"
	"github.com/medprobe/medprobe/embedcache"
	"github.com/medprobe/medprobe/encoder"
	"github.com/medprobe/medprobe/examples"
	"github.com/medprobe/medprobe/experiment"
	"github.com/spf13/cobra"
	"gonum.org/v1/gonum/blas/blas32"
)

// agreement is what verify says of two encoders.
type agreement struct {
	*encoder.Agreement                              // nil for encoders of different widths
	Labels             []experiment.SpaceDifference `json:"labels,omitempty"`
}

func (s *settings) encoderVerifyCommand() *cobra.Command {
	var against, images string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify NAME",
		Short: "Compare an encoder with its digests, or its vectors with another's",
		Long: `Verify reads every file of an encoder and compares it with its digest. With
--against and --images it also encodes images with both encoders and prints how
alike the vectors are: the cosine, and how many of each image's ten nearest
others are the same. Encoders of different widths have no cosine.

--images is a folder, or a dataset: FORMAT:PATH, or a YAML file. A dataset has
labels; then a logistic head is trained on the vectors of either encoder, for each
finding, and the AUCs on patients that it has not seen are compared.`,
		Example: `  medprobe encoder verify medsiglip-int8 --against medsiglip --images radiographs
  medprobe encoder verify medsiglip-int8 --against medsiglip --images csv:labels.csv`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if (against == "") != (images == "") {
				return usagef(cmd, "--against and --images go together")
			}
			dir, err := encoder.DefaultDir()
			if err != nil {
				return err
			}
			if args[0] == examples.DemoEncoder {
				if err := importDemo(cmd.Context(), dir); err != nil {
					return err
				}
			}
			if err := encoder.Verify(dir, args[0]); err != nil {
				return err
			}
			if against == "" {
				if asJSON {
					return s.json(map[string]bool{"ok": true})
				}
				_, err := fmt.Fprintf(s.out, "%s: every file has its digest\n", args[0])
				return err
			}
			a, err := s.agreement(cmd.Context(), [2]string{args[0], against}, images)
			if err != nil {
				return err
			}
			if asJSON {
				return s.json(a)
			}
			return s.showAgreement(a, args[0], against)
		},
	}
	cmd.Flags().StringVar(&against, "against", "", "encoder to compare the vectors with")
	cmd.Flags().StringVar(&images, "images", "", "folder of images to compare on, or a dataset with labels")
	jsonFlag(cmd, &asJSON)
	return cmd
}

func (s *settings) showAgreement(a agreement, first, second string) error {
	line := "vectors of different widths have no cosine\n"
	if a.Agreement != nil {
		line = fmt.Sprintf("%d images: cosine %.6f in the mean, %.6f at worst; %.1f %% of the ten nearest are the same\n",
			a.Images, a.MeanCosine, a.WorstCosine, 100*a.Overlap)
	}
	if _, err := fmt.Fprint(s.out, line); err != nil || a.Labels == nil {
		return err
	}
	w := tabwriter.NewWriter(s.out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(w, "\nAUC ON PATIENTS NOT SEEN\t%s\t%s\tDIFFERENCE\t95 %% CI\n", first, second)
	for _, l := range a.Labels {
		if l.AUC == nil {
			fmt.Fprintf(w, "%s\t\t\t\tno figures: %s\n", quoteControl(l.Finding), l.Reason)
			continue
		}
		d := l.AUC.Difference
		fmt.Fprintf(w, "%s\t%.3f\t%.3f\t%+.3f\t%+.3f to %+.3f\n", quoteControl(l.Finding), l.AUC.A.Point, l.AUC.B.Point, d.Point, d.Low, d.High)
	}
	return w.Flush()
}

// agreement compares the vectors of two encoders on the images of a folder or of
// a dataset.
func (s *settings) agreement(ctx context.Context, names [2]string, images string) (agreement, error) {
	if format, _, ok := strings.Cut(images, ":"); ok && !filepath.IsAbs(images) && format != "" || strings.HasSuffix(images, ".yaml") || strings.HasSuffix(images, ".yml") {
		return s.labelledAgreement(ctx, names, images)
	}
	var files []string
	err := filepath.WalkDir(images, func(name string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() && datasets.IsImageName(name) {
			files = append(files, name)
		}
		return err
	})
	if err != nil {
		return agreement{}, err
	}
	if len(files) < 2 {
		return agreement{}, fmt.Errorf("%s holds %d images: want at least two", images, len(files))
	}
	var vectors [2][][]float32
	for k, name := range names {
		err := s.using(ctx, name, "", func(e *encoder.Encoder) (err error) {
			vectors[k], err = fileVectors(ctx, e, files, datasets.ImageOptions{})
			return err
		})
		if err != nil {
			return agreement{}, err
		}
	}
	a, err := encoder.Agree(vectors[0], vectors[1])
	return agreement{Agreement: &a}, err
}

// labelledAgreement embeds the dataset with both encoders, through the cache.
func (s *settings) labelledAgreement(ctx context.Context, names [2]string, arg string) (_ agreement, err error) {
	d, err := s.openDataset(ctx, arg)
	if err != nil {
		return agreement{}, err
	}
	defer closing(d, &err)
	var x [2]blas32.General
	for k, name := range names {
		err := s.usingCache(ctx, name, "", func(e *encoder.Encoder, cache *embedcache.Cache) error {
			steps := s.steps()
			defer steps.finish()
			filled, err := cache.Fill(ctx, d, e, embedcache.FillOptions{Progress: func(done, total int) { steps.update(name, done, total) }})
			if err != nil {
				return err
			}
			x[k], err = cache.Matrix(ctx, embedcache.SpaceOf(e), filled.Keys)
			return err
		})
		if err != nil {
			return agreement{}, err
		}
	}
	var a agreement
	switch alike, err := encoder.Agree(rowsOf(x[0]), rowsOf(x[1])); {
	case err == nil:
		a.Agreement = &alike
	case !errors.Is(err, encoder.ErrWidths):
		return agreement{}, err
	}
	a.Labels, err = experiment.CompareSpaces(ctx, x[0], x[1], d)
	return a, err
}

func rowsOf(m blas32.General) [][]float32 {
	rows := make([][]float32, m.Rows)
	for i := range rows {
		rows[i] = m.Data[i*m.Stride : i*m.Stride+m.Cols]
	}
	return rows
}
