package trainer

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/lapack/lapack64"
)

// Values holds continuous targets of n samples, such as laboratory values.
type Values struct {
	Names []string
	// Rows is n × len(Names); NaN is unknown.
	Rows [][]float64
}

func (v Values) validate(n int) error {
	if len(v.Names) == 0 || len(v.Rows) != n {
		return fmt.Errorf("%d rows of %d values for %d vectors: want as many rows, and at least 1 value", len(v.Rows), len(v.Names), n)
	}
	for c, name := range v.Names {
		if slices.Contains(v.Names[:c], name) {
			return fmt.Errorf("value %q stands twice", name)
		}
	}
	for i, row := range v.Rows {
		if len(row) != len(v.Names) {
			return fmt.Errorf("row %d: %d values for %d names", i, len(row), len(v.Names))
		}
		for c, x := range row {
			if math.IsInf(x, 0) {
				return fmt.Errorf("row %d: %q = %v: want a finite number, or NaN where it is not known", i, v.Names[c], x)
			}
		}
	}
	return nil
}

// FitValues trains a head whose outputs are values: for each name, on the rows x
// (n×D) for which it is known,
//
//	ridge:       min ‖y − X·w − b‖² + α‖w‖²
//	ridge-prior: min ‖y − τ·X·t − X·Δ − b‖² + α‖Δ‖²,  w = τ·t + Δ
//
// with unpenalised intercept b and, where t is the row of o.Prior.T for the
// name (the positive less the negative text), unpenalised scale τ: α = ∞ is the
// zero-shot axis with a straight line through it. o.Alpha is α, scikit-learn's
// alpha, or infinite for [RidgePrior]; 0 chooses it by the least squared error in cross-validation that
// divides no patient, among 1e-4 … 1e4 in half decades and, with a prior, ∞.
// groups mean what they mean in [Fit].
//
// Closed form: with n < D through the n×n Gram matrix, otherwise through the D×D
// second moments; what is not penalised is projected out first (Frisch and
// Waugh). Fewer than two known values of a name are an error.
//
// Oracle: scikit-learn's Ridge (testdata/ridge).
func FitValues(ctx context.Context, x blas32.General, v Values, groups []string, o Options) (*Head, error) {
	o.Head = cmp.Or(o.Head, Ridge)
	folds := checkFolds(o.Folds, groups, x.Rows)
	o.setDefaults()
	if err := errors.Join(folds, finite(x), v.validate(x.Rows), checkGroups(groups, x.Rows), o.validateValues(len(v.Names), x.Cols), o.fits(x.Rows, x.Cols, len(v.Names))); err != nil {
		return nil, fmt.Errorf("trainer: fit: %w", err)
	}
	h := &Head{Kind: o.Head, Classes: v.Names, Space: o.Space, B: make([]float32, len(v.Names))}
	h.W = blas32.General{Rows: len(v.Names), Cols: x.Cols, Stride: x.Cols, Data: make([]float32, len(v.Names)*x.Cols)}
	for c := range v.Names {
		r := newRegression(x, v, groups, o, c)
		if len(r.y) < 2 {
			return nil, fmt.Errorf("trainer: fit: %q has %d known values: want at least 2", v.Names[c], len(r.y))
		}
		f, note, err := r.choose(ctx, o)
		if err != nil {
			return nil, fmt.Errorf("trainer: fit: %q: %w", v.Names[c], err)
		}
		s, err := r.solve(upTo(len(r.y)), []float64{f.alpha()})
		if err != nil {
			return nil, fmt.Errorf("trainer: fit: %q: %w", v.Names[c], err)
		}
		f.Class, f.Samples, f.Converged, f.Scale = v.Names[c], len(r.y), true, s[0].scale
		f.Objective, f.GradientNorm = r.account(s[0], f.alpha())
		if note != "" {
			h.Notes = append(h.Notes, v.Names[c]+": "+note)
		}
		if err := h.set(c, s[0].w, s[0].b); err != nil {
			return nil, fmt.Errorf("trainer: fit: %w", err)
		}
		h.Fits = append(h.Fits, f)
	}
	return h, nil
}

