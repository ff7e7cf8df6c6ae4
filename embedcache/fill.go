package embedcache

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"image"
	"runtime"
	"slices"
	"time"

	"github.com/medprobe/medprobe/datasets"
	"github.com/medprobe/medprobe/internal/raster"
	"golang.org/x/sync/errgroup"
)

// ImageEncoder turns pixels into vectors. Preprocess is called from several
// goroutines at once, EncodePixels from one.
type ImageEncoder interface {
	Fingerprint() string
	PreprocessFingerprint() string
	Dim() int
	Preprocess(image.Image) ([]float32, error)
	EncodePixels(context.Context, [][]float32) ([][]float32, error)
}

// SpaceOf returns the space that an encoder's vectors belong to.
func SpaceOf(enc ImageEncoder) Space {
	s := Space{Encoder: enc.Fingerprint(), Preprocess: enc.PreprocessFingerprint(), Dim: enc.Dim()}
	if several, ok := enc.(interface{ Tokens() int }); ok && several.Tokens() > 1 {
		s.Tokens = several.Tokens()
	}
	return s
}

// FillOptions says how to fill. The zero value is a good choice.
type FillOptions struct {
	// Workers read, decode and resize images; 0 means one per CPU.
	Workers int
	// Batch is how many images are encoded and stored at once; 0 means 16.
	Batch int
	// MaxFailures is how many samples may fail before the run stops; 0 means
	// none, -1 any number.
	MaxFailures int
	// MaxPixels bounds one image, and the images in flight together; 0 means
	// raster's default.
	MaxPixels int64
	// Rehash reads every file anew, also those that have not changed since their
	// content was last named.
	Rehash bool
	// Store is how the vectors are written; empty: as those of the space are, or
	// Float32.
	Store Store
	// Progress, if not nil, is told after each batch how many of the samples
	// are settled, from one goroutine.
	Progress func(done, total int)
}

// Filled accounts for every sample: embedded + cached + failed = samples.
type Filled struct {
	Samples  int
	Embedded int
	Cached   int
	// Failed is in the order of the samples.
	Failed []Failure
	// OnTheirSide are the samples embedded now of [datasets.Content.OnItsSide], in
	// their order.
	OnTheirSide []int
	// Keys has one entry per sample; the zero key where it failed.
	Keys []Key
}

