package experiment_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/medprobe/medprobe/experiment"
)

// An experiment is one file; what it does not say has a default.
func Example() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "experiment.yaml")
	err = os.WriteFile(file, []byte(`
name: Effusions
data: csv:labels.csv
encoder: demo
prompts:
  effusion:
    positive: ["a chest radiograph with an effusion"]
    negative: ["a chest radiograph with no effusion"]
`), 0o644)
	if err != nil {
		log.Fatal(err)
	}
	c, err := experiment.Load(file)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(c.Name, c.Heads, c.Preprocess, c.Leakage)
	// With an encoder and a cache: result, err := experiment.Run(ctx, c, options),
	// then result.Write("run").

	// Output: Effusions [linear-probe logistic] hf fail
}
