package phantom

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/medprobe/medprobe/internal/atomicfile"
)

// Options says which radiographs [WriteDataset] draws.
type Options struct {
	Seed  uint64 // any but EncoderSeed
	Train int    // patients of split "train"; 0 means 64
	Test  int    // patients of split "test"; 0 means 150
}

// unread is the chance that a finding of an image has no label, as when the
// report does not say.
const unread = 0.04

// WriteDataset draws the chest radiographs of a demo: two to four of every
// patient as grey PNG files under dir/images, and dir/labels.csv with the
// columns path (relative to dir), patient, split and one of 1, 0 or nothing
// per finding of [Findings]. No patient is in both splits, or among those that
// the demo encoder was trained on. The same options write the same bytes.
// The table is written last: where it exists, so do all its images.
func WriteDataset(ctx context.Context, dir string, o Options) error {
	if o.Train == 0 {
		o.Train = 64
	}
	if o.Test == 0 {
		o.Test = 150
	}
	switch {
	case o.Train < 0 || o.Test < 0:
		return fmt.Errorf("phantom: options: %d train and %d test patients: want 0 for the default, or more", o.Train, o.Test)
	case o.Seed == EncoderSeed:
		return fmt.Errorf("phantom: options: seed %d drew the patients that the demo encoder was trained on; use another", o.Seed)
	}
	if err := os.MkdirAll(filepath.Join(dir, "images"), 0o777); err != nil {
		return fmt.Errorf("phantom: %w", err)
	}
	rows := make([][][]string, o.Train+o.Test) // patient, image, column
	err := each(ctx, len(rows), func(n int) (err error) {
		split := "train"
		if n >= o.Train {
			split = "test"
		}
		rows[n], err = writePatient(dir, split, o.Seed, n)
		return err
	})
	if err != nil {
		return fmt.Errorf("phantom: %w", err)
	}
	return writeTable(filepath.Join(dir, "labels.csv"), rows)
}

// writePatient draws the radiographs of patient n and returns their rows.
func writePatient(dir, split string, seed uint64, n int) ([][]string, error) {
	d := newDice(seed, uint64(n), "dataset")
	patient := NewPatient(seed, uint64(n))
	id := fmt.Sprintf("P%04d", n+1)
	var rows [][]string
	for i := range 2 + d.IntN(3) {
		p := patient.Radiograph(i)
		path := fmt.Sprintf("images/%s-%d.png", id, i+1)
		var data bytes.Buffer
		if err := png.Encode(&data, grey(p.Image)); err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.FromSlash(path)), data.Bytes(), 0o666); err != nil {
			return nil, err
		}
		row := []string{path, id, split}
		for _, f := range Findings() {
			switch {
			case d.chance(unread):
				row = append(row, "")
			case p.Findings[f]:
				row = append(row, "1")
			default:
				row = append(row, "0")
			}
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func writeTable(path string, patients [][][]string) error {
	var data bytes.Buffer
	w := csv.NewWriter(&data)
	header := []string{"path", "patient", "split"}
	for _, f := range Findings() {
		header = append(header, string(f))
	}
	err := w.Write(header)
	for _, rows := range patients {
		err = errors.Join(err, w.WriteAll(rows))
	}
	if err == nil {
		err = atomicfile.WriteBytes(path, data.Bytes())
	}
	if err != nil {
		return fmt.Errorf("phantom: %s: %w", path, err)
	}
	return nil
}

// grey takes the red channel of a picture whose channels are equal.
func grey(img *image.RGBA) *image.Gray {
	out := image.NewGray(img.Bounds())
	for i := range out.Pix {
		out.Pix[i] = img.Pix[4*i]
	}
	return out
}

// each calls f for 0…n−1 on every core and returns the first error.
func each(ctx context.Context, n int, f func(i int) error) error {
	workers := min(n, runtime.GOMAXPROCS(0))
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wait sync.WaitGroup
	for w := range workers {
		wait.Go(func() {
			for i := w; i < n && ctx.Err() == nil; i += workers {
				if err := f(i); err != nil {
					cancel(err)
				}
			}
		})
	}
	wait.Wait()
	return context.Cause(ctx)
}
