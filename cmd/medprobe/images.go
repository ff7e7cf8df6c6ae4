package main

import (
	"context"
	"fmt"
	"image"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/medprobe/medprobe/datasets"
	"github.com/medprobe/medprobe/encoder"
	"github.com/medprobe/medprobe/internal/dicom"
	"github.com/spf13/cobra"
)

// imageFlags say which image of a file is meant, and how it is shown.
type imageFlags struct {
	frame   int
	window  string
	upright bool
}

func (f *imageFlags) add(cmd *cobra.Command) {
	cmd.Flags().IntVar(&f.frame, "frame", 1, "frame of DICOM files, from 1")
	cmd.Flags().StringVar(&f.window, "window", "", "window of DICOM files, as CENTER,WIDTH (default: the file's own)")
	cmd.Flags().BoolVar(&f.upright, "upright", false, "turn photographs as their EXIF data says")
}

func (f *imageFlags) options(cmd *cobra.Command) (datasets.ImageOptions, error) {
	o := datasets.ImageOptions{Options: dicom.Options{Frame: f.frame - 1}, Upright: f.upright}
	if f.frame < 1 {
		return o, usagef(cmd, "--frame %d: want 1 or more", f.frame)
	}
	if f.window == "" {
		return o, nil
	}
	center, width, ok := strings.Cut(f.window, ",")
	c, err := strconv.ParseFloat(strings.TrimSpace(center), 64)
	w, err2 := strconv.ParseFloat(strings.TrimSpace(width), 64)
	if !ok || err != nil || err2 != nil {
		return o, usagef(cmd, "--window %q: want CENTER,WIDTH, such as 40,400", f.window)
	}
	o.Window = &dicom.Window{Center: c, Width: w}
	if err := o.Window.Check(); err != nil {
		return o, usagef(cmd, "--window %q: %w", f.window, err)
	}
	return o, nil
}

// filePixels reads, decodes and preprocesses one image file.
func filePixels(ctx context.Context, e *encoder.Encoder, file string, o datasets.ImageOptions) ([]float32, error) {
	img, err := readImage(ctx, file, o)
	if err != nil {
		return nil, err
	}
	pixels, err := e.Preprocess(img)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return pixels, nil
}

func readImage(ctx context.Context, file string, o datasets.ImageOptions) (image.Image, error) {
	if info, err := os.Stat(file); err == nil && info.IsDir() {
		return nil, fmt.Errorf("%s: a folder; name the files in it, such as %s", file, filepath.Join(file, "*.png"))
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	img, err := datasets.DecodeImage(ctx, data, o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return img, nil
}

// fileVectors encodes the files a few at a time, so that memory stays flat.
func fileVectors(ctx context.Context, e *encoder.Encoder, files []string, o datasets.ImageOptions) ([][]float32, error) {
	const batch = 16
	var vectors [][]float32
	for len(files) > 0 {
		n := min(batch, len(files))
		pixels := make([][]float32, n)
		for i, file := range files[:n] {
			var err error
			if pixels[i], err = filePixels(ctx, e, file, o); err != nil {
				return nil, err
			}
		}
		some, err := e.EncodePixels(ctx, pixels)
		if err != nil {
			return nil, err
		}
		vectors, files = append(vectors, some...), files[n:]
	}
	return vectors, nil
}
