package datasets

import (
	"bytes"
	"io"
	"path/filepath"
	"slices"
	"testing"

	"github.com/medprobe/medprobe/internal/npy"
)

func upToN(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

func npz(t *testing.T, path string, arrays map[string]func(io.Writer) error) {
	t.Helper()
	var b bytes.Buffer
	if err := npy.WriteArchive(&b, arrays); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Dir(path), filepath.Base(path), b.String())
}

func TestMedMNISTVolumes(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "nodulemnist3d.npz")
	voxels := make([]uint8, 3*4*5*6)
	for i := range voxels {
		voxels[i] = uint8(i)
	}
	npz(t, path, map[string]func(io.Writer) error{
		"train_images": func(w io.Writer) error { return npy.Write(w, []int{3, 4, 5, 6}, voxels) },
		"train_labels": func(w io.Writer) error { return npy.Write(w, []int{3, 1}, []uint8{0, 1, 1}) },
	})
	d := open(t, Spec{Format: "medmnist", Path: path})
	if in := Inspect(d); in.Samples != 12 || *in.Patients != 3 || in.Unit != "volume" || in.Labels["malignant"].Positive != 8 {
		t.Fatalf("%+v", in)
	}
	content, err := d.Content(d.Samples[6].Source) // the third slice of the second volume
	if err != nil || d.Samples[6].ID != "train/000001/003" || content.data[0] != 120+60 {
		t.Errorf("%s, %v, %v", d.Samples[6].ID, content, err)
	}
	decodes(t, d)
	middle := open(t, Spec{Format: "medmnist", Path: path, Frame: "middle"})
	if len(middle.Samples) != 3 || middle.Samples[0].Source.Frame != 2 {
		t.Errorf("%+v", middle.Samples)
	}
}

func TestReadyVectors(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x.npz")
	npz(t, path, map[string]func(io.Writer) error{
		"embeddings": func(w io.Writer) error { return npy.Write(w, []int{4, 2}, []float32{1, 0, 0, 1, 3, 4, 0, 0}) },
		"labels":     func(w io.Writer) error { return npy.Write(w, []int{4}, []int64{0, 1, 1, 0}) },
		"patients":   func(w io.Writer) error { return npy.Write(w, []int{4}, []int64{7, 7, 8, 8}) },
	})
	d := open(t, Spec{Format: "npz", Path: path})
	if len(d.Samples) != 3 || len(d.Excluded) != 1 || d.Samples[2].Patient != "8" || labelsOf(t, d, "row 000000002") != "+" {
		t.Fatalf("%+v, excluded %v", d.Samples, d.Excluded)
	}
	content, err := d.Content(d.Samples[2].Source)
	if err != nil || !slices.Equal(content.Vector(), []float32{3, 4}) {
		t.Errorf("%v, %v", content.Vector(), err)
	}
	// An array for each id, as Google publishes them, of one vector or several.
	path = filepath.Join(t.TempDir(), "y.npz")
	npz(t, path, map[string]func(io.Writer) error{
		"a.png": func(w io.Writer) error { return npy.Write(w, []int{2}, []float32{1, 2}) },
		"b.png": func(w io.Writer) error { return npy.Write(w, []int{2, 2}, []float32{1, 2, 3, 4}) },
	})
	table := write(t, t.TempDir(), "labels.csv", "id,effusion\na.png,1\nb.png,0\nc.png,1\n")
	d = open(t, Spec{Format: "npz", Path: path, Table: table})
	if len(d.Samples) != 2 || len(d.Excluded) != 1 || labelsOf(t, d, "a.png") != "+" {
		t.Fatalf("%+v, excluded %v", d.Samples, d.Excluded)
	}
	if content, err := d.Content(d.Samples[1].Source); err != nil || !slices.Equal(content.Vector(), []float32{2, 3}) {
		t.Errorf("%v, %v", content.Vector(), err)
	}
}
