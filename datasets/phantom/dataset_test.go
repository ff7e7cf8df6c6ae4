package phantom_test

import (
	"context"
	"encoding/csv"
	"errors"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/medprobe/medprobe/datasets/phantom"
	"github.com/medprobe/medprobe/internal/needs"
)

func write(t *testing.T, o phantom.Options) (dir string, rows [][]string) {
	t.Helper()
	dir = t.TempDir()
	if err := phantom.WriteDataset(context.Background(), dir, o); err != nil {
		t.Fatal(err)
	}
	return dir, table(t, dir)
}

func table(t *testing.T, dir string) [][]string {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, "labels.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func TestDatasetCountsAndColumns(t *testing.T) {
	t.Parallel()
	dir, rows := write(t, phantom.Options{Seed: 3, Train: 8, Test: 20})
	want := []string{"path", "patient", "split", "cardiomegaly", "effusion", "opacity", "nodule", "pneumothorax", "device"}
	for i, name := range want {
		if rows[0][i] != name {
			t.Fatalf("header %q, want %q", rows[0], want)
		}
	}
	images, splits, unread := map[string]int{}, map[string]string{}, 0
	for _, row := range rows[1:] {
		patient, split := row[1], row[2]
		images[patient]++
		if s, ok := splits[patient]; ok && s != split {
			t.Errorf("patient %s is in splits %s and %s", patient, s, split)
		}
		splits[patient] = split
		for i, v := range row[3:] {
			switch v {
			case "0", "1":
			case "":
				unread++
			default:
				t.Errorf("%s: %s = %q", row[0], want[3+i], v)
			}
		}
		f, err := os.Open(filepath.Join(dir, row[0]))
		if err != nil {
			t.Fatal(err)
		}
		img, err := png.Decode(f)
		f.Close()
		if _, grey := img.(*image.Gray); err != nil || !grey || img.Bounds().Dx() != phantom.Size {
			t.Errorf("%s: %v: want a grey PNG of %d pixels", row[0], err, phantom.Size)
		}
	}
	count := map[string]int{}
	for patient, n := range images {
		count[splits[patient]]++
		if n < 2 || n > 4 {
			t.Errorf("patient %s has %d images, want 2 to 4", patient, n)
		}
	}
	if count["train"] != 8 || count["test"] != 20 || len(images) != 28 {
		t.Errorf("patients per split: %v, want 8 train and 20 test", count)
	}
	if share := float64(unread) / float64(6*(len(rows)-1)); share == 0 || share > 0.12 {
		t.Errorf("%.3f of the labels are empty, want a few", share)
	}
}

func TestDatasetIsTheSameTwice(t *testing.T) {
	t.Parallel()
	o := phantom.Options{Seed: 4, Train: 2, Test: 3}
	a, rows := write(t, o)
	b, _ := write(t, o)
	names := []string{"labels.csv"}
	for _, row := range rows[1:] {
		names = append(names, row[0])
	}
	for _, name := range names {
		x, err := os.ReadFile(filepath.Join(a, name))
		if err != nil {
			t.Fatal(err)
		}
		y, err := os.ReadFile(filepath.Join(b, name))
		if err != nil || string(x) != string(y) {
			t.Errorf("%s differs between two runs (%v)", name, err)
		}
	}
}

func TestPatientsOfASeedAreNotThoseOfTheEncoder(t *testing.T) {
	t.Parallel()
	needs.Time(t)
	err := phantom.WriteDataset(context.Background(), t.TempDir(), phantom.Options{Seed: phantom.EncoderSeed})
	if err == nil {
		t.Error("the encoder's seed was taken for an evaluation set")
	}
	// Anatomies differ: no picture of one seed is found among those of another.
	seen := map[string]bool{}
	for i := range uint64(40) {
		seen[string(phantom.Draw(phantom.Chest, phantom.EncoderSeed, i).Image.Pix)] = true
	}
	for i := range uint64(40) {
		if seen[string(phantom.Draw(phantom.Chest, 2, i).Image.Pix)] {
			t.Errorf("patient %d of seed 2 was in training", i)
		}
	}
}

func TestInterruptedDatasetHasNoTable(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	dir := t.TempDir()
	if err := phantom.WriteDataset(ctx, dir, phantom.Options{Seed: 5}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
	if _, err := os.Stat(filepath.Join(dir, "labels.csv")); err == nil {
		t.Error("labels.csv exists")
	}
}
