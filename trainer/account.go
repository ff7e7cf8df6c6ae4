package trainer

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
)

// Penalty is λ; it may be infinite, which JSON writes as "inf".
type Penalty float64

// MarshalJSON writes a number, or "inf".
func (p Penalty) MarshalJSON() ([]byte, error) {
	if math.IsInf(float64(p), 1) {
		return []byte(`"inf"`), nil
	}
	return json.Marshal(float64(p))
}

// UnmarshalJSON reads what MarshalJSON writes.
func (p *Penalty) UnmarshalJSON(data []byte) error {
	if string(data) == `"inf"` {
		*p = Penalty(math.Inf(1))
		return nil
	}
	return json.Unmarshal(data, (*float64)(p))
}

func lambdaOf(c float64) Penalty {
	if c == 0 {
		return Penalty(math.Inf(1))
	}
	return Penalty(1 / c)
}

// ClassFit says how the head of one class was fitted, or of all exclusive
// classes together.
type ClassFit struct {
	// Class is empty where the classes were fitted together.
	Class     string `json:"class,omitempty"`
	Positives int    `json:"positives"`
	Negatives int    `json:"negatives"`
	// Samples counts the known values, of heads that give values.
	Samples int `json:"samples,omitempty"`
	// C and Lambda = 1/C are the penalty in use, or the median one where the
	// head is an average over Path; Chosen says whether it was chosen by
	// cross-validation.
	C      float64 `json:"c"`
	Lambda Penalty `json:"lambda"`
	Chosen bool    `json:"chosen"`
	// ChosenOn says on what the weights of an ensemble were: "validation" or
	// "cross-validation".
	ChosenOn string `json:"chosen_on,omitempty"`
	// L1Ratio is that of an elastic net, of whose weights Nonzero are not 0.
	L1Ratio float64 `json:"l1_ratio,omitempty"`
	Nonzero int     `json:"nonzero,omitempty"`
	// Members are those of an ensemble, with their weights.
	Members []MemberWeight `json:"members,omitempty"`
	// Scale is τ of the zero-shot score inside a linear probe.
	Scale float64 `json:"scale,omitempty"`
	// Alpha, Beta and Neighbours are those in use, of heads that have them.
	Alpha      float64 `json:"alpha,omitempty"`
	Beta       float64 `json:"beta,omitempty"`
	Neighbours int     `json:"neighbours,omitempty"`
	// HeldOut is the mean held-out log-loss per sample of the choice.
	HeldOut float64 `json:"held_out,omitempty"`
	// Objective is ½‖w‖² + C·Σ log-loss at the solution for C, with the penalty
	// of an elastic net where it is one; with λ = ∞,
	// where only scale and bias are fitted, the log-loss alone. Iterations is
	// the sum over the penalties in the head.
	Objective  float64 `json:"objective"`
	Iterations int     `json:"iterations"`
	Converged  bool    `json:"converged"`
	// GradientNorm is the greatest norm of the objective's gradient at a
	// solution, relative to that at the start.
	GradientNorm float64 `json:"gradient_norm"`
	// Path is what cross-validation saw, the strongest penalty first; of heads
	// without one, each value that was tried. Of α and β together those are the α
	// beside the chosen β, and the β beside the chosen α.
	Path []PathPoint `json:"path,omitempty"`
}

// count counts positives and negatives among labels of 1 and 0.
func (f *ClassFit) count(labels []int) {
	for _, k := range labels {
		if k > 0 {
			f.Positives++
		} else {
			f.Negatives++
		}
	}
}

// String describes the fit in one line.
func (f ClassFit) String() string {
	if f.Samples > 0 {
		return f.ofValue()
	}
	if f.Lambda == 0 {
		return f.plain()
	}
	shares := 0
	for _, p := range f.Path {
		if p.Weight > 0 {
			shares++
		}
	}
	how := "given"
	switch {
	case shares > 1:
		how = fmt.Sprintf("median of %d that cross-validation weighs", shares)
	case f.Chosen:
		how = "chosen by cross-validation"
	}
	name := cmp.Or(f.Class, "all classes")
	if f.C == 0 {
		return fmt.Sprintf("%s: λ = ∞ (%s): the zero-shot classifier", name, how)
	}
	if f.L1Ratio > 0 {
		how += fmt.Sprintf(", l1 ratio %.4g, %d weights not 0", f.L1Ratio, f.Nonzero)
	}
	return fmt.Sprintf("%s: C = %.4g, λ = %.4g (%s), objective %.6g after %d iterations, gradient %.1e of that at the start", name, f.C, float64(f.Lambda), how, f.Objective, f.Iterations, f.GradientNorm)
}

// ofValue describes the fit of a value.
func (f ClassFit) ofValue() string {
	text := fmt.Sprintf("%s: %d values, α = %.4g", f.Class, f.Samples, f.alpha())
	if math.IsInf(f.alpha(), 1) {
		text = fmt.Sprintf("%s: %d values, α = ∞: the zero-shot axis", f.Class, f.Samples)
	}
	if f.Chosen {
		text += fmt.Sprintf(" (chosen by cross-validation, where the mean squared error is %.4g)", f.HeldOut)
	}
	return text
}

// plain describes a fit that has no penalty.
func (f ClassFit) plain() string {
	text := fmt.Sprintf("%s: %d positives, %d negatives", f.Class, f.Positives, f.Negatives)
	if f.Class == "" {
		text = fmt.Sprintf("all classes: %d samples", f.Positives)
	}
	if f.Alpha != 0 {
		text += fmt.Sprintf(", α = %.4g", f.Alpha)
	}
	if f.Beta != 0 {
		text += fmt.Sprintf(", β = %.4g", f.Beta)
	}
	if f.Neighbours != 0 {
		text += fmt.Sprintf(", k = %d", f.Neighbours)
	}
	for k, m := range f.Members {
		text += fmt.Sprintf("%s%.3f %s", map[bool]string{true: ", ", false: " + "}[k == 0], m.Weight, m.Head)
	}
	switch {
	case f.ChosenOn == "validation":
		text += " (chosen on validation)"
	case f.Chosen:
		text += " (chosen by cross-validation)"
	}
	return text
}

// PathPoint is one penalty in a cross-validation.
type PathPoint struct {
	C      float64 `json:"c"`
	Lambda Penalty `json:"lambda"`
	// Loss is the mean held-out log-loss per sample; Excess is how far it lies
	// above the least, and StdErr the standard error of that difference over
	// patients. With 500 rows or more, those of a penalty that is far behind (by a
	// tenth of the least loss, and by 60 nats in all) are those of a fit that was
	// ended early, mostly a few percent too small.
	Loss   float64 `json:"loss"`
	Excess float64 `json:"excess"`
	StdErr float64 `json:"std_err"`
	// Weight is the part that the fit with this penalty has in the head.
	Weight float64 `json:"weight"`
	// Alpha, Beta and Neighbours are those tried, of heads that have them; they have
	// no StdErr.
	Alpha      float64 `json:"alpha,omitempty"`
	Beta       float64 `json:"beta,omitempty"`
	Neighbours int     `json:"neighbours,omitempty"`
	// Folds holds the loss per sample of each fold, in six digits. The fits of a
	// cross-validation are not taken to the end: where the loss is near the least, its
	// first four digits hold, far from it, at a great C, the first two.
	Folds []float64 `json:"folds,omitempty"`
}

// sixDigits rounds values to six digits, which is what a file keeps of them.
func sixDigits(values []float64) []float64 {
	out := make([]float64, len(values))
	for k, v := range values {
		if rounded, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 6, 64), 64); err == nil {
			out[k] = rounded
		}
	}
	return out
}
