package datasets

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/medprobe/medprobe/internal/dicom"
	"github.com/medprobe/medprobe/internal/needs"
)

// cases copies files that pydicom wrote into folders, and returns the root.
func cases(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join("..", "internal", "dicom", "testdata", filepath.Base(name)))
		if err != nil {
			t.Fatal(err)
		}
		write(t, dir, name, string(data))
	}
	return dir
}

func TestDICOMTree(t *testing.T) {
	t.Parallel()
	dir := cases(t, "a/cr12.dcm", "a/b/mr_frames.dcm", "c/ct.dcm")
	write(t, dir, "labels.csv", "path,effusion,site\na/cr12.dcm,1,A\na/b/mr_frames.dcm,0,B\nx.dcm,1,B\n")
	write(t, dir, "notes.txt", "hello")
	d := open(t, Spec{Format: "dicom", Path: dir, Labels: []string{"effusion"}})
	if got := ids(d); !slices.Equal(got, []string{"a/b/mr_frames.dcm", "a/cr12.dcm"}) {
		t.Fatalf("%v", got)
	}
	s := d.Samples[1]
	if s.Patient != "case-7" || s.Study != "2.25.5" || s.Series != "2.25.6" || d.Attr(1, "modality") != "CR" || d.Attr(1, "site") != "A" || s.Labels[0] != Positive {
		t.Errorf("%+v", s)
	}
	if len(d.Excluded) != 2 || len(d.Problems) != 2 {
		t.Errorf("excluded %v, problems %v", d.Excluded, d.Problems)
	}
	const frames = `files of several frames: 1, the first: "a/b/mr_frames.dcm" with 3; of each the first frame is taken`
	said := func(d *Dataset) bool {
		return slices.ContainsFunc(d.Problems, func(p Problem) bool { return strings.HasPrefix(p.What, frames) })
	}
	if !said(d) {
		t.Errorf("frames that nobody asked for: %v", d.Problems)
	}
	decodes(t, d)

	all := open(t, Spec{Format: "dicom", Path: dir, Labels: []string{"effusion"}, Frame: "all"})
	if got := ids(all); !slices.Equal(got, []string{"a/b/mr_frames.dcm", "a/b/mr_frames.dcm#frame 2", "a/b/mr_frames.dcm#frame 3", "a/cr12.dcm"}) {
		t.Errorf("%v", got)
	}
	if said(all) {
		t.Errorf("all frames were asked for: %v", all.Problems)
	}
	decodes(t, all)
	middle := open(t, Spec{Format: "dicom", Path: dir, Labels: []string{"effusion"}, Frame: "middle"})
	if middle.Samples[0].Source.Frame != 1 {
		t.Errorf("%+v", middle.Samples[0])
	}
	third := open(t, Spec{Format: "dicom", Path: dir, Labels: []string{"effusion"}, Frame: "3"})
	if len(third.Samples) != 1 {
		t.Errorf("the third frame of files that have fewer: %v", ids(third))
	}
}

// Without a table of labels there are samples to embed.
func TestDICOMWithoutLabels(t *testing.T) {
	t.Parallel()
	dir := cases(t, "a/cr12.dcm", "a/b/mr_frames.dcm")
	d := open(t, Spec{Format: "dicom", Path: dir, Frame: "all"})
	in := Inspect(d)
	if in.Samples != 4 || *in.Patients != 1 || in.Classes == nil || len(in.Classes) != 0 || len(in.Problems) != 1 || !strings.Contains(in.Problems[0].What, "no table of labels") {
		t.Errorf("%+v", in)
	}
	decodes(t, d)
	if _, err := Open(t.Context(), Spec{Format: "dicom", Path: dir, Labels: []string{"effusion"}}); err == nil || !strings.Contains(err.Error(), "no table of labels") {
		t.Errorf("labels are asked for: %v", err)
	}
}

