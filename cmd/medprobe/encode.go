package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/medprobe/medprobe/datasets"
	"github.com/medprobe/medprobe/encoder"
	"github.com/medprobe/medprobe/internal/atomicfile"
	"github.com/medprobe/medprobe/internal/npy"
	"github.com/medprobe/medprobe/internal/vec"
	"github.com/spf13/cobra"
	"gonum.org/v1/gonum/blas/blas32"
)

func (s *settings) tokenizeCommand() *cobra.Command {
	var enc encoderFlags
	var file string
	cmd := &cobra.Command{
		Use:     "tokenize TEXT...",
		Short:   "Show the 64 token ids of texts, one JSON line each",
		Example: `  medprobe tokenize --encoder demo "a chest radiograph with effusion"`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := enc.check(cmd); err != nil {
				return err
			}
			all, err := texts(cmd, args, file)
			if err != nil {
				return err
			}
			return s.using(cmd.Context(), enc.name, enc.profile, func(e *encoder.Encoder) error {
				if !e.HasText() {
					return fmt.Errorf("tokenize: %w", e.NoText())
				}
				out := json.NewEncoder(s.out)
				out.SetEscapeHTML(false)
				for _, text := range all {
					line := struct {
						Text     string  `json:"text"`
						InputIDs []int64 `json:"input_ids"`
					}{text, e.Tokenize(text)}
					if err := out.Encode(line); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	enc.add(cmd)
	cmd.Flags().StringVar(&file, "file", "", "JSON array of further texts")
	return cmd
}

// matrixFlags are the flags of the commands that write what an encoder makes of images.
type matrixFlags struct {
	encoderFlags
	images imageFlags
	out    string
}

func (f *matrixFlags) add(cmd *cobra.Command) {
	f.encoderFlags.add(cmd)
	f.images.add(cmd)
	outFlag(cmd, &f.out)
}

// check returns how images are to be read.
func (f *matrixFlags) check(cmd *cobra.Command) (datasets.ImageOptions, error) {
	if err := needOut(cmd, f.encoderFlags, f.out); err != nil {
		return datasets.ImageOptions{}, err
	}
	return f.images.options(cmd)
}

// using lets do use the encoder; o says how images are to be read.
func (f *matrixFlags) using(s *settings, cmd *cobra.Command, do func(e *encoder.Encoder, o datasets.ImageOptions) error) error {
	o, err := f.check(cmd)
	if err != nil {
		return err
	}
	return s.using(cmd.Context(), f.name, f.profile, func(e *encoder.Encoder) error { return do(e, o) })
}

// outFlag adds --out to a command that writes one .npy file.
func outFlag(cmd *cobra.Command, out *string) {
	cmd.Flags().StringVar(out, "out", "", "NumPy array to write, .npy (required)")
}

func needOut(cmd *cobra.Command, enc encoderFlags, out string) error {
	if out == "" {
		return usagef(cmd, "--out is missing; name the .npy file to write")
	}
	if err := enc.check(cmd); err != nil {
		return err
	}
	return checkOut(out, arrayEndings)
}

func (s *settings) preprocessCommand() *cobra.Command {
	var f matrixFlags
	cmd := &cobra.Command{
		Use:     "preprocess FILE...",
		Short:   "Write what the encoder sees: [n, 3, H, W] float32",
		Example: "  medprobe preprocess --encoder demo --out pixels.npy image.png",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.using(s, cmd, func(e *encoder.Encoder, o datasets.ImageOptions) error {
				var all []float32
				for _, file := range args {
					pixels, err := filePixels(cmd.Context(), e, file, o)
					if err != nil {
						return err
					}
					all = append(all, pixels...)
				}
				return atomicfile.Write(f.out, func(w io.Writer) error {
					return npy.Write(w, []int{len(args), 3, e.ImageSize(), e.ImageSize()}, all)
				})
			})
		},
	}
	f.add(cmd)
	return cmd
}

func (s *settings) encodeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "encode",
		Short:   "Turn images or texts into vectors, or both into logits",
		Example: "  medprobe encode images --encoder demo --out X.npy image.png",
	}
	cmd.AddCommand(s.encodeImagesCommand(), s.encodeTextsCommand(), s.encodeLogitsCommand())
	return cmd
}

func (s *settings) encodeImagesCommand() *cobra.Command {
	var f matrixFlags
	var raw bool
	cmd := &cobra.Command{
		Use:     "images FILE...",
		Short:   "Write one vector of length one per image: [n, D]",
		Example: "  medprobe encode images --encoder demo --out X.npy a.png b.jpg",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.using(s, cmd, func(e *encoder.Encoder, o datasets.ImageOptions) error {
				vectors, err := fileVectors(cmd.Context(), e, args, o)
				if err != nil {
					return err
				}
				return writeVectors(f.out, vectors, e.Dim(), raw)
			})
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&raw, "raw", false, "leave the vectors as the tower gives them, not of length one")
	return cmd
}

func (s *settings) encodeTextsCommand() *cobra.Command {
	var enc encoderFlags
	var out, file string
	var raw bool
	cmd := &cobra.Command{
		Use:     "texts TEXT...",
		Short:   "Write one vector of length one per text: [m, D]",
		Example: `  medprobe encode texts --encoder demo --out T.npy "effusion" "no effusion"`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := needOut(cmd, enc, out); err != nil {
				return err
			}
			all, err := texts(cmd, args, file)
			if err != nil {
				return err
			}
			return s.using(cmd.Context(), enc.name, enc.profile, func(e *encoder.Encoder) error {
				vectors, err := e.EncodeTexts(cmd.Context(), all)
				if err != nil {
					return err
				}
				return writeVectors(out, vectors, e.Dim(), raw)
			})
		},
	}
	enc.add(cmd)
	outFlag(cmd, &out)
	cmd.Flags().StringVar(&file, "file", "", "JSON array of further texts")
	cmd.Flags().BoolVar(&raw, "raw", false, "leave the vectors as the tower gives them, not of length one")
	return cmd
}

