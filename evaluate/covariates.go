package evaluate

import "fmt"

// CovariateGains compares a head of the image alone, of covariates alone and of
// both. Covariates that tell as much as the image are a shortcut that the image
// may take, too.
type CovariateGains struct {
	// Columns are the covariates, Head the kind of the head that has the image.
	Columns  []string        `json:"columns"`
	Head     string          `json:"head"`
	Findings []CovariateGain `json:"findings"`
}

// CovariateGain is that of one finding. What cannot be estimated is nil.
type CovariateGain struct {
	Name       string    `json:"name"`
	Image      *Estimate `json:"image"`
	Covariates *Estimate `json:"covariates"`
	Both       *Estimate `json:"both"`
	// OverImage is both less the image alone, OverCovariates both less the
	// covariates alone; p is also given as adjusted over the findings (Holm).
	OverImage      *Difference `json:"over_image"`
	OverCovariates *Difference `json:"over_covariates"`
}

// NewCovariateGain compares three columns of scores for the same samples, as
// [Compare] does. Of one class alone there is nothing but the name.
func NewCovariateGain(name string, image, covariates, both []float64, labels []bool, groups []string, unit string) (CovariateGain, error) {
	g := CovariateGain{Name: name}
	if _, _, err := countClasses(labels); err != nil {
		return g, nil
	}
	overImage, err := Compare(both, image, labels, groups)
	if err != nil {
		return g, fmt.Errorf("covariates of %q: %w", name, err)
	}
	overCovariates, err := Compare(both, covariates, labels, groups)
	if err != nil {
		return g, fmt.Errorf("covariates of %q: %w", name, err)
	}
	in := func(e Estimate) *Estimate {
		e = e.over(unit)
		return &e
	}
	g.Image, g.Covariates, g.Both = in(overImage.B), in(overCovariates.B), in(overImage.A)
	g.OverImage = &Difference{A: "both", B: "image", Difference: overImage.Difference.over(unit), P: overImage.P, AdjustedP: overImage.P}
	g.OverCovariates = &Difference{A: "both", B: "covariates", Difference: overCovariates.Difference.over(unit), P: overCovariates.P, AdjustedP: overCovariates.P}
	return g, nil
}

// Adjust sets Holm's p over the findings.
func (g *CovariateGains) Adjust() {
	for _, of := range []func(*CovariateGain) *Difference{
		func(f *CovariateGain) *Difference { return f.OverImage },
		func(f *CovariateGain) *Difference { return f.OverCovariates },
	} {
		var differences []*Difference
		var p []float64
		for k := range g.Findings {
			if d := of(&g.Findings[k]); d != nil {
				differences, p = append(differences, d), append(p, d.P)
			}
		}
		for k, adjusted := range Holm(p) {
			differences[k].AdjustedP = adjusted
		}
	}
}
