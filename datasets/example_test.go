package datasets_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/medprobe/medprobe/datasets"
)

// A table of four patients is read, with a rule for uncertain labels, and
// divided so that nobody stands on two sides.
func Example() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	table := filepath.Join(dir, "labels.csv")
	const rows = "path,patient,effusion\na.png,p1,1\nb.png,p1,-1\nc.png,p2,0\nd.png,p3,1\ne.png,p4,\n"
	if err := os.WriteFile(table, []byte(rows), 0o600); err != nil {
		log.Fatal(err)
	}
	d, err := datasets.Open(context.Background(), datasets.Spec{
		Format: "csv", Path: table, Labels: []string{"effusion"},
		Uncertain: datasets.ByFinding{Default: "positive"},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer d.Close()
	fmt.Printf("%+v\n", datasets.Inspect(d).Labels["effusion"])
	for _, r := range d.Rules {
		fmt.Printf("%s: %d changed\n", r.Rule, r.Changed)
	}
	parts, err := datasets.Split(d, []datasets.Part{{Name: "train", Share: 0.5}, {Name: "test", Share: 0.5}}, 0)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("one patient, two sides:", parts[0] != parts[1])
	fmt.Println("leaks:", len(datasets.Leaks(d, parts, datasets.Contents{})))
	// Output:
	// {Positive:3 Negative:1 Uncertain:0 Missing:1}
	// uncertain: positive: 1 changed
	// one patient, two sides: false
	// leaks: 0
}
