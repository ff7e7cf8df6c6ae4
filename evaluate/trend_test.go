package evaluate

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/medprobe/medprobe/internal/needs"
)

// drawCurves draws R nested learning curves about a true one: a share of each
// draw's deviation stays with it along the curve, as nested shots make it.
func drawCurves(random *rand.Rand, labels []int, draws int, truth func(n float64) float64, noise, stay float64) [][]float64 {
	aucs := make([][]float64, len(labels))
	for range draws {
		own := random.NormFloat64()
		for k, n := range labels {
			sd := noise / math.Sqrt(float64(n))
			own = stay*own + math.Sqrt(1-stay*stay)*random.NormFloat64()
			aucs[k] = append(aucs[k], clamp(truth(float64(n))+sd*own))
		}
	}
	return aucs
}

// The truth is drawn too: asymptotes .75 to .95, rises of .1 to .4 at two
// labels, exponents .2 to 1.2. The intervals may fall short of 95 % by what the
// documentation says, .90, and by what chance does in so few repetitions.
func TestTrendCoverage(t *testing.T) {
	needs.Time(t)
	t.Parallel()
	repeats := repetitions() / 2
	for _, c := range []struct {
		labels []int
		draws  int
		stay   float64
	}{
		{[]int{2, 4, 8, 16, 32, 64}, 5, 0.5}, {[]int{2, 4, 8, 16, 32, 64}, 20, 0.5}, {[]int{2, 4, 8, 16, 32, 64}, 10, 0},
		{[]int{8, 16, 32, 64}, 5, 0.7}, {[]int{8, 16, 32, 64}, 20, 0.7}, {[]int{4, 16, 64, 256, 1024}, 10, 0.5},
	} {
		t.Run(fmt.Sprintf("%v, %d draws, %v stays", c.labels, c.draws, c.stay), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(3, 4))
			inside, insideGain, trends, gains, width := 0, 0, 0, 0, 0.0
			for range repeats {
				a, rise, e := 0.75+0.2*random.Float64(), 0.1+0.3*random.Float64(), 0.2+random.Float64()
				truth := func(n float64) float64 { return a - rise*math.Pow(n/2, -e) }
				trend, err := NewTrend(c.labels, drawCurves(random, c.labels, c.draws, truth, 0.12, c.stay))
				if err != nil {
					t.Fatal(err)
				}
				if trend.Unmet != "" {
					continue
				}
				trends++
				far := trend.Points[len(trend.Points)-1]
				width += far.High - far.Low
				if v := truth(float64(far.Labels)); far.Low <= v && v <= far.High {
					inside++
				}
				if g := trend.More; g != nil {
					gains++
					if v := truth(float64(g.From+g.Add)) - truth(float64(g.From)); g.Low <= v && v <= g.High {
						insideGain++
					}
				}
			}
			share, gain := float64(inside)/float64(trends), float64(insideGain)/float64(gains)
			t.Logf("at four times the labels %.3f of %d, width %.3f; 100 more %.3f of %d", share, trends, width/float64(trends), gain, gains)
			if slack := 3 * math.Sqrt(0.9*0.1/float64(trends)); share < 0.90-slack || gain < 0.90-slack {
				t.Errorf("coverage %.3f and %.3f", share, gain)
			}
			if trends < repeats*3/4 {
				t.Errorf("%d trends of %d", trends, repeats)
			}
		})
	}
}

// A curve without noise is found again.
func TestTrendFindsThePowerLaw(t *testing.T) {
	t.Parallel()
	labels := []int{4, 8, 16, 32, 64}
	truth := func(n float64) float64 { return 0.9 - 0.5*math.Pow(n, -0.7) }
	random := rand.New(rand.NewPCG(1, 1))
	trend, err := NewTrend(labels, drawCurves(random, labels, 10, truth, 1e-4, 0.5))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range trend.Points {
		if math.Abs(p.AUC-truth(float64(p.Labels))) > 2e-3 || p.High-p.Low > 0.03 {
			t.Errorf("%+v, want %v", p, truth(float64(p.Labels)))
		}
	}
	if want := truth(164) - truth(64); trend.More == nil || math.Abs(trend.More.AUC-want) > 2e-3 {
		t.Errorf("100 more: %+v, want %v", trend.More, want)
	}
	if math.Abs(trend.C-0.7) > 0.1 {
		t.Errorf("exponent %v", trend.C)
	}
}

