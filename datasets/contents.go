package datasets

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/medprobe/medprobe/internal/raster"
	"golang.org/x/image/draw"
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
	// Workers is how many images are read at a time; 0 means one per CPU.
	Workers int
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
	if o.Workers == 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	budget := raster.NewBudget(0)
	wrong, turned := make([]error, n), make([]bool, n)
	var mu sync.Mutex
	done := 0
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(o.Workers)
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
	img, err := content.Decode(ctx, 0)
	if err == nil {
		img, err = Crop(img, d.Samples[i].Source.Region)
	}
	if err != nil {
		return turned, err
	}
	c.Pixels[i] = PixelDigest(img)
	return turned, nil
}

// PixelDigest returns the SHA-256 of the size and the colours of an image, which
// are the same in every format without loss.
func PixelDigest(img image.Image) [sha256.Size]byte {
	b := img.Bounds()
	h := sha256.New()
	fmt.Fprintf(h, "%d %d\n", b.Dx(), b.Dy())
	row := make([]byte, 0, 8*b.Dx())
	for y := b.Min.Y; y < b.Max.Y; y++ {
		row = row[:0]
		for x := b.Min.X; x < b.Max.X; x++ {
			c := color.NRGBA64Model.Convert(img.At(x, y)).(color.NRGBA64)
			for _, v := range []uint16{c.R, c.G, c.B, c.A} {
				row = binary.LittleEndian.AppendUint16(row, v)
			}
		}
		h.Write(row)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// maxLooks bounds how many files are looked for.
const maxLooks = 20_000

// LookForFiles returns a problem if images are not where the dataset says. Of
// many it looks for some only, evenly spread.
func (d *Dataset) LookForFiles() []Problem {
	f, ok := d.files.(*folder)
	if !ok || len(d.Samples) == 0 {
		return nil
	}
	step := (len(d.Samples) + maxLooks - 1) / maxLooks
	looked, missing, first := 0, 0, ""
	for i := 0; i < len(d.Samples); i += step {
		path := d.Samples[i].Source.Path
		if isRemote(path) {
			continue
		}
		looked++
		local := filepath.FromSlash(path)
		if !filepath.IsAbs(local) {
			local = filepath.Join(f.dir, local)
		}
		if _, err := os.Lstat(local); err != nil {
			if missing++; missing == 1 {
				first = path
			}
		}
	}
	if missing == 0 {
		return nil
	}
	of := fmt.Sprintf("%d samples", looked)
	if step > 1 {
		of = fmt.Sprintf("%d samples looked for, of %d", looked, len(d.Samples))
	}
	return []Problem{{Where: f.dir, What: fmt.Sprintf("the images of %d of %s are not there, the first: %q; %s", missing, of, first, whereImagesLie(first))}}
}

// Image returns the decoded region of sample i.
func (d *Dataset) Image(ctx context.Context, i int) (image.Image, error) {
	content, err := d.Content(d.Samples[i].Source)
	if err != nil {
		return nil, err
	}
	img, err := content.Decode(ctx, 0)
	if err != nil {
		return nil, err
	}
	return Crop(img, d.Samples[i].Source.Region)
}

// Thumbnail returns a PNG of at most size×size pixels.
func Thumbnail(img image.Image, size int) ([]byte, error) {
	b := img.Bounds()
	longest := max(b.Dx(), b.Dy())
	w, h := max(1, b.Dx()*size/longest), max(1, b.Dy()*size/longest)
	small := image.NewNRGBA(image.Rect(0, 0, w, h))
	draw.ApproxBiLinear.Scale(small, small.Rect, img, b, draw.Src, nil)
	var out bytes.Buffer
	if err := png.Encode(&out, small); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
