package datasets

import (
	"slices"
	"strings"
	"testing"
)

// A word in the table of formats that is no field would refuse what it stands for.
func TestFormatsReadFieldsThatAreThere(t *testing.T) {
	t.Parallel()
	var keys []string
	for _, field := range partial() {
		keys = append(keys, field.key)
	}
	for _, f := range formats() {
		for _, key := range strings.Fields(f.fields) {
			if !slices.Contains(keys, key) {
				t.Errorf("%s reads %q, which is no field", f.name, key)
			}
		}
	}
	if n := len(Formats()); n < 16 || !slices.IsSorted(Formats()) {
		t.Errorf("%d formats: %v", n, Formats())
	}
}
