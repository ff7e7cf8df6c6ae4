package evaluate_test

import (
	"fmt"
	"log"
	"math"

	"github.com/medprobe/medprobe/evaluate"
)

func Example() {
	// Thirty patients with two images each; every other patient has the finding.
	var zeroShot, probe []float64
	var labels []bool
	var patients []string
	for i := range 60 {
		patient := i / 2
		positive := patient%2 == 0
		doubt := math.Sin(float64(7 * i * i)) // something like noise
		finding := 0.0
		if positive {
			finding = 1
		}
		zeroShot = append(zeroShot, 0.2*finding+doubt)
		probe = append(probe, finding+doubt)
		labels = append(labels, positive)
		patients = append(patients, fmt.Sprint("patient ", patient))
	}
	c, err := evaluate.Compare(probe, zeroShot, labels, patients)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("probe     ", c.A)
	fmt.Println("zero-shot ", c.B)
	fmt.Printf("difference %v, p = %.2g, over %d %ss\n", c.Difference, c.P, c.Difference.Units, c.Difference.Unit)
	// Output:
	// probe      0.782 (0.642–0.883)
	// zero-shot  0.586 (0.432–0.727)
	// difference 0.197 (0.115–0.279), p = 0.00015, over 30 groups
}
