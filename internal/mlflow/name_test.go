package mlflow

import (
	"path"
	"strings"
	"testing"
	"unicode/utf8"
)

func FuzzName(f *testing.F) {
	for _, s := range []string{"", "effusion", "a/b", "../a", "/a", "a//b", ".", "..", "a:b", "a b", "Erguß 50%", strings.Repeat("é", 200), "\xff", "a/"} {
		f.Add(s, "effusion")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		name := Name(a)
		if name == "" || len(name) > maxKey || !utf8.ValidString(name) || path.Clean(name) != name || name == "." || strings.HasPrefix(name, "..") || strings.HasPrefix(name, "/") {
			t.Errorf("Name(%q) = %q", a, name)
		}
		if a != b && name == Name(b) {
			t.Errorf("Name(%q) and Name(%q) are both %q", a, b, name)
		}
	})
}

func TestNameLeavesGoodNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"effusion", "Pleural Effusion", "auc/Erguß", "a-b_c.d 1"} {
		if got := Name(name); got != name {
			t.Errorf("Name(%q) = %q", name, got)
		}
	}
}

func TestCut(t *testing.T) {
	t.Parallel()
	for n := range 12 {
		if got := cut("aéaéaé", n); len(got) > n || !utf8.ValidString(got) {
			t.Errorf("cut to %d bytes: %q", n, got)
		}
	}
	if got := Value(strings.Repeat("é", 400)); len(got) > maxValue || !strings.HasSuffix(got, "…") {
		t.Errorf("a long value: %d bytes", len(got))
	}
}
