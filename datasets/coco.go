package datasets

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// maxJSONEntries bounds the lists of an annotation file.
const maxJSONEntries = 20_000_000

type cocoImage struct {
	ID     int64  `json:"id"`
	File   string `json:"file_name"`
	Width  int    `json:"width"`
	Height int    `json:"height"`
}

type cocoBox struct {
	ID       int64     `json:"id"`
	Image    int64     `json:"image_id"`
	Category int64     `json:"category_id"`
	Box      []float64 `json:"bbox"`
	Crowd    int       `json:"iscrowd"`
}

type cocoCategory struct {
	ID   int64  `json:"id"`
	Name string `json:"name"`
}

// coco is an annotation file without what is not needed of it.
type coco struct {
	images     map[int64]cocoImage
	boxes      []cocoBox
	categories map[int64]string
}

// readCOCO reads an annotation file of COCO's form. Each box [x, y, width,
// height] is a sample of its category; its image is its patient. The images lie
// in spec.Root, or beside the file, or in a folder images there or one level
// above.
func readCOCO(ctx context.Context, d *Dataset, s Spec) error {
	c, err := openCOCO(ctx, s.Path)
	if err != nil {
		return fmt.Errorf("datasets: coco %s: %w", s.Path, err)
	}
	f, err := openFiles(s, cmp.Or(s.Root, c.imageRoot(filepath.Dir(s.Path))))
	if err != nil {
		return err
	}
	d.files = f
	pattern, err := s.patientPattern()
	if err != nil {
		return fmt.Errorf("datasets: coco: %w", err)
	}
	boxed := map[int64]bool{}
	var names []string
	for _, b := range c.boxes {
		boxed[b.Image] = true
		sample, err := d.cocoSample(c, b, f, pattern)
		if err != nil {
			d.exclude(strconv.FormatInt(b.ID, 10), "%v", err)
			continue
		}
		d.Samples, names = append(d.Samples, sample), append(names, c.categories[b.Category])
	}
	if n := len(c.images) - len(boxed); n > 0 {
		d.problem(s.Path, "%d of %d images have no box and give no sample", n, len(c.images))
	}
	if len(names) == 0 {
		return fmt.Errorf("datasets: coco %s: no box can be used%s", s.Path, firstReason(d.Excluded))
	}
	d.Unit = "photograph"
	return d.labelByClass(names, s)
}

func (d *Dataset) cocoSample(c *coco, b cocoBox, f *folder, of pattern) (Sample, error) {
	image, known := c.images[b.Image]
	switch {
	case !known:
		return Sample{}, fmt.Errorf("image_id %d is no image of the file", b.Image)
	case c.categories[b.Category] == "":
		return Sample{}, fmt.Errorf("category_id %d is no category of the file", b.Category)
	case b.Crowd != 0:
		return Sample{}, errors.New("a crowd, not one thing")
	case len(b.Box) != 4:
		return Sample{}, fmt.Errorf("bbox of %d numbers: want x, y, width, height", len(b.Box))
	case b.Box[0] < 0 || b.Box[1] < 0:
		return Sample{}, fmt.Errorf("bbox %v: want no negative pixel", b.Box)
	}
	where, err := f.find(image.File)
	if err != nil {
		return Sample{}, err
	}
	patient, err := of.of("", where)
	if err != nil {
		return Sample{}, err
	}
	s := Sample{ID: fmt.Sprintf("%s#%d", where, b.ID), Patient: cmp.Or(patient, where), Source: Source{Path: where}}
	if s.Source.Region, err = pixelBox(b.Box[0], b.Box[1], b.Box[0]+b.Box[2], b.Box[1]+b.Box[3]); err != nil {
		return Sample{}, err
	}
	s.Source.Region, err = d.cutToImage(s.ID, s.Source.Region, image.Width, image.Height)
	return s, err
}

// imageRoot returns the first of the usual folders that holds one of the first
// images of the file.
func (c *coco) imageRoot(dir string) string {
	ids := slices.Sorted(maps.Keys(c.images))
	for _, root := range []string{dir, filepath.Join(dir, "images"), filepath.Dir(dir), filepath.Join(filepath.Dir(dir), "images")} {
		for _, id := range ids[:min(100, len(ids))] {
			if name := filepath.FromSlash(c.images[id].File); filepath.IsLocal(name) {
				if _, err := os.Lstat(filepath.Join(root, name)); err == nil {
					return root
				}
			}
		}
	}
	return dir
}

func openCOCO(ctx context.Context, name string) (*coco, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, cause(err)
	}
	defer f.Close()
	c := &coco{images: map[int64]cocoImage{}, categories: map[int64]string{}}
	err = c.read(ctx, json.NewDecoder(bufio.NewReaderSize(skipBOM(f), 1<<16)))
	switch {
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return nil, errors.New("the file ends early")
	case err != nil:
		return nil, err
	case len(c.images) == 0 || len(c.boxes) == 0 || len(c.categories) == 0:
		return nil, fmt.Errorf("%d images, %d annotations, %d categories: want the lists images, annotations and categories", len(c.images), len(c.boxes), len(c.categories))
	}
	return c, nil
}

// read goes through the lists without holding what is not needed.
func (c *coco) read(ctx context.Context, in *json.Decoder) error {
	if token, err := in.Token(); err != nil || token != json.Delim('{') {
		return errors.New("want a JSON object with the lists images, annotations and categories")
	}
	for in.More() {
		key, err := in.Token()
		if err != nil {
			return err
		}
		switch key {
		case "images":
			err = list(ctx, in, "images", func(v cocoImage) error {
				if _, twice := c.images[v.ID]; twice {
					return fmt.Errorf("the id %d stands twice", v.ID)
				}
				c.images[v.ID] = v
				return nil
			})
		case "annotations":
			err = list(ctx, in, "annotations", func(v cocoBox) error {
				c.boxes = append(c.boxes, v)
				return nil
			})
		case "categories":
			err = list(ctx, in, "categories", func(v cocoCategory) error {
				c.categories[v.ID] = v.Name
				return nil
			})
		default:
			var skipped json.RawMessage
			err = in.Decode(&skipped)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// list reads a list entry by entry.
func list[T any](ctx context.Context, in *json.Decoder, name string, each func(T) error) error {
	if token, err := in.Token(); err != nil || token != json.Delim('[') {
		return fmt.Errorf("%s: want a list", name)
	}
	for n := 0; in.More(); n++ {
		var v T
		err := in.Decode(&v)
		if err == nil {
			err = each(v)
		}
		switch {
		case err != nil:
			return fmt.Errorf("%s[%d]: %w", name, n, err)
		case n >= maxJSONEntries:
			return fmt.Errorf("%s: more than %d entries", name, maxJSONEntries)
		case n%1024 == 0 && ctx.Err() != nil:
			return ctx.Err()
		}
	}
	_, err := in.Token()
	return err
}