func TestTrendRefusesWhatDoesNotBearIt(t *testing.T) {
	t.Parallel()
	flat := func(points, draws int, slope float64) (labels []int, aucs [][]float64) {
		for k := range points {
			labels = append(labels, 4<<k)
			var row []float64
			for r := range draws {
				row = append(row, 0.8+slope*float64(k)+0.001*float64(r*7%5))
			}
			aucs = append(aucs, row)
		}
		return labels, aucs
	}
	for _, c := range []struct {
		points, draws int
		slope         float64
		want          string
	}{{3, 5, 0.02, "3 points"}, {5, 4, 0.02, "4 draws"}, {5, 5, -0.02, "does not rise"}} {
		labels, aucs := flat(c.points, c.draws, c.slope)
		if trend, err := NewTrend(labels, aucs); err != nil || !strings.Contains(trend.Unmet, c.want) || trend.Points != nil {
			t.Errorf("%+v, %v: want %q", trend, err, c.want)
		}
	}
	labels, aucs := flat(5, 5, 0.02)
	aucs[2][1] = math.NaN()
	if _, err := NewTrend(labels, aucs); err == nil || !strings.Contains(err.Error(), "NaN at point 3") {
		t.Errorf("error %v", err)
	}
	labels[1] = labels[0]
	if _, err := NewTrend(labels, aucs); err == nil || !strings.Contains(err.Error(), "ascending") {
		t.Errorf("error %v", err)
	}
	if trend, _ := NewTrend([]int{1, 2, 4, 8}, [][]float64{{.5, .5, .6, .5, .5}, {.6, .6, .6, .6, .61}, {.65, .7, .66, .66, .66}, {.7, .7, .7, .72, .7}}); trend.More != nil || len(trend.Points) == 0 {
		t.Errorf("100 more than 8 labels: %+v", trend.More)
	}
}

// A probe that stays with its prompt for a while and then leaps is not continued
// by a law that it does not follow.
func TestLeapHasNoTrend(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(4, 4))
	aucs := make([][]float64, 6)
	for k, mean := range []float64{0.53, 0.535, 0.56, 0.995, 0.998, 0.999} {
		for range 5 {
			aucs[k] = append(aucs[k], min(1, mean+0.002*random.NormFloat64()))
		}
	}
	got, err := NewTrend([]int{2, 4, 8, 16, 32, 64}, aucs)
	if err != nil || got.Unmet != "the curve does not follow a power law" || got.Points != nil {
		t.Errorf("%+v, %v: want no trend", got, err)
	}
}

// Curves that are no power law are what the law promises nothing of: these are the
// shares that docs/report.md says the interval at four times the labels covers of
// them. Should one change, the page is to be changed.
func TestTrendOfOtherCurves(t *testing.T) {
	needs.Time(t)
	t.Parallel()
	repeats := repetitions() / 4
	labels := []int{2, 4, 8, 16, 32, 64}
	for _, c := range []struct {
		name string
		// draw returns a true curve.
		draw    func(random *rand.Rand) func(n float64) float64
		covered float64
	}{
		{"a plateau that is reached", func(random *rand.Rand) func(float64) float64 {
			top, rise, at := 0.75+0.2*random.Float64(), 0.1+0.2*random.Float64(), 4+12*random.Float64()
			return func(n float64) float64 { return top - rise*math.Exp(-n/at) }
		}, 0.37},
		{"an S over the logarithm, its middle among the points", func(random *rand.Rand) func(float64) float64 {
			top, rise, middle := 0.8+0.15*random.Float64(), 0.15+0.15*random.Float64(), 4*math.Pow(4, random.Float64())
			return func(n float64) float64 { return top - rise/(1+math.Pow(n/middle, 1.5)) }
		}, 0.47},
		{"an S whose middle is the last point", func(random *rand.Rand) func(float64) float64 {
			top, rise := 0.85+0.1*random.Float64(), 0.2+0.1*random.Float64()
			return func(n float64) float64 { return top - rise/(1+math.Pow(n/64, 1.5)) }
		}, 0},
		{"a step after the last point", func(random *rand.Rand) func(float64) float64 {
			base := 0.6 + 0.1*random.Float64()
			return func(n float64) float64 {
				if n > 100 {
					return base + 0.2
				}
				return base + 0.05 - 0.05*math.Pow(n/2, -0.7)
			}
		}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(8, 8))
			inside, kept, width := 0, 0, 0.0
			for range repeats {
				truth := c.draw(random)
				trend, err := NewTrend(labels, drawCurves(random, labels, 10, truth, 0.12, 0.5))
				if err != nil {
					t.Fatal(err)
				}
				if trend.Unmet != "" {
					continue
				}
				kept++
				far := trend.Points[len(trend.Points)-1]
				width += far.High - far.Low
				if v := truth(float64(far.Labels)); far.Low <= v && v <= far.High {
					inside++
				}
			}
			share, continued := float64(inside)/float64(max(1, kept)), float64(kept)/float64(repeats)
			t.Logf("continued %.3f of %d, covered %.3f, width %.3f", continued, repeats, share, width/float64(max(1, kept)))
			if slack := 0.03 + 3*math.Sqrt(0.25/float64(max(1, kept))); math.Abs(share-c.covered) > slack || continued < 0.9 {
				t.Errorf("covered %.3f of the %.3f that were continued, the page says %.2f", share, continued, c.covered)
			}
		})
	}
}
