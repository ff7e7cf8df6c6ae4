package trainer

import (
	"fmt"
	"math"
	"slices"
)

// footprint is how much memory a fit takes beside the vectors themselves: as multiples
// of the n×D float32 matrix; of an n×n, of a D×D matrix of float64, and of one as wide
// as the span of the vectors, the lesser of both; and as float64 values for each row and
// class. They are rough, and rather too much than too little. TestFootprints holds all
// of them to what fits take, and TestMemoryOfFits logistic at 10,000 × 1152.
type footprint struct{ matrices, rows, dims, span, columns float64 }

const (
	// sweepColumns is how many float64 values a sweep of C takes for each row and
	// class, of tasksTogether classes at most.
	sweepColumns = 200
	// unswept is what lies about between two collections, however small the fit.
	unswept = 4e6
)

// networkCopies is how many float64 values a fit of mlp takes for each parameter of
// its network: the weights and their gradient, each in float32 and in float64, the
// optimiser's state, and what the step before leaves lying about.
const networkCopies = 9

// Peak estimates how many bytes a fit of rows × cols vectors for so many classes or
// values takes at most, the vectors among them.
func Peak(rows, cols, classes int, o Options) int64 {
	n, d := float64(rows), float64(cols)
	kind := o.Head
	if kind == "" {
		kind = LinearProbe
	}
	k, network := kindOf(kind), 0.0
	of := k.footprint
	if k.has(takesGrid) && o.C == 0 { // a sweep, with columns for each class
		of.matrices += 1 + 0.12*float64(classes-1)
		of.columns = sweepColumns
	}
	if kind == MLP || slices.Contains(o.Members, MLP) {
		network = 8 * networkCopies * float64(cols*hiddenUnits[0]+hiddenUnits[0]*hiddenUnits[1]+hiddenUnits[1]*classes)
	}
	for _, member := range o.Members {
		other := kindOf(member).footprint
		of.matrices, of.rows = max(of.matrices, other.matrices+2), max(of.rows, other.rows)
		of.dims, of.span = max(of.dims, other.dims), max(of.span, other.span)
	}
	tasks, span := float64(min(classes, tasksTogether)), min(n, d)
	likeness := 8 * n * n * of.rows * (1 + tasks) / 2 // those of one class lie about while the next are made
	bytes := unswept + 4*n*d*(1+of.matrices) + likeness + 8*d*d*of.dims + 8*span*span*of.span + 8*n*of.columns*tasks + network
	return int64(min(bytes, math.MaxInt64/2))
}

// MemoryError says that a fit would take more memory than there is.
type MemoryError struct {
	Head              string
	Rows, Cols        int
	Wanted, Available int64
}

func (e *MemoryError) Error() string {
	return fmt.Sprintf("%s on %d vectors of %d dimensions takes about %s of memory, and %s are available: take fewer rows, another head such as %s, or a machine with more",
		e.Head, e.Rows, e.Cols, inBytes(e.Wanted), inBytes(e.Available), Prototype)
}

// fits returns a *[MemoryError] if a fit would take more than o.Memory.
func (o *Options) fits(rows, cols, classes int) error {
	if o.Memory == 0 {
		return nil
	}
	if wanted := Peak(rows, cols, classes, *o); wanted > o.Memory {
		return &MemoryError{Head: o.Head, Rows: rows, Cols: cols, Wanted: wanted, Available: o.Memory}
	}
	return nil
}

// inBytes writes a number of bytes with a unit.
func inBytes(n int64) string {
	units := []string{"bytes", "KB", "MB", "GB", "TB"}
	v, k := float64(n), 0
	for v >= 1000 && k < len(units)-1 {
		v, k = v/1000, k+1
	}
	return fmt.Sprintf("%.3g %s", v, units[k])
}
