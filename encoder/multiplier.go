package encoder

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"

	"github.com/medprobe/medprobe/internal/onnxgraph"
	ort "github.com/yalue/onnxruntime_go"
	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"
	"gonum.org/v1/gonum/blas/blas64"
)

// Multiplier multiplies matrices by ONNX Runtime, five to ten times as fast as
// pure Go. Its methods are safe for concurrent use.
type Multiplier struct {
	running sync.RWMutex // held for reading by each product
	// sessions are those of a·b and a·bᵀ in float32, and of a·bᵀ in float64; nil
	// once closed. few are the first two on the caller's thread alone.
	sessions, few []*ort.DynamicAdvancedSession
}

// fewProducts is up to how many multiplications a product takes no longer on one
// thread than on several: waking them takes as long, and on a busy machine the
// product waits for the last.
const fewProducts = 1 << 22

// NewMultiplier returns a multiplier that uses all processors. The library must
// be loaded ([FindRuntime]).
func NewMultiplier() (*Multiplier, error) {
	m := &Multiplier{}
	single, transposed := product(onnxgraph.Float, 0), product(onnxgraph.Float, 1)
	var wide, few error
	m.sessions, wide = productSessions(runtime.GOMAXPROCS(0), single, transposed, product(onnxgraph.Double, 1))
	m.few, few = productSessions(1, single, transposed)
	if wide != nil || few != nil {
		return nil, fmt.Errorf("encoder: multiplier: %w", errors.Join(wide, few, m.Close()))
	}
	return m, nil
}

// productSessions opens a session of each model on so many threads. On an error
// it returns those that are open.
func productSessions(threads int, models ...[]byte) (sessions []*ort.DynamicAdvancedSession, err error) {
	options, err := ort.NewSessionOptions()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, options.Destroy()) }()
	err = errors.Join(
		options.SetIntraOpNumThreads(threads),
		options.SetInterOpNumThreads(1),
		options.AddSessionConfigEntry("session.intra_op.allow_spinning", "0"),
	)
	if err != nil {
		return nil, err
	}
	for _, model := range models {
		s, err := ort.NewDynamicAdvancedSessionWithONNXData(model, []string{"a", "b"}, []string{"c"}, options)
		if err != nil {
			return sessions, err
		}
		sessions = append(sessions, s)
	}
	return sessions, nil
}

// product is a model of one node: c = a·b, or a·bᵀ.
func product(kind int32, transposed int64) []byte {
	dim := func(name string) onnxgraph.Dim { return onnxgraph.Dim{Name: name} }
	g := onnxgraph.New("product")
	a := g.Input("a", kind, dim("m"), dim("k"))
	b := g.Input("b", kind, dim("b_rows"), dim("b_columns"))
	g.Output("c", g.Op("Gemm", []string{a, b}, onnxgraph.Attr{Name: "transB", Value: transposed}), kind, dim("m"), dim("n"))
	return g.Model()
}

// Multiply sets c, m×n, to a·b, or to a·bᵀ if t is [blas.Trans]. a is m×k, and
// every row follows the one before it without a gap.
func (m *Multiplier) Multiply(t blas.Transpose, a, b, c blas32.General) error {
	session, inner, columns := 0, b.Rows, b.Cols
	if t == blas.Trans {
		session, inner, columns = 1, columns, inner
	}
	if a.Cols != inner || c.Rows != a.Rows || c.Cols != columns {
		return fmt.Errorf("encoder: multiply: %d×%d by %d×%d (transposed: %v) into %d×%d: the shapes do not fit", a.Rows, a.Cols, b.Rows, b.Cols, t == blas.Trans, c.Rows, c.Cols)
	}
	sessions := &m.sessions
	if a.Rows*inner*columns <= fewProducts {
		sessions = &m.few
	}
	return multiply(m, sessions, session, dense[float32](a), dense[float32](b), dense[float32](c))
}

// MultiplyExact sets c, m×n, to a·bᵀ in float64. a is m×k, and every row follows
// the one before it without a gap.
func (m *Multiplier) MultiplyExact(a, b, c blas64.General) error {
	if a.Cols != b.Cols || c.Rows != a.Rows || c.Cols != b.Rows {
		return fmt.Errorf("encoder: multiply: %d×%d by %d×%d (transposed: true) into %d×%d: the shapes do not fit", a.Rows, a.Cols, b.Rows, b.Cols, c.Rows, c.Cols)
	}
	as := func(x blas64.General) dense[float64] { return dense[float64]{x.Rows, x.Cols, x.Stride, x.Data} }
	return multiply(m, &m.sessions, 2, as(a), as(b), as(c))
}

// dense is a [blas32.General] of any precision.
type dense[T float32 | float64] struct {
	Rows, Cols int
	Stride     int
	Data       []T
}

// multiply lets one of the sessions of m multiply.
func multiply[T float32 | float64](m *Multiplier, sessions *[]*ort.DynamicAdvancedSession, session int, a, b, c dense[T]) (err error) {
	values := make([]ort.Value, 0, 3)
	defer func() {
		for _, v := range values {
			err = errors.Join(err, v.Destroy())
		}
	}()
	for _, x := range []dense[T]{a, b, c} {
		if x.Stride != x.Cols || len(x.Data) < x.Rows*x.Cols {
			return fmt.Errorf("encoder: multiply: a matrix of %d×%d with stride %d and %d values: want rows without gaps", x.Rows, x.Cols, x.Stride, len(x.Data))
		}
		v, err := ort.NewTensor(ort.NewShape(int64(x.Rows), int64(x.Cols)), x.Data[:x.Rows*x.Cols])
		if err != nil {
			return fmt.Errorf("encoder: multiply: %w", err)
		}
		values = append(values, v)
	}
	m.running.RLock()
	defer m.running.RUnlock()
	if *sessions == nil {
		return os.ErrClosed
	}
	if err := (*sessions)[session].Run(values[:2], values[2:]); err != nil {
		return fmt.Errorf("encoder: multiply: %w", err)
	}
	return nil
}

// Close waits for the products under way. Later ones say [os.ErrClosed].
func (m *Multiplier) Close() error {
	m.running.Lock()
	defer m.running.Unlock()
	var errs []error
	for _, s := range slices.Concat(m.sessions, m.few) {
		errs = append(errs, s.Destroy())
	}
	m.sessions, m.few = nil, nil
	return errors.Join(errs...)
}
