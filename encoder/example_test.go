package encoder_test

import (
	"context"
	"fmt"
	"image"
	"log"
	"math"
	"os"

	"github.com/medprobe/medprobe/encoder"
	"gonum.org/v1/gonum/blas/blas32"
)

// A checkpoint becomes an encoder under a name.
func ExampleImport() {
	dir, err := os.MkdirTemp("", "encoders")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	m, err := encoder.Import(context.Background(), "testdata/siglip-bf16", encoder.ImportOptions{Dir: dir, Name: "tiny"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s: vectors of %d values from squares of %d pixels, text: %v\n", m.Name, m.Dim, m.ImageSize, m.HasText)
	// Output: tiny: vectors of 48 values from squares of 30 pixels, text: true
}

// SigLIP's probability that a prompt is true of an image. It needs ONNX Runtime
// and an imported encoder.
func Example() {
	ctx := context.Background()
	dir, err := encoder.DefaultDir()
	if err != nil {
		log.Fatal(err)
	}
	e, err := encoder.Open(dir, "medsiglip-448", encoder.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	images, err := e.EncodeImages(ctx, []image.Image{image.NewGray(image.Rect(0, 0, 512, 512))})
	if err != nil {
		log.Fatal(err)
	}
	texts, err := e.EncodeTexts(ctx, []string{"a chest radiograph with a pleural effusion"})
	if err != nil {
		log.Fatal(err)
	}
	v := blas32.Vector{N: e.Dim(), Inc: 1, Data: images[0]}
	t := blas32.Vector{N: e.Dim(), Inc: 1, Data: texts[0]}
	cosine := blas32.Dot(v, t) / (blas32.Nrm2(v) * blas32.Nrm2(t))
	logit := float64(cosine)*e.LogitScale() + e.LogitBias()
	fmt.Printf("%.3f\n", 1/(1+math.Exp(-logit)))
}