func TestDICOMLabelsByAnyKey(t *testing.T) {
	t.Parallel()
	for key, value := range map[string]string{"SOPInstanceUID": "2.25.7", "series_instance_uid": "2.25.6", "StudyInstanceUID": "2.25.5", "patient_id": "case-7", "file": "cr12.dcm"} {
		dir := cases(t, "cr12.dcm")
		write(t, dir, "truth.csv", key+",effusion\n"+value+",1\n")
		d, err := Open(t.Context(), Spec{Format: "dicom", Path: dir, Table: filepath.Join(dir, "truth.csv"), Labels: []string{"effusion"}})
		if err != nil || d.Samples[0].Labels[0] != Positive {
			t.Errorf("%s: %v", key, err)
			continue
		}
		d.Close()
	}
	dir := cases(t, "cr12.dcm")
	write(t, dir, "labels.csv", "name,effusion\nx,1\n")
	if _, err := Open(t.Context(), Spec{Format: "dicom", Path: dir}); err == nil || !strings.Contains(err.Error(), "no column is a key of DICOM files") {
		t.Errorf("%v", err)
	}
}

// A window changes what is seen, so it changes the content's name; a file keeps
// its name wherever it lies.
func TestWindowIsPartOfTheContent(t *testing.T) {
	t.Parallel()
	dir := cases(t, "cr12.dcm", "elsewhere/cr12.dcm")
	write(t, dir, "labels.csv", "path,effusion\ncr12.dcm,1\nelsewhere/cr12.dcm,0\n")
	digest := func(w *dicom.Window, i int) [32]byte {
		d := open(t, Spec{Format: "csv", Path: filepath.Join(dir, "labels.csv"), Window: w})
		content, err := d.Content(d.Samples[i].Source)
		if err != nil {
			t.Fatal(err)
		}
		return content.Digest()
	}
	if digest(nil, 0) != digest(nil, 1) {
		t.Error("the same file has two names")
	}
	wide, narrow := &dicom.Window{Center: 2000, Width: 3000}, &dicom.Window{Center: 2000, Width: 300}
	if digest(wide, 0) == digest(nil, 0) || digest(wide, 0) == digest(narrow, 0) || digest(wide, 0) != digest(wide, 1) {
		t.Error("windows and names of contents do not belong together")
	}
}

func TestRealDICOM(t *testing.T) {
	t.Parallel()
	real := needs.Data(t, "dicom")
	paths, err := filepath.Glob(filepath.Join(real, "*.dcm"))
	if err != nil || len(paths) < 20 {
		t.Fatalf("%d files, %v", len(paths), err)
	}
	table := "file,sick\n"
	for i, path := range paths {
		table += filepath.Base(path) + "," + []string{"0", "1"}[i%2] + "\n"
	}
	d := open(t, Spec{Format: "dicom", Path: real, Table: write(t, t.TempDir(), "labels.csv", table)})
	var refused []string
	for _, e := range d.Excluded {
		if strings.HasSuffix(e.ID, ".dcm") {
			refused = append(refused, e.ID)
		}
	}
	if want := []string{"badVR.dcm", "liver_1frame.dcm", "no_meta.dcm", "rtplan.dcm"}; !slices.Equal(refused, want) {
		t.Errorf("refused %v, want %v", refused, want)
	}
	if len(d.Samples)+len(refused) != len(paths) {
		t.Errorf("%d samples and %d refused of %d files", len(d.Samples), len(refused), len(paths))
	}
}

func TestNIHRadiographs(t *testing.T) {
	t.Parallel()
	d := open(t, Spec{Format: "nih", Path: needs.Data(t, "nih-cxr")})
	in := Inspect(d)
	for label, want := range map[string]int{"Atelectasis": 1, "No Finding": 4, "Infiltration": 1, "Mass": 1, "Pneumothorax": 1, "Consolidation": 1, "Effusion": 1} {
		if got := in.Labels[label].Positive; got != want {
			t.Errorf("%d %s, want %d", got, label, want)
		}
	}
	if in.Samples != 8 || *in.Patients != 6 || len(d.Excluded) != 0 {
		t.Errorf("%+v", in)
	}
	decodes(t, d)
	// The same through the plain table.
	plain := open(t, Spec{Format: "csv", Path: filepath.Join(needs.Data(t, "nih-cxr"), "labels.csv")})
	if !slices.Equal(plain.Classes, d.Classes) || len(plain.Samples) != 8 {
		t.Errorf("%v, %d samples", plain.Classes, len(plain.Samples))
	}
}
