package datasets

import (
	"context"
	"crypto/sha256"
	"runtime"
	"sync"

	"github.com/medprobe/medprobe/internal/raster"
	"golang.org/x/sync/errgroup"
)

// Contents names what the samples show, with one entry per sample; the zero
// digest where that is not known.
type Contents struct {
	// Bytes are the digests of [Content.Digest].
	Bytes [][sha256.Size]byte
	// Pixels are digests of the decoded pixels of the sample's region: files that
	// were written anew, or in another format without loss, have the same ones.
	Pixels [][sha256.Size]byte
	// OnTheirSide are the samples of [Content.OnItsSide].
	OnTheirSide []int
}

// ContentOptions says how to read contents.
type ContentOptions struct {
	// Pixels decodes every image too.
	Pixels bool
	// Progress, if not nil, is told from one goroutine at a time how many samples
	// are done.
	Progress func(done, total int)
}

// ReadContents reads the content of every sample and names it. An image that
// cannot be read or decoded is a problem, and has no digest.
func ReadContents(ctx context.Context, d *Dataset, o ContentOptions) (Contents, []Problem, error) {
	n := len(d.Samples)
	c := Contents{Bytes: make([][sha256.Size]byte, n)}
	if o.Pixels {
		c.Pixels = make([][sha256.Size]byte, n)
	}
	budget := raster.NewBudget(0)
	wrong, turned := make([]error, n), make([]bool, n)
	var mu sync.Mutex
	done := 0
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i := range d.Samples {
		group.Go(func() error {
			turned[i], wrong[i] = c.read(ctx, d, i, budget)
			mu.Lock()
			defer mu.Unlock()
			if done++; o.Progress != nil {
				o.Progress(done, n)
			}
			return ctx.Err()
		})
	}
	if err := group.Wait(); err != nil {
		return Contents{}, nil, err
	}
	var problems []Problem
	for i, err := range wrong {
		if turned[i] {
			c.OnTheirSide = append(c.OnTheirSide, i)
		}
		if err != nil {
			problems = append(problems, Problem{Where: d.Samples[i].ID, What: err.Error()})
		}
	}
	return c, problems, nil
}

// read names what sample i shows, and says whether it is to be turned.
func (c *Contents) read(ctx context.Context, d *Dataset, i int, budget *raster.Budget) (turned bool, err error) {
	content, err := d.Content(d.Samples[i].Source)
	if err != nil {
		return false, err
	}
	c.Bytes[i], turned = content.Digest(), content.OnItsSide()
	if c.Pixels == nil || content.Vector() != nil {
		return turned, nil
	}
	pixels, err := content.Pixels()
	if err != nil {
		return turned, err
	}
	if err := budget.Acquire(ctx, pixels); err != nil {
		return turned, err
	}
	defer budget.Release(pixels)
	img, err := content.image(ctx, d.Samples[i].Source.Region)
	if err != nil {
		return turned, err
	}
	c.Pixels[i] = PixelDigest(img)
	return turned, nil
}
