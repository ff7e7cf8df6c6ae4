package datasets

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/medprobe/medprobe/internal/npy"
	"github.com/parquet-go/parquet-go"
)

// whole fails the test unless a dataset that was let in is one: a label for each
// class, an id, and no path that leads out. Its contents are read, whatever they are.
func whole(t *testing.T, s Spec) {
	t.Helper()
	d, err := Open(t.Context(), s)
	if err != nil {
		return
	}
	defer d.Close()
	for _, sample := range d.Samples {
		if len(sample.Labels) != len(d.Classes) || sample.ID == "" || sample.Source.Path != "" && !filepath.IsLocal(sample.Source.Path) {
			t.Errorf("sample %+v of %d classes", sample, len(d.Classes))
		}
		_, _ = d.Content(sample.Source)
	}
}

// replaced writes a file of a dataset that is otherwise as it was.
func replaced(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func FuzzCOCO(f *testing.F) {
	f.Add([]byte(`{"info": {"x": [1, {"y": 2}]}, "annotations": [{"id": 1, "image_id": 7, "category_id": 2, "bbox": [1, 0, 2.5, 3], "segmentation": [[1,2]], "area": 3}],
		"images": [{"id": 7, "file_name": "a.png", "width": 6, "height": 4}], "categories": [{"id": 2, "name": "WBC"}]}`))
	f.Add([]byte("\xef\xbb\xbf{\"images\": null, \"annotations\": [[]], \"categories\": {}}"))
	f.Add([]byte(`{"images": [{"id": 7, "file_name": "../../a.png", "width": 1e9, "height": -4}], "annotations": [{"image_id": 7, "bbox": [1e300, 0, -1, 3]}]}`))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(dir, "instances.json")
		replaced(t, path, data)
		whole(t, Spec{Format: "coco", Path: path})
	})
}

func FuzzVOC(f *testing.F) {
	f.Add([]byte(`<annotation><filename>a.jpg</filename><size><width>9</width><height>9</height></size>` + object("a", 1, 1, 5, 5) + `</annotation>`))
	f.Add([]byte(`<!DOCTYPE a [<!ENTITY b "c"><!ENTITY d SYSTEM "file:///etc/passwd">]><annotation><filename>&d;</filename>` + object("a", "NaN", "-1", "1e99", "") + `</annotation>`))
	dir := f.TempDir()
	for _, folder := range []string{"Annotations", "JPEGImages"} {
		if err := os.Mkdir(filepath.Join(dir, folder), 0o700); err != nil {
			f.Fatal(err)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		replaced(t, filepath.Join(dir, "Annotations", "a.xml"), data)
		whole(t, Spec{Format: "voc", Path: dir})
	})
}

// Arrays of images and of vectors, in one archive.
func FuzzArrays(f *testing.F) {
	array := func(shape []int, values ...uint8) func(io.Writer) error {
		return func(w io.Writer) error { return npy.Write(w, shape, values) }
	}
	for _, members := range []map[string]func(io.Writer) error{
		{"train_images": array([]int{2, 2, 2}, 1, 2, 3, 4, 5, 6, 7, 8), "train_labels": array([]int{2, 1}, 0, 1)},
		{"test_images": array([]int{1, 1, 2, 3}, 1, 2, 3, 4, 5, 6), "test_labels": array([]int{1, 2}, 0, 1)},
		{"embeddings": array([]int{2, 2}, 1, 0, 0, 1), "labels": array([]int{2}, 0, 1), "patients": array([]int{2}, 7, 8)},
	} {
		var b bytes.Buffer
		if err := npy.WriteArchive(&b, members); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(dir, "pneumoniamnist.npz")
		replaced(t, path, data)
		whole(t, Spec{Format: "medmnist", Path: path})
		whole(t, Spec{Format: "npz", Path: path})
	})
}

// A folder of Hugging Face's: a table of images, and what its page says of the classes.
func FuzzHuggingFace(f *testing.F) {
	var b bytes.Buffer
	w := parquet.NewGenericWriter[hfRow](&b, parquet.KeyValueMetadata("huggingface", `{"info": {"features": {"label": {"names": ["x", "y"], "_type": "ClassLabel"}}}}`))
	if _, err := w.Write([]hfRow{{Image: hfImage{Bytes: []byte("x"), Path: "x.png"}, Label: 1, Patient: "a", Tags: []int64{1}}, {Label: 0, Patient: "b"}}); err != nil {
		f.Fatal(err)
	}
	if err := w.Close(); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes(), []byte("---\ndataset_info:\n  features:\n  - name: label\n    dtype:\n      class_label:\n        names:\n          '0': x\n          '1': y\n---\n"))
	f.Add(b.Bytes(), []byte("---\ndataset_info:\n- features: &a [*a]\n---\n"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, table, page []byte) {
		replaced(t, filepath.Join(dir, "train-00000-of-00001.parquet"), table)
		replaced(t, filepath.Join(dir, "README.md"), page)
		whole(t, Spec{Format: "hf", Path: dir})
	})
}

