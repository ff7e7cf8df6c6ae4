package evaluate

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/medprobe/medprobe/internal/needs"
)

// drawnPoint is a learning-curve point: heads whose scores are the truth plus a
// direction of their own for each draw, against a zero-shot score. better is how
// much clearer a head's scores are than zero-shot's, on the average of draws.
func drawnPoint(random *rand.Rand, shots, draws int, better, spread float64) (CurvePoint, error) {
	const people = 80
	labels, groups := make([]bool, 2*people), make([]string, 2*people)
	zero := make([]float64, len(labels))
	scores := make([][]float64, draws)
	gains := make([]float64, draws)
	for r := range draws {
		scores[r], gains[r] = make([]float64, len(labels)), better+spread*random.NormFloat64()
	}
	for p := range people {
		shared := random.NormFloat64()
		for k := range 2 {
			i := 2*p + k
			labels[i], groups[i] = p%2 == 0, fmt.Sprint(p)
			mean := 0.0
			if labels[i] {
				mean = 1
			}
			own := 0.7*shared + 0.7*random.NormFloat64()
			zero[i] = mean + own + 0.5*random.NormFloat64()
			for r := range draws {
				scores[r][i] = (1+gains[r])*mean + own + 0.5*random.NormFloat64()
			}
		}
	}
	p, err := NewCurvePoint(shots, scores, labels, groups, "patient")
	if err == nil {
		err = p.CompareWith(zero, scores, labels, groups, "patient")
	}
	p.Positives, p.Negatives = shots, shots
	return p, err
}

// A method that is no better on the average must not be said to be from some
// number on more often than in 2.5 %; one that is much better must be.
func TestEnoughIsHonest(t *testing.T) {
	needs.Time(t)
	t.Parallel()
	n := repetitions()
	for _, spread := range []float64{0.02, 0.3} {
		random := rand.New(rand.NewPCG(5, 6))
		alarms, found := 0, 0
		for range n {
			var none, much Curve
			for _, shots := range []int{1, 4, 16} {
				p, err := drawnPoint(random, shots, 5, 0, spread)
				if err != nil {
					t.Fatal(err)
				}
				none.Points = append(none.Points, p)
				if p, err = drawnPoint(random, shots, 5, 0.2*float64(shots), spread); err != nil {
					t.Fatal(err)
				}
				much.Points = append(much.Points, p)
			}
			none.FindEnough()
			much.FindEnough()
			if none.Enough.Shots > 0 {
				alarms++
			}
			if much.Enough.Shots > 0 {
				found++
			}
		}
		share := float64(alarms) / float64(n)
		t.Logf("spread %v: named for nothing %.3f, found %.3f", spread, share, float64(found)/float64(n))
		if share > 0.025+3*math.Sqrt(0.025*0.975/float64(n)) {
			t.Errorf("spread %v: %.3f of experiments name a number where there is none", spread, share)
		}
		if found < n*9/10 {
			t.Errorf("spread %v: found %d of %d", spread, found, n)
		}
	}
}

// The figure is the mean of the paired differences; its interval holds both
// variances, computed here from Compare and the draws.
func TestOverZeroShotHoldsBothVariances(t *testing.T) {
	t.Parallel()
	labels := make([]bool, 60)
	zero, a := make([]float64, 60), make([]float64, 60)
	random := rand.New(rand.NewPCG(2, 2))
	for i := range labels {
		labels[i] = i%2 == 0
		if labels[i] {
			zero[i], a[i] = 0.5, 1
		}
		zero[i], a[i] = zero[i]+random.NormFloat64(), a[i]+random.NormFloat64()
	}
	draws := [][]float64{a, a, a}
	p, err := NewCurvePoint(4, draws, labels, nil, "image")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.CompareWith(zero, draws, labels, nil, "image"); err != nil {
		t.Fatal(err)
	}
	c, err := Compare(a, zero, labels, nil)
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(p.OverZeroShot.Point-c.Difference.Point) > 1e-12 || math.Abs(p.OverZeroShot.StdErr-c.Difference.StdErr) > 1e-12 || *p.DrawSD != 0 {
		t.Errorf("draws that agree: %+v, want %+v", p.OverZeroShot, c.Difference)
	}
	draws[1] = zero
	if err := p.CompareWith(zero, draws, labels, nil, "image"); err != nil {
		t.Fatal(err)
	}
	d := c.Difference.Point
	if want := 2 * d / 3; math.Abs(p.OverZeroShot.Point-want) > 1e-12 {
		t.Errorf("mean difference %v, want %v", p.OverZeroShot.Point, want)
	}
	if want := math.Sqrt(4*c.Difference.StdErr*c.Difference.StdErr/9 + d*d/3*(1+1.0/3)); math.Abs(p.OverZeroShot.StdErr-want) > 1e-9 {
		t.Errorf("standard error %v, want %v", p.OverZeroShot.StdErr, want)
	}
}

func TestEnoughEndsAtTheFirstThatIsNotBetter(t *testing.T) {
	t.Parallel()
	point := func(shots int, low float64) CurvePoint {
		return CurvePoint{Shots: shots, Positives: shots, Negatives: shots, AUC: &Estimate{}, OverZeroShot: &Estimate{Low: low}}
	}
	for _, c := range []struct {
		points []CurvePoint
		shots  int
		unmet  string
	}{
		{[]CurvePoint{point(1, -1), point(4, .1), point(16, .1), {Shots: 64, Unmet: "few"}}, 4, ""},
		{[]CurvePoint{point(1, .1), point(4, -.1), point(16, .1)}, 16, ""},
		{[]CurvePoint{point(1, .1), point(4, .1), point(16, -.1)}, 0, "not better"},
		{[]CurvePoint{{Shots: 1, AUC: &Estimate{}}}, 0, "two draws"},
	} {
		curve := Curve{Points: c.points}
		curve.FindEnough()
		if curve.Enough.Shots != c.shots || curve.Enough.Labels != 2*c.shots || !strings.Contains(curve.Enough.Unmet, c.unmet) || (curve.Enough.Unmet == "") != (c.unmet == "") {
			t.Errorf("%+v, want %d %q", curve.Enough, c.shots, c.unmet)
		}
	}
}
