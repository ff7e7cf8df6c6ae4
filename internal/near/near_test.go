package near

import (
	"strings"
	"testing"
)

func TestCheckOffersTheNearestName(t *testing.T) {
	known := []string{"csv", "imagefolder", "medmnist", "voc"}
	for _, tt := range []struct{ name, want string }{
		{"csv", ""},
		{"imagefoldr", `did you mean "imagefolder"?`},
		{"MedMNIST", `did you mean "medmnist"?`},
		{"parquet", "known: csv, imagefolder, medmnist, voc"},
		{"", "known: csv"},
		{"image", `did you mean "imagefolder"?`},
		{"x", "known: csv"}, // one letter off, and nothing in common
		{"xoc", `did you mean "voc"?`},
	} {
		err := Check("format", tt.name, known)
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("Check(%q) = %v, want nil", tt.name, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("Check(%q) = %v, want it to say %q", tt.name, err, tt.want)
		}
	}
}
