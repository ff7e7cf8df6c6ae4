package datasets

import (
	"io"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/medprobe/medprobe/internal/npy"
)

// Files in folders of classes may say whose they are.
func TestClassFoldersWhoseFileNamesSharePatients(t *testing.T) {
	t.Parallel()
	dir := writeAll(t, map[string]string{
		"train/normal/person1_a.png": picture(t, 1), "train/sick/person2_a.png": picture(t, 2), "train/sick/x.png": picture(t, 5),
		"test/normal/person1_b.png": picture(t, 3), "test/sick/person3_a.png": picture(t, 4),
	})
	d := open(t, Spec{Format: "imagefolder", Path: dir, PatientPattern: `person(\d+)`})
	in := Inspect(d)
	if *in.Patients != 3 || len(in.Leakage) != 1 || in.Leakage[0].What != "1" {
		t.Errorf("%d patients, leakage %v", *in.Patients, in.Leakage)
	}
	if len(d.Excluded) != 1 || !strings.Contains(d.Excluded[0].Reason, "does not match") {
		t.Errorf("excluded %v", d.Excluded)
	}
	// What metadata says of a file comes first, and is not searched again.
	write(t, dir, "metadata.csv", "file_name,patient\ntrain/normal/person1_a.png,person7\ntest/normal/person1_b.png,person8\n")
	d = open(t, Spec{Format: "imagefolder", Path: dir, PatientPattern: `person(\d+)`})
	if d.Samples[0].Patient != "8" || len(Inspect(d).Leakage) != 0 {
		t.Errorf("%+v", d.Samples)
	}
}

func TestPhotographsOfOnePatient(t *testing.T) {
	t.Parallel()
	object := func(name string) string {
		return "<object><name>" + name + "</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>3</xmax><ymax>3</ymax></bndbox></object>"
	}
	dir := writeAll(t, map[string]string{
		"Annotations/a.xml": "<annotation><filename>p1_a.png</filename>" + object("x") + "</annotation>",
		"Annotations/b.xml": "<annotation><filename>p1_b.png</filename>" + object("y") + "</annotation>",
		"coco.json": `{"images": [{"id": 1, "file_name": "p1_a.png"}, {"id": 2, "file_name": "p1_b.png"}], "categories": [{"id": 1, "name": "x"}, {"id": 2, "name": "y"}],
"annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 2, 2]}, {"id": 2, "image_id": 2, "category_id": 2, "bbox": [0, 0, 2, 2]}]}`,
	})
	for _, s := range []Spec{{Format: "voc", Path: dir}, {Format: "coco", Path: dir + "/coco.json"}} {
		if d := open(t, s); *Inspect(d).Patients != 2 {
			t.Errorf("%s: a photograph is a patient: %+v", s.Format, d.Samples)
		}
		s.PatientPattern = `p\d`
		if d := open(t, s); *Inspect(d).Patients != 1 || d.Samples[0].Patient != "p1" {
			t.Errorf("%s: two photographs of one patient: %+v", s.Format, d.Samples)
		}
	}
}

// A part of a dataset need not hold every class that its numbers could mean.
func TestPartOfMedMNIST(t *testing.T) {
	t.Parallel()
	for name, want := range map[string][]string{"pathmnist_64.npz": {"adipose", "background", "mucus"}, "other.npz": {"0", "1", "4"}} {
		path := filepath.Join(t.TempDir(), name)
		npz(t, path, map[string]func(io.Writer) error{
			"train_images": func(w io.Writer) error { return npy.Write(w, []int{3, 4, 5}, make([]uint8, 60)) },
			"train_labels": func(w io.Writer) error { return npy.Write(w, []int{3, 1}, []uint8{0, 4, 1}) },
		})
		d := open(t, Spec{Format: "medmnist", Path: path})
		if !slices.Equal(d.Classes, want) || len(d.Samples) != 3 || len(d.Problems) != 1 || !strings.Contains(d.Problems[0].What, "no sample is of ") {
			t.Errorf("%s: classes %v, problems %v", name, d.Classes, d.Problems)
		}
	}
}

// A .txt beside a .cls is a caption.
func TestCaptionsAreNoClasses(t *testing.T) {
	t.Parallel()
	dir := writeAll(t, map[string]string{"x.tar": tarOf(t,
		[2]string{"a.png", picture(t, 1)}, [2]string{"a.cls", "0"}, [2]string{"a.txt", "a film"},
		[2]string{"b.txt", "another film"}, [2]string{"b.cls", "1"}, [2]string{"b.png", picture(t, 2)})})
	if d := open(t, Spec{Format: "webdataset", Path: dir, Classes: []string{"well", "sick"}}); !slices.Equal(d.Classes, []string{"sick"}) {
		t.Errorf("classes %v", d.Classes)
	}
}

// An archive that tar wrote need not have the members of a sample together.
func TestMembersApart(t *testing.T) {
	t.Parallel()
	dir := writeAll(t, map[string]string{"x.tar": tarOf(t,
		[2]string{"./a.png", picture(t, 1)}, [2]string{"./b.cls", "1"}, [2]string{"./c.png", picture(t, 3)}, [2]string{"./d.cls", "1"},
		[2]string{"./a.cls", "0"}, [2]string{"./b.png", picture(t, 2)})})
	d := open(t, Spec{Format: "webdataset", Path: dir, Classes: []string{"well", "sick"}})
	if got := ids(d); !slices.Equal(got, []string{"x/a", "x/b", "x/c"}) || labelsOf(t, d, "x/a")+labelsOf(t, d, "x/b")+labelsOf(t, d, "x/c") != "-+." || len(d.Excluded) != 1 {
		t.Errorf("%v, excluded %v", d.Samples, d.Excluded)
	}
}