func (s *settings) encodeLogitsCommand() *cobra.Command {
	var f matrixFlags
	var file string
	var images []string
	cmd := &cobra.Command{
		Use:     "logits",
		Short:   "Write logits_per_image: [n, m]",
		Example: "  medprobe encode logits --encoder demo --images a.png b.png --texts texts.json --out L.npy",
		RunE: func(cmd *cobra.Command, args []string) error {
			// --images takes the first file, the rest are arguments.
			files := append(images, args...)
			if len(files) == 0 {
				return usagef(cmd, "--images is missing; name the image files")
			}
			if file == "" {
				return usagef(cmd, "--texts is missing; name a JSON array of strings")
			}
			all, err := texts(cmd, nil, file)
			if err != nil {
				return err
			}
			return f.using(s, cmd, func(e *encoder.Encoder, o datasets.ImageOptions) error {
				l, err := logits(cmd.Context(), e, files, all, o)
				if err != nil {
					return err
				}
				return npy.WriteMatrix(f.out, l)
			})
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&file, "texts", "", "JSON array of texts (required)")
	cmd.Flags().StringArrayVar(&images, "images", nil, "image files; more may follow as arguments")
	return cmd
}

// logits returns image·textᵀ·scale + bias of unit vectors, [n, m].
func logits(ctx context.Context, e *encoder.Encoder, files, all []string, o datasets.ImageOptions) (blas32.General, error) {
	if e.HasText() && e.LogitScale() == 0 {
		return blas32.General{}, fmt.Errorf("%s does not say by what the cosine is scaled in a logit: write logit_scale and logit_bias into its medprobe.yaml and import it again", e.Name())
	}
	images, err := fileVectors(ctx, e, files, o)
	if err != nil {
		return blas32.General{}, err
	}
	texts, err := e.EncodeTexts(ctx, all)
	if err != nil {
		return blas32.General{}, err
	}
	x, err := unitRows(images, e.Dim())
	if err != nil {
		return x, err
	}
	t, err := unitRows(texts, e.Dim())
	if err != nil {
		return t, err
	}
	l := blas32.General{Rows: len(files), Cols: len(all), Stride: len(all), Data: make([]float32, len(files)*len(all))}
	for i := range files {
		for j := range all {
			dot := 0.0
			for k := range x.Cols {
				dot += float64(x.Data[i*x.Stride+k]) * float64(t.Data[j*t.Stride+k])
			}
			l.Data[i*l.Stride+j] = float32(dot*e.LogitScale() + e.LogitBias())
		}
	}
	return l, nil
}

func writeVectors(out string, vectors [][]float32, dim int, raw bool) error {
	if !raw {
		m, err := unitRows(vectors, dim)
		if err != nil {
			return err
		}
		return npy.WriteMatrix(out, m)
	}
	m := blas32.General{Rows: len(vectors), Cols: dim, Stride: dim}
	for _, v := range vectors {
		m.Data = append(m.Data, v...)
	}
	return npy.WriteMatrix(out, m)
}

// unitRows returns the vectors as rows of length one.
func unitRows(vectors [][]float32, dim int) (blas32.General, error) {
	m := blas32.General{Rows: len(vectors), Cols: dim, Stride: dim, Data: make([]float32, 0, len(vectors)*dim)}
	for i, v := range vectors {
		m.Data = append(m.Data, v...)
		row := m.Data[i*dim:]
		if err := vec.Unit(row, row); err != nil {
			return m, fmt.Errorf("vector %d: %w", i, err)
		}
	}
	return m, nil
}