func (o *Options) validateValues(names, dim int) error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !slices.Contains(ValueKinds(), o.Head) {
		wrong("head %q: want one of %q for values", o.Head, ValueKinds())
	}
	if !(o.Alpha >= 0) || math.IsInf(o.Alpha, 0) && o.Head != RidgePrior {
		wrong("alpha %v: want a positive number", o.Alpha)
	}
	if o.Folds < 2 {
		wrong("%d folds: want at least 2", o.Folds)
	}
	if o.C != 0 || o.CGrid != nil || o.L1Ratio != 0 || o.ClassWeight != "none" || o.Weights != nil || o.Standardize || o.Beta != 0 || o.Neighbours != 0 || o.Calibrate != "" || o.Thresholds != nil {
		wrong("%s has alpha alone, and no C, l1 ratio, weights, standardisation, calibration or thresholds; leave them out", o.Head)
	}
	switch {
	case o.Head == RidgePrior && o.Prior == nil:
		wrong("%s starts from the zero-shot axis: want a prior", o.Head)
	case o.Head == Ridge && o.Prior != nil:
		wrong("%s has no prior; leave it out, or take %s", o.Head, RidgePrior)
	case o.Prior != nil:
		errs = append(errs, o.Prior.of(o.Space), o.Prior.validate(names, dim))
	}
	return errors.Join(errs...)
}

// regression is one value on the rows for which it is known.
type regression struct {
	x      blas64.General
	y      []float64
	groups []string
	axis   []float64 // of the prior; nil without
}

// line is a fit: the value of x is w·x + b, and scale is τ within w.
type line struct {
	w        []float64
	b, scale float64
}

func newRegression(x blas32.General, v Values, groups []string, o Options, c int) *regression {
	r := &regression{x: blas64.General{Cols: x.Cols, Stride: x.Cols}}
	for i, row := range v.Rows {
		if math.IsNaN(row[c]) {
			continue
		}
		r.x.Data = append(r.x.Data, widen(x, i)...)
		r.x.Rows++
		r.y = append(r.y, row[c])
		name := fmt.Sprint(i)
		if groups != nil {
			name = groups[i]
		}
		r.groups = append(r.groups, name)
	}
	if p := o.Prior; p != nil {
		r.axis = widen(p.T, c)
	}
	return r
}

func (r *regression) row(i int) []float64 { return r.x.Data[i*r.x.Stride : i*r.x.Stride+r.x.Cols] }

// solve fits the rows for each α.
func (r *regression) solve(rows []int, alphas []float64) ([]line, error) {
	n, d := len(rows), r.x.Cols
	x, y := matrix(n, d), make([]float64, n)
	mean, middle := make([]float64, d), 0.0
	for i, row := range rows {
		copy(x.Data[i*d:], r.row(row))
		floats.AddScaled(mean, 1/float64(n), r.row(row))
		y[i] = r.y[row]
		middle += y[i] / float64(n)
	}
	axis := make([]float64, n) // the scores of the prior, at length one
	norm := 0.0
	for i := range n {
		floats.Sub(x.Data[i*d:(i+1)*d], mean)
		y[i] -= middle
		if r.axis != nil {
			axis[i] = floats.Dot(x.Data[i*d:(i+1)*d], r.axis)
		}
	}
	// What is along the axis is taken out of vectors and values.
	along, slope := make([]float64, d), 0.0
	if norm = floats.Norm(axis, 2); norm > 0 {
		floats.Scale(1/norm, axis)
		slope = floats.Dot(axis, y)
		blas64.Gemv(blas.Trans, 1, x, blas64.Vector{N: n, Inc: 1, Data: axis}, 0, blas64.Vector{N: d, Inc: 1, Data: along})
		for i := range n {
			floats.AddScaled(x.Data[i*d:(i+1)*d], -axis[i], along)
			y[i] -= axis[i] * slope
		}
	}
	w, err := ridgePath(x, y, alphas)
	if err != nil {
		return nil, err
	}
	lines := make([]line, len(alphas))
	for k := range lines {
		l := line{w: w[k]}
		if norm > 0 {
			l.scale = (slope - floats.Dot(along, l.w)) / norm
			floats.AddScaled(l.w, l.scale, r.axis)
		}
		l.b = middle - floats.Dot(l.w, mean)
		lines[k] = l
	}
	return lines, nil
}

