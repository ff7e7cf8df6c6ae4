package datasets

import (
	"testing"

	"github.com/medprobe/medprobe/internal/needs"
)

// The counts stand in the SOURCE.md beside the data.

func TestBloodCellPhotographs(t *testing.T) {
	t.Parallel()
	d := open(t, Spec{Format: "voc", Path: needs.Data(t, "blood-cells")})
	in := Inspect(d)
	for class, want := range map[string]int{"RBC": 2094, "WBC": 187, "Platelets": 179} {
		got := in.Labels[class].Positive
		for _, e := range d.Excluded {
			if class == "RBC" && e.ID != "" {
				got++ // the degenerate box
			}
		}
		if got != want {
			t.Errorf("%d %s boxes, want %d", got, class, want)
		}
	}
	if *in.Patients != 182 || in.Images != 182 || in.Unit != "photograph" || in.Task != Multiclass {
		t.Errorf("%d %ss, %d images, task %s", *in.Patients, in.Unit, in.Images, in.Task)
	}
	if len(d.Excluded) != 1 {
		t.Errorf("excluded %v, want the one degenerate box", d.Excluded)
	}
	content, err := d.Content(d.Samples[0].Source)
	if err != nil {
		t.Fatal(err)
	}
	img, err := content.Decode(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range d.Samples {
		if _, err := Crop(img, s.Source.Region); err != nil {
			t.Errorf("%s: %v", s.ID, err)
		}
	}
}

func TestPneumoniaMNIST(t *testing.T) {
	t.Parallel()
	d := open(t, Spec{Format: "medmnist", Path: needs.Data(t, "pneumoniamnist") + "/pneumoniamnist.npz"})
	in := Inspect(d)
	if in.Splits["train"] != 2428 || in.Splits["validation"] != 270 || in.Splits["test"] != 468 {
		t.Errorf("splits %v", in.Splits)
	}
	if want := (Counts{Positive: 1214 + 135 + 234, Negative: 1214 + 135 + 234}); in.Labels["pneumonia"] != want || in.Task != Binary {
		t.Errorf("task %s, labels %v, want %v", in.Task, in.Labels, want)
	}
	if in.Patients != nil || in.Unit != "image" {
		t.Errorf("patients %v, unit %s: want none and image", in.Patients, in.Unit)
	}
	content, err := d.Content(d.Samples[0].Source)
	if err != nil {
		t.Fatal(err)
	}
	img, err := content.Decode(t.Context(), 0)
	if err != nil || img.Bounds().Dx() != 28 {
		t.Errorf("image %v, error %v", img, err)
	}
}