// Packed archives, and those that are not.
func FuzzPackedWebDataset(f *testing.F) {
	f.Add([]byte("x"), []byte("a"), "a.png")
	f.Add([]byte("{\"label\": [1, {\"a\": null}]}"), []byte("1"), "../a.json")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, first, second []byte, name string) {
		if len(name) == 0 || len(name) > 90 {
			return
		}
		member := func(name string, data []byte) []byte {
			b := make([]byte, 512)
			copy(b, name)
			copy(b[100:], fmt.Sprintf("%07o\x00%07o\x00%07o\x00%011o\x00%011o\x00        0", 0o600, 0, 0, len(data), 0))
			copy(b[257:], "ustar\x0000")
			sum := 0
			for _, v := range b {
				sum += int(v)
			}
			copy(b[148:], fmt.Sprintf("%06o\x00 ", sum))
			b = append(b, data...)
			return append(b, make([]byte, -len(data)&511)...)
		}
		tar := append(append(member(name, first), member("a.cls", second)...), make([]byte, 1024)...)
		path := filepath.Join(dir, "train-0.tar.gz")
		replaced(t, path, []byte(gz(t, string(tar))))
		whole(t, Spec{Format: "webdataset", Path: path})
		replaced(t, path, first)
		whole(t, Spec{Format: "webdataset", Path: path})
	})
}

func FuzzImageFolder(f *testing.F) {
	f.Add("file_name,label\na.png,x\n", "metadata.csv")
	f.Add("{\"file_name\": \"a.png\", \"label\": 1, \"objects\": {\"bbox\": [[1,2,3]]}}\n", "metadata.jsonl")
	f.Add("file_name,label\n../../etc/passwd,x\n/etc/passwd,y\n", "metadata.csv")
	dir := f.TempDir()
	for _, class := range []string{"x", "y"} {
		if err := os.Mkdir(filepath.Join(dir, class), 0o700); err != nil {
			f.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, class, "a.png"), []byte("x"), 0o600); err != nil {
			f.Fatal(err)
		}
	}
	f.Fuzz(func(t *testing.T, text, name string) {
		if name != "metadata.csv" && name != "metadata.jsonl" {
			return
		}
		replaced(t, filepath.Join(dir, name), []byte(text))
		whole(t, Spec{Format: "imagefolder", Path: dir})
		os.Remove(filepath.Join(dir, name))
	})
}

// What a SPEC in a file says; nothing outside its folder is opened by accident.
func FuzzSpec(f *testing.F) {
	f.Add("format: csv\npath: labels.csv\nlabels: [y]\nunit: eye\nuncertain: {default: positive, y: negative}\n")
	f.Add("format: csv\npath: labels.csv\nsplit: {file: split.csv}\npatient_pattern: '(.)'\n")
	f.Add("format: [csv]\npath: {}\nmin_confidence: 1e99\ncolumns: &a [*a]\n")
	dir := f.TempDir()
	for name, text := range map[string]string{"labels.csv": "path,y,patient\na.png,1,p\nb.png,0,q\n", "split.csv": "id,split\na.png,train\nb.png,test\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			f.Fatal(err)
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(dir, "spec.yaml")
		replaced(t, path, []byte(text))
		s, err := ParseSpec(path)
		if err != nil || s.Path != filepath.Join(dir, "labels.csv") || s.AllowOutside || s.AllowRemote || s.Root != "" {
			return // refused, or it asks for files that are not this test's
		}
		whole(t, s)
	})
}

func FuzzDivision(f *testing.F) {
	f.Add("id,split\na,train\nb,test\n")
	f.Add("id,split,fold,shots:y\na,train,1,3\nb,test,,\n")
	f.Add("id\tsplit\tshots\n\"a\nb\"\t\t-1\n")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		table, split := filepath.Join(dir, "labels.csv"), filepath.Join(dir, "split.csv")
		replaced(t, table, []byte("path,y,patient\na,1,p\nb,0,q\nc,1,r\n"))
		replaced(t, split, []byte(text))
		whole(t, Spec{Format: "csv", Path: table, SplitFile: split})
		whole(t, Spec{Format: "csv", Path: table, SplitFile: split, Fold: 1})
	})
}
