package datasets

import "testing"

func TestPositiveOfTwoClasses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		two   [2]string
		asked string
		want  string
	}{
		{[2]string{"normal", "pneumonia"}, "", "pneumonia"},
		{[2]string{"malignant", "normal, benign"}, "", "malignant"}, // BreastMNIST
		{[2]string{"Benign", "malignant"}, "", "malignant"},
		{[2]string{"cat", "dog"}, "", "dog"},
		{[2]string{"normal", "pneumonia"}, "normal", "normal"},
	} {
		d := &Dataset{}
		if got := d.positiveOf(c.two[:], c.asked); got != c.want {
			t.Errorf("positive of %q: %q, want %q", c.two, got, c.want)
		}
	}
}