// ridgePath returns (XᵀX + α)⁻¹Xᵀy for each α, by whichever of XᵀX and XXᵀ is the
// smaller.
func ridgePath(x blas64.General, y []float64, alphas []float64) ([][]float64, error) {
	n, d := x.Rows, x.Cols
	m, by := n, blas.NoTrans
	if d <= n {
		m, by = d, blas.Trans
	}
	gram := blas64.Symmetric{N: m, Stride: m, Uplo: blas.Upper, Data: make([]float64, m*m)}
	blas64.Syrk(by, 1, x, 0, gram)
	moment := make([]float64, d)
	blas64.Gemv(blas.Trans, 1, x, blas64.Vector{N: n, Inc: 1, Data: y}, 0, blas64.Vector{N: d, Inc: 1, Data: moment})
	out := make([][]float64, len(alphas))
	for k, alpha := range alphas {
		out[k] = make([]float64, d)
		if math.IsInf(alpha, 1) {
			continue
		}
		a := blas64.Symmetric{N: m, Stride: m, Uplo: blas.Upper, Data: slices.Clone(gram.Data)}
		for i := range m {
			a.Data[i*m+i] += alpha
		}
		factor, ok := lapack64.Potrf(a)
		if !ok {
			return nil, fmt.Errorf("α = %v is too small for these vectors, whose products are singular: want a larger one", alpha)
		}
		right := y
		if d <= n {
			right = moment
		}
		solution := blas64.General{Rows: m, Cols: 1, Stride: 1, Data: slices.Clone(right)}
		lapack64.Potrs(factor, solution)
		if d <= n {
			copy(out[k], solution.Data)
			continue
		}
		blas64.Gemv(blas.Trans, 1, x, blas64.Vector{N: n, Inc: 1, Data: solution.Data}, 0, blas64.Vector{N: d, Inc: 1, Data: out[k]})
	}
	return out, nil
}

// grid holds the penalties to choose from, the strongest first.
func (r *regression) grid() []float64 {
	var grid []float64
	if r.axis != nil {
		grid = append(grid, math.Inf(1))
	}
	for e := 8; e >= -8; e-- {
		grid = append(grid, math.Pow(10, float64(e)/2))
	}
	return grid
}