// Fill makes sure that the cache holds the vector of every sample. Samples
// that are there already are not encoded again, and files that are not needed
// not decoded. A sample that cannot be read, decoded or encoded is a Failure;
// other errors, a cancelled context among them, end the run, and what was
// stored stays stored.
func (c *Cache) Fill(ctx context.Context, d *datasets.Dataset, enc ImageEncoder, o FillOptions) (*Filled, error) {
	f, err := c.newFill(ctx, d, enc, o)
	if err != nil {
		return nil, err
	}
	defer f.close()
	group, ctx := errgroup.WithContext(ctx)
	jobs := make(chan []int)
	items := make(chan item, f.o.Batch)
	group.Go(func() error {
		defer close(jobs)
		for job := range slices.Values(jobsOf(d)) {
			select {
			case jobs <- job:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	workers, workersCtx := errgroup.WithContext(ctx)
	for range f.o.Workers {
		workers.Go(func() error {
			for job := range jobs {
				if err := f.prepare(workersCtx, job, items); err != nil {
					return err
				}
			}
			return nil
		})
	}
	group.Go(func() error {
		defer close(items)
		return workers.Wait()
	})
	group.Go(func() error { return f.settle(ctx, items) })
	err = group.Wait()
	f.result.Failed = f.failures(len(f.failed))
	if _, stopped := errors.AsType[*TooManyFailuresError](err); stopped { // whatever other workers came to
		f.result.Failed = f.failures(f.before)
	}
	slices.Sort(f.result.OnTheirSide)
	return &f.result, cmp.Or(err, f.finish(context.WithoutCancel(ctx)))
}

// jobsOf groups the samples that share an image, so that it is read and
// decoded once however many regions of it are samples.
func jobsOf(d *datasets.Dataset) [][]int {
	byImage := map[datasets.Source][]int{}
	var order []datasets.Source
	for i := range d.Samples {
		whole := d.Samples[i].Source
		whole.Region = image.Rectangle{}
		if byImage[whole] == nil {
			order = append(order, whole)
		}
		byImage[whole] = append(byImage[whole], i)
	}
	jobs := make([][]int, len(order))
	for i, whole := range order {
		jobs[i] = byImage[whole]
	}
	return jobs
}

// fill is one run of Fill.
type fill struct {
	cache  *Cache
	data   *datasets.Dataset
	enc    ImageEncoder
	o      FillOptions
	shelf  shelf
	query  *sql.Stmt // of a vector
	known  *sql.Stmt // of a file's content
	start  time.Time
	budget *raster.Budget
	result Filled
	failed []error // per sample
	seen   []bool  // per sample: a worker is through with it
	// Of the samples before the first that is not yet seen, so many failed. These
	// alone end a run, so that its error is the same whichever worker was first.
	before, early int
	files         []seen // not yet written
}

func (c *Cache) newFill(ctx context.Context, d *datasets.Dataset, enc ImageEncoder, o FillOptions) (*fill, error) {
	o.Workers = cmp.Or(o.Workers, runtime.GOMAXPROCS(0))
	o.Batch = cmp.Or(o.Batch, 16)
	if o.Workers < 0 || o.Batch < 0 || o.MaxPixels < 0 || o.MaxFailures < -1 {
		return nil, fmt.Errorf("embedcache: fill: workers %d, batch %d, max pixels %d, max failures %d: want none below 0", o.Workers, o.Batch, o.MaxPixels, o.MaxFailures)
	}
	f := &fill{cache: c, data: d, enc: enc, o: o, start: time.Now(), budget: raster.NewBudget(o.MaxPixels)}
	f.failed, f.seen = make([]error, len(d.Samples)), make([]bool, len(d.Samples))
	f.result = Filled{Samples: len(d.Samples), Keys: make([]Key, len(d.Samples))}
	var err error
	if f.shelf, err = c.open(ctx, SpaceOf(enc), o.Store); err != nil {
		return nil, err
	}
	if f.query, err = c.db.PrepareContext(ctx, selectVector); err != nil {
		return nil, c.explain(err)
	}
	if f.known, err = c.db.PrepareContext(ctx, selectFile); err != nil {
		return nil, errors.Join(c.explain(err), f.query.Close())
	}
	return f, nil
}

func (f *fill) close() {
	f.query.Close()
	f.known.Close()
}

// finish writes what is not yet written, and what the run found.
func (f *fill) finish(ctx context.Context) error {
	return f.cache.note(ctx, f.shelf, f.start, f.result, f.files)
}

// hitBatch is after how many samples found in the cache progress is told.
const hitBatch = 256

// settle takes the items in whatever order they come, encodes and stores the
// missing ones batch by batch, and keeps the account.
func (f *fill) settle(ctx context.Context, items <-chan item) error {
	first := map[Key]int{} // the sample that brought each image to the encoder
	var batch, twins []item
	done := 0
	for it := range items {
		if it.file != nil {
			f.files = append(f.files, *it.file)
		}
		f.seen[it.index] = true
		_, twin := first[it.key]
		switch {
		case it.err != nil:
			done++
			if err := f.fail(it.index, it.err); err != nil {
				return err
			}
		case it.pixels == nil && it.vector == nil:
			done++
			f.hit(it)
			if done%hitBatch == 0 {
				f.progress(done)
			}
		case twin:
			twins = append(twins, item{index: it.index, key: it.key})
		default:
			first[it.key] = it.index
			batch = append(batch, it)
		}
		if err := f.judge(); err != nil {
			return err
		}
		if len(batch) == f.o.Batch {
			if err := f.encode(ctx, batch); err != nil {
				return err
			}
			done += len(batch)
			batch = nil
			f.progress(done)
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := f.encode(ctx, batch); err != nil {
		return err
	}
	if err := f.settleTwins(twins, first); err != nil {
		return err
	}
	f.progress(f.result.Samples)
	return nil
}

// settleTwins settles the samples of images that others brought to the encoder first.
func (f *fill) settleTwins(twins []item, first map[Key]int) error {
	for _, it := range twins {
		if err := f.failed[first[it.key]]; err == nil {
			f.hit(it)
		} else if err := f.fail(it.index, err); err != nil {
			return err
		}
	}
	return nil
}

func (f *fill) hit(it item) {
	f.result.Cached++
	f.result.Keys[it.index] = it.key
}

func (f *fill) progress(done int) {
	if f.o.Progress != nil {
		f.o.Progress(done, f.result.Samples)
	}
}

// encode encodes and stores one batch. Where the encoder refuses the batch,
// its images are tried one by one, so that one bad image costs only itself.
func (f *fill) encode(ctx context.Context, batch []item) error {
	if len(batch) == 0 {
		return nil
	}
	var pixels [][]float32
	vectors := make([][]float32, len(batch))
	for i := range batch {
		if vectors[i] = batch[i].vector; vectors[i] == nil {
			pixels = append(pixels, batch[i].pixels)
		}
	}
	var err error
	if len(pixels) > 0 { // of a dataset, all vectors are ready or none
		vectors, err = f.enc.EncodePixels(ctx, pixels)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		if len(batch) == 1 {
			return f.fail(batch[0].index, at(StepEncode, err))
		}
		for i := range batch {
			if err := f.encode(ctx, batch[i:i+1]); err != nil {
				return err
			}
		}
		return nil
	}
	rows := make([]stored, len(batch))
	for i := range batch {
		rows[i] = stored{key: batch[i].key, values: vectors[i]}
	}
	if err := f.cache.write(ctx, f.shelf, rows, f.files); err != nil {
		return err
	}
	f.files = nil
	for _, it := range batch {
		f.result.Embedded++
		f.result.Keys[it.index] = it.key
		if it.turned {
			f.result.OnTheirSide = append(f.result.OnTheirSide, it.index)
		}
	}
	return nil
}

func (f *fill) fail(index int, err error) error {
	f.failed[index] = err
	if index < f.before {
		f.early++
	}
	return f.judge()
}

// judge ends the run when more samples failed than may.
func (f *fill) judge() error {
	limit := f.o.MaxFailures
	for ; f.before < len(f.seen) && f.seen[f.before] && (limit < 0 || f.early <= limit); f.before++ {
		if f.failed[f.before] != nil {
			f.early++
		}
	}
	if limit < 0 || f.early <= limit {
		return nil
	}
	return &TooManyFailuresError{Failed: f.early, Limit: limit, First: f.failures(f.before)[0]}
}

// failures lists those of the first n samples.
func (f *fill) failures(n int) []Failure {
	failures := []Failure{}
	for i, err := range f.failed[:n] {
		if err != nil {
			failure := Failure{ID: f.data.Samples[i].ID, Reason: err.Error()}
			if at, ok := errors.AsType[stepError](err); ok {
				failure.Step = at.step
			}
			failures = append(failures, failure)
		}
	}
	return failures
}
