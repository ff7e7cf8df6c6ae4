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
		{"cvs", `did you mean "csv"?`},
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

func TestDistanceCountsSlips(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"demo", "dmeo", 1}, {"kitten", "sitting", 3},
		{"ca", "abc", 3}, // no byte is moved twice
		{"abcdef", "badcfe", 3},
	} {
		if got := distance(tt.a, tt.b); got != tt.want {
			t.Errorf("distance(%q, %q) = %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}