// choose returns the account of α, chosen by cross-validation unless given.
func (r *regression) choose(ctx context.Context, o Options) (f ClassFit, note string, err error) {
	set := func(alpha float64) {
		f.Alpha, f.C, f.Lambda = alpha, 1/alpha, Penalty(alpha)
		if math.IsInf(alpha, 1) {
			f.Alpha = 0
		}
	}
	if set(o.Alpha); o.Alpha != 0 {
		return f, "", nil
	}
	grid, folds := r.grid(), valueFolds(r.groups, o.Folds, o.Seed)
	if folds == nil {
		set(1)
		if r.axis != nil {
			set(math.Inf(1))
		}
		return f, "only one patient: α is not chosen by cross-validation", nil
	}
	column := map[string]int{}
	for _, name := range slices.Compact(slices.Sorted(slices.Values(r.groups))) {
		column[name] = len(column)
	}
	held := &heldOut{losses: make([][]float64, len(grid)), rows: float64(len(r.y))}
	cs := make([]float64, len(grid))
	held.folds = make([][]float64, len(grid))
	for g, alpha := range grid {
		held.losses[g], held.folds[g], cs[g] = make([]float64, len(column)), make([]float64, len(folds)), 1/alpha
	}
	for i, fold := range folds {
		if err := ctx.Err(); err != nil {
			return f, "", err
		}
		out := make([]bool, len(r.y))
		for _, i := range fold {
			out[i] = true
		}
		lines, err := r.solve(slices.DeleteFunc(upTo(len(r.y)), func(i int) bool { return out[i] }), grid)
		if err != nil {
			return f, "", err
		}
		for g, l := range lines {
			for _, at := range fold {
				loss := math.Pow(r.y[at]-floats.Dot(l.w, r.row(at))-l.b, 2)
				held.losses[g][column[r.groups[at]]] += loss
				held.folds[g][i] += loss / float64(len(fold))
			}
		}
	}
	f.Chosen, f.Path = true, held.path(cs)
	for g, p := range f.Path {
		if p.Weight > 0 {
			set(grid[g])
			f.HeldOut = p.Loss
		}
	}
	return f, "", nil
}

// alpha is α of the fit of a value.
func (f ClassFit) alpha() float64 { return float64(f.Lambda) }

// account returns the objective of a line and the norm of its gradient by w and
// b, relative to that of no line at all.
func (r *regression) account(l line, alpha float64) (objective, gradient float64) {
	delta := slices.Clone(l.w)
	if r.axis != nil {
		floats.AddScaled(delta, -l.scale, r.axis)
	}
	norm := func(l line, delta []float64) float64 {
		g, sum := make([]float64, len(l.w)), 0.0
		objective = 0
		for i, y := range r.y {
			residual := y - floats.Dot(l.w, r.row(i)) - l.b
			objective += residual * residual
			sum -= 2 * residual
			floats.AddScaled(g, -2*residual, r.row(i))
		}
		if math.IsInf(alpha, 1) { // Δ is held at 0
			return math.Hypot(floats.Dot(g, r.axis), sum)
		}
		objective += alpha * floats.Dot(delta, delta)
		floats.AddScaled(g, 2*alpha, delta)
		return math.Hypot(floats.Norm(g, 2), sum)
	}
	none := make([]float64, len(l.w))
	start := norm(line{w: none}, none)
	if gradient = norm(l, delta); start > 0 {
		gradient /= start
	}
	return objective, gradient
}

// valueFolds divides the rows by patient, ordered by a hash of seed and name, or
// returns nil for one patient. Up to ten patients are a fold each.
func valueFolds(groups []string, folds int, seed uint64) [][]int {
	names := slices.Compact(slices.Sorted(slices.Values(groups)))
	if len(names) < 2 {
		return nil
	}
	place := map[string]uint64{}
	for _, name := range names {
		sum := sha256.Sum256(fmt.Appendf(nil, "%d %s", seed, name))
		place[name] = binary.LittleEndian.Uint64(sum[:])
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(place[a], place[b]), cmp.Compare(a, b)) })
	count := min(folds, len(names))
	if len(names) <= fewGroups {
		count = len(names)
	}
	fold := map[string]int{}
	for k, name := range names {
		fold[name] = k % count
	}
	out := make([][]int, count)
	for i, name := range groups {
		out[fold[name]] = append(out[fold[name]], i)
	}
	return out
}

// GivesValues reports whether the head's outputs are values and not logits.
func (h *Head) GivesValues() bool { return slices.Contains(ValueKinds(), h.Kind) }

// Values returns the n×C values that a head of one of [ValueKinds] sees in the
// rows of x. Errors are those of [Head.Logits].
func (h *Head) Values(x blas32.General) (blas64.General, error) {
	if !h.GivesValues() {
		return blas64.General{}, fmt.Errorf("trainer: %s gives probabilities and no values", h.Kind)
	}
	return h.outputs(x)
}
