package trainer_test

import (
	"context"
	"fmt"
	"log"

	"github.com/medprobe/medprobe/internal/testworld"
	"github.com/medprobe/medprobe/trainer"
)

func Example() {
	// Sixteen patients with a finding and sixteen without, two images each; the
	// zero-shot direction knows a little of the truth.
	world := testworld.New(testworld.Options{Knowledge: 0.3, PerPatient: 2, Likeness: 0.5}, 1)
	support := world.Draw(16, 16, "patient ", 1)
	y := trainer.Targets{Classes: []string{"effusion"}}
	for _, label := range support.Labels {
		y.Values = append(y.Values, []int8{label})
	}
	prior := &trainer.Prior{T: world.T, Scale: world.Scale}
	head, err := trainer.Fit(context.Background(), support.X, y, support.Groups, trainer.Options{Prior: prior})
	if err != nil {
		log.Fatal(err)
	}

	test := world.Draw(500, 500, "new patient ", 2)
	zero, err := trainer.ZeroShot(*prior, y.Classes, false, trainer.Space{})
	if err != nil {
		log.Fatal(err)
	}
	for _, h := range []*trainer.Head{zero, head} {
		p, err := h.Probabilities(test.X)
		if err != nil {
			log.Fatal(err)
		}
		right := 0
		for i, label := range test.Labels {
			if (p.Data[i] > 0.5) == (label == trainer.Positive) {
				right++
			}
		}
		fmt.Printf("%s: %.1f right\n", h.Kind, float64(right)/float64(len(test.Labels)))
	}
	fmt.Println(head.Fits[0].Positives, "positives,", head.Fits[0].Negatives, "negatives, converged:", head.Fits[0].Converged)
	// Output:
	// zero-shot: 0.5 right
	// linear-probe: 0.8 right
	// 32 positives, 32 negatives, converged: true
}