func TestFramesOfRows(t *testing.T) {
	t.Parallel()
	dir := cases(t, "mr_frames.dcm", "cr12.dcm")
	write(t, dir, "a.png", picture(t, 1))
	write(t, dir, "x.csv", "path,y,id\nmr_frames.dcm,1,m\ncr12.dcm,0,c\na.png,0,p\n")
	for _, tt := range []struct {
		frame string
		want  []string
	}{
		{"", []string{"c 0", "m 0", "p 0"}},
		{"middle", []string{"c 0", "m 1", "p 0"}},
		{"all", []string{"c 0", "m#frame 1 0", "m#frame 2 1", "m#frame 3 2", "p 0"}},
		{"2", []string{"m 1"}},
	} {
		d := open(t, Spec{Format: "csv", Path: dir + "/x.csv", Labels: []string{"y"}, Frame: tt.frame})
		var got []string
		for _, s := range d.Samples {
			got = append(got, s.ID+" "+string(rune('0'+s.Source.Frame)))
		}
		if !slices.Equal(got, tt.want) || len(d.Samples)+len(d.Excluded) < 3 {
			t.Errorf("frame %q: %v, excluded %v", tt.frame, got, d.Excluded)
		}
		decodes(t, d)
	}
	write(t, dir, "x.csv", "path,y,frame\nmr_frames.dcm,1,3\ncr12.dcm,0,\n")
	if d := open(t, Spec{Format: "csv", Path: dir + "/x.csv", Labels: []string{"y"}}); d.Samples[1].Source.Frame != 2 {
		t.Errorf("%+v", d.Samples)
	}
	if _, err := Open(t.Context(), Spec{Format: "csv", Path: dir + "/x.csv", Labels: []string{"y"}, Frame: "all"}); err == nil || !strings.Contains(err.Error(), "want one of them") {
		t.Errorf("two words for the frame: %v", err)
	}
}

// A pipe without a writer would be waited for without end.
func TestPipesAreNotWaitedFor(t *testing.T) {
	t.Parallel()
	dir := writeAll(t, map[string]string{"labels.csv": "path,y\npipe.png,1\nb.png,0\n", "b.png": picture(t, 1)})
	for _, name := range []string{"pipe.png", "pipe.csv"} {
		if err := syscall.Mkfifo(filepath.Join(dir, name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d := open(t, Spec{Format: "csv", Path: dir + "/labels.csv"})
	_, problems, err := ReadContents(t.Context(), d, ContentOptions{})
	if err != nil || len(problems) != 1 || !strings.Contains(problems[0].What, "not a regular file") {
		t.Errorf("%v, %v", problems, err)
	}
	if _, err := Open(t.Context(), Spec{Format: "csv", Path: dir + "/pipe.csv"}); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a table: %v", err)
	}
}

// Lists of findings in a cell are asked for; that they may be meant is said.
func TestClassThatLooksLikeAListIsAProblem(t *testing.T) {
	t.Parallel()
	said := func(text string) bool {
		d, err := openCSV(t, text, Spec{})
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(d.Problems, func(p Problem) bool { return strings.Contains(p.What, `label_separator: ","`) })
	}
	if !said("path,label\na,\"NEUTROPHIL, EOSINOPHIL\"\nb,NEUTROPHIL\nc,EOSINOPHIL\n") {
		t.Error("a list is not spoken of")
	}
	if said("path,label\na,\"normal, benign\"\nb,malignant\nc,other\n") {
		t.Error("a name with a comma is taken for a list")
	}
}

// Objects are counted by the lines of the file.
func TestLinesOfJSON(t *testing.T) {
	t.Parallel()
	dir := writeAll(t, map[string]string{
		"a.jsonl": "{\"path\": \"a\", \"note\": \"two\\nlines\", \"y\": 1}\n\n{\"path\": \"b\", \"note\": \"x\", \"y\": 7}\n",
		"b.jsonl": "{\"y\": 1}\n{\"y\": null}\n{\"y\": 0}\n",
	})
	if _, err := Open(t.Context(), Spec{Format: "jsonl", Path: dir + "/a.jsonl", Labels: []string{"y"}}); err == nil || !strings.Contains(err.Error(), `a.jsonl:3: y = "7"`) {
		t.Errorf("error %v, want line 3", err)
	}
	d, err := ReadLabels(t.Context(), Spec{Path: dir + "/b.jsonl"})
	if err != nil || len(d.Samples) != 3 || d.Samples[1].Labels[0] != Missing {
		t.Errorf("%+v, %v", d, err)
	}
}

// Truth and what is missing are also spelt as pandas writes them.
func TestLabelsOfPandas(t *testing.T) {
	t.Parallel()
	d, err := openCSV(t, "path,a,b\nx,True,1.0\ny,False,NaN\nz,,-1.0\n", Spec{})
	if err != nil {
		t.Fatal(err)
	}
	if got := labelsOf(t, d, "x") + labelsOf(t, d, "y") + labelsOf(t, d, "z"); got != "++-..?" {
		t.Errorf("labels %s", got)
	}
}
