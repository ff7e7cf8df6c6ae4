package datasets

import (
	"fmt"
	"image"
	"strings"
	"testing"
)

func voc(t *testing.T, objects string) (*Dataset, error) {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, "Annotations/photo.xml", `<annotation><filename>photo.jpg</filename><size><width>100</width><height>80</height></size>`+objects+`</annotation>`)
	d, err := Open(t.Context(), Spec{Format: "voc", Path: dir})
	if err == nil {
		t.Cleanup(func() { d.Close() })
	}
	return d, err
}

func object(name string, xmin, ymin, xmax, ymax any) string {
	return fmt.Sprintf(`<object><name>%s</name><bndbox><xmin>%v</xmin><ymin>%v</ymin><xmax>%v</xmax><ymax>%v</ymax></bndbox></object>`, name, xmin, ymin, xmax, ymax)
}

func TestBoxesAreCountedFromOne(t *testing.T) {
	t.Parallel()
	d, err := voc(t, object("a", 1, 1, 100, 80)+object("b", 11, 21, 20, 30)+object("a", 0, 0, 5, 5))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []image.Rectangle{image.Rect(0, 0, 100, 80), image.Rect(10, 20, 20, 30), image.Rect(0, 0, 5, 5)} {
		if s := d.Samples[i]; s.Source.Region != want || s.Patient != "photo" || s.Source.Path != "JPEGImages/photo.jpg" {
			t.Errorf("%s: %+v of %q, want region %v", s.ID, s.Source, s.Patient, want)
		}
	}
}

func TestBadBoxesAreExcludedOrCut(t *testing.T) {
	t.Parallel()
	d, err := voc(t, object("a", 1, 1, 10, 10)+object("b", 1, 1, 10, 10)+
		object("a", 50, 50, 50, 60)+object("a", 200, 10, 300, 20)+object("a", -20, -20, -10, -10)+object("a", "NaN", 1, 10, 10)+object("", 1, 1, 5, 5)+
		object("b", 90, 70, 120, 90))
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Samples) != 3 || len(d.Excluded) != 5 || len(d.Problems) < 1 {
		t.Errorf("%d samples, excluded %v, problems %v", len(d.Samples), d.Excluded, d.Problems)
	}
	if got := d.Samples[2].Source.Region; got != image.Rect(89, 69, 100, 80) {
		t.Errorf("the box over the border was cut to %v", got)
	}
}

func TestAnnotationMayNotNameAPath(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "Annotations/x.xml", `<annotation><filename>../../etc/passwd</filename></annotation>`)
	_, err := Open(t.Context(), Spec{Format: "voc", Path: dir})
	if err == nil || !strings.Contains(err.Error(), "Annotations/x.xml") {
		t.Errorf("Open = %v, want an error that names the annotation", err)
	}
}

func TestImageFolderTakesClassesAndSplits(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"train/normal/a.png", "train/sick/b.JPG", "valid/sick/c.png", "test/normal/d.png", "test/sick/notes.txt", ".hidden/x.png", "train/stray.png"} {
		write(t, dir, name, name)
	}
	d := open(t, Spec{Format: "imagefolder", Path: dir})
	in := Inspect(d)
	if in.Splits["train"] != 2 || in.Splits["validation"] != 1 || in.Splits["test"] != 1 || d.Task != Binary || d.Classes[0] != "sick" {
		t.Errorf("splits %v, task %s, classes %v", in.Splits, d.Task, d.Classes)
	}
	if len(d.Excluded) != 2 {
		t.Errorf("excluded %v, want notes.txt and the stray image", d.Excluded)
	}
}

func TestSpecMistakesAreExplained(t *testing.T) {
	t.Parallel()
	for arg, want := range map[string]string{
		"labels.csv":           "such as csv:labels.csv",
		"csvv:labels.csv":      `did you mean "csv"?`,
		"csv:":                 "such as csv:labels.csv",
		"csv:/nowhere/x.csv":   "no such file",
		"voc:/nowhere":         "no such file",
		"imagefolder:/nowhere": "no such file",
		"medmnist:/nowhere":    "no such file",
		"/nowhere/spec.yaml":   "no such file",
	} {
		spec, err := ParseSpec(arg)
		if err == nil {
			_, err = Open(t.Context(), spec)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want it to say %q", arg, err, want)
		}
	}
}

func TestSpecFileIsRelativeToItself(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "data/labels.csv", "bild,befund,patient\na.png,1,p\nb.png,0,q\n")
	spec, err := ParseSpec(write(t, dir, "spec.yaml", "format: csv\npath: data/labels.csv\nimage: bild\nlabels: [befund]\nunit: eye\n"))
	if err != nil {
		t.Fatal(err)
	}
	if d := open(t, spec); d.Unit != "eye" || d.Classes[0] != "befund" {
		t.Errorf("unit %s, classes %v", d.Unit, d.Classes)
	}
	if _, err := ParseSpec(write(t, dir, "bad.yaml", "format: csv\npath: x\nlable: y\n")); err == nil || !strings.Contains(err.Error(), `unknown field "lable"; did you mean "label"?`) {
		t.Errorf("misspelt key: %v", err)
	}
	if _, err := ParseSpec(write(t, dir, "experiment.yaml", "data: csv:x\nencoder: demo\n")); err == nil || !strings.Contains(err.Error(), "what stands under its data") {
		t.Errorf("an experiment: %v", err)
	}
}
