package datasets

import (
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/medprobe/medprobe/internal/npy"
)

// Classes that are not asked for take their rows away, and leave the labels of the
// others where they are.
func TestClassesAskedForOfTablesBeside(t *testing.T) {
	t.Parallel()
	dir := cases(t, "cr12.dcm", "mr_frames.dcm", "ct.dcm")
	write(t, dir, "labels.csv", "path,label,site\ncr12.dcm,other,A\nmr_frames.dcm,sick,A\nct.dcm,well,B\n")
	npz(t, dir+"/vectors.npz", map[string]func(io.Writer) error{
		"cr12.dcm":      func(w io.Writer) error { return npy.Write(w, []int{2}, []float32{1, 2}) },
		"mr_frames.dcm": func(w io.Writer) error { return npy.Write(w, []int{2}, []float32{2, 2}) },
		"ct.dcm":        func(w io.Writer) error { return npy.Write(w, []int{2}, []float32{3, 2}) },
	})
	for _, s := range []Spec{
		{Format: "dicom", Path: dir, Frame: "middle"},
		{Format: "npz", Path: dir + "/vectors.npz", Table: dir + "/labels.csv", ID: "path"},
	} {
		s.Classes, s.Positive, s.Rename = []string{"sick", "healthy"}, "sick", map[string]string{"well": "healthy"}
		d := open(t, s)
		if !slices.Contains(d.Attributes, "site") || d.Attr(0, "site") != "B" {
			t.Errorf("%s: attributes %q, of the first %q", s.Format, d.Attributes, d.Attr(0, "site"))
		}
		if d.Other != "healthy" {
			t.Errorf("%s: the other class is %q", s.Format, d.Other)
		}
		got := ""
		for _, sample := range d.Samples {
			got += sample.ID + " " + sample.Labels[0].String() + "\n"
		}
		if want := "ct.dcm negative\nmr_frames.dcm positive\n"; strings.ReplaceAll(got, "#frame 2", "") != want {
			t.Errorf("%s: %s, want %s", s.Format, got, want)
		}
		refused := 0
		for _, e := range d.Excluded {
			if strings.Contains(e.Reason, `class "other" is not among`) {
				refused++
			}
		}
		if refused != 1 {
			t.Errorf("%s: excluded %+v", s.Format, d.Excluded)
		}
	}
}
