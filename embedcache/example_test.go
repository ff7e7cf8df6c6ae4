package embedcache_test

import (
	"context"
	"fmt"
	"image"
	"log"
	"os"
	"path/filepath"

	"github.com/medprobe/medprobe/datasets"
	"github.com/medprobe/medprobe/datasets/phantom"
	"github.com/medprobe/medprobe/embedcache"
)

// size is an encoder that knows width and height only.
type size struct{}

func (size) Fingerprint() string           { return "width and height" }
func (size) PreprocessFingerprint() string { return "none" }
func (size) Dim() int                      { return 2 }
func (size) Preprocess(img image.Image) ([]float32, error) {
	return []float32{float32(img.Bounds().Dx()), float32(img.Bounds().Dy())}, nil
}
func (size) EncodePixels(_ context.Context, pixels [][]float32) ([][]float32, error) {
	return pixels, nil
}

func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "medprobe")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := phantom.WriteDataset(ctx, dir, phantom.Options{Train: 2, Test: 2}); err != nil {
		log.Fatal(err)
	}
	data, err := datasets.Open(ctx, datasets.Spec{Format: "csv", Path: filepath.Join(dir, "labels.csv")})
	if err != nil {
		log.Fatal(err)
	}
	defer data.Close()

	cache, err := embedcache.Open(ctx, filepath.Join(dir, "cache.db"))
	if err != nil {
		log.Fatal(err)
	}
	defer cache.Close()
	for range 2 {
		filled, err := cache.Fill(ctx, data, size{}, embedcache.FillOptions{})
		if err != nil {
			log.Fatal(err)
		}
		x, err := cache.Matrix(ctx, embedcache.SpaceOf(size{}), filled.Keys)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("all computed: %v, all found: %v; row 0: %.3f\n", filled.Embedded == filled.Samples, filled.Cached == filled.Samples, x.Data[:2])
	}
	// Output:
	// all computed: true, all found: false; row 0: [0.707 0.707]
	// all computed: false, all found: true; row 0: [0.707 0.707]
}
