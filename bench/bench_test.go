package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/medprobe/medprobe/internal/turns"
)

func TestFigures(t *testing.T) {
	t.Parallel()
	for v, want := range map[float64]string{
		0.0123456: "0.0123", 0.5: "0.5", 1: "1", 1.5: "1.5", 9.876: "9.88", 98.76: "98.8", 123.4: "123", 1234: "1,234", 28018.4: "28,018", 1234567: "1,234,567",
	} {
		if got := figure(v); got != want {
			t.Errorf("figure(%v) = %s, want %s", v, got, want)
		}
	}
}

// The page names each goal that is missed, at its top and in its line, and does not
// take what was not measured for reached.
func TestPageNamesWhatIsMissed(t *testing.T) {
	t.Parallel()
	r := result{Group: "trainer", Rounds: 3, Load: "0.10", Machine: machine{Commit: "abc", Cores: 2}, Lines: []turns.Line{
		{Work: "fast work", Unit: "s", Ours: []float64{1, 2, 1.5}, Peer: "peer", Theirs: []float64{15, 16, 14}, Goal: turns.Goal{Ratio: 10}},
		{Work: "slow work", Unit: "s", Ours: []float64{1, 2, 1.5}, Peer: "peer", Theirs: []float64{6, 6, 6}, Goal: turns.Goal{Ratio: 10}},
		{Work: "alone", Unit: "s", Ours: []float64{1}, Peer: "peer", Goal: turns.Goal{Ratio: 10}},
	}}
	text := string(page([]result{r}))
	for _, want := range []string{
		"Of 3 goals 1 are reached and 1 missed; of 1 it is not known",
		"- slow work: 4× of peer, the goal is 10×\n",
		"| fast work | 1.5 s (1–2) | peer | 15 s (14–16) | 10× | 10× | reached |\n",
		"| slow work | 1.5 s (1–2) | peer | 6 s (6–6) | 4× | 10× | **missed** |\n",
		"| alone | 1 s | peer |  |  | 10× | not known |\n",
		"3 rounds.\n",
		"| commit | abc |\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q:\n%s", want, text)
		}
	}
	if text := string(page([]result{{Group: "dicom"}})); !strings.Contains(text, "No goal is measured yet.") || !strings.Contains(text, "Not measured: `make bench-dicom`") || strings.Contains(text, "machine\n") {
		t.Errorf("a page of nothing does not say so:\n%s", text)
	}
	r.Load = "7.00"
	if text := string(page([]result{r})); !strings.Contains(text, "beside other work: 7.00 processes wanted the 2 processors") {
		t.Errorf("the page does not say that the machine was busy:\n%s", text)
	}
}

// What is measured at the same commit in the same way is not measured again.
func TestMeasuredGroupsAreKept(t *testing.T) {
	t.Parallel()
	folder, m := t.TempDir(), machine{Commit: "abc"}
	want := result{Group: "dicom", Rounds: 25, Machine: m, Lines: []turns.Line{{Work: "w", Unit: "ms", Ours: []float64{1}}}}
	if err := want.write(folder); err != nil {
		t.Fatal(err)
	}
	g := group{name: "dicom", rounds: 25, calls: []call{{pkg: "./no/such/package"}}}
	got, err := measure(t.Context(), g, m, options{folder: folder})
	if err != nil || !slices.Equal(got.Lines[0].Ours, want.Lines[0].Ours) {
		t.Errorf("%+v, %v: want what was measured", got, err)
	}
	m.Commit = "def"
	if _, err := measure(t.Context(), g, m, options{folder: folder}); err == nil {
		t.Error("another commit: not measured again")
	}
}

// The tables that the page points to are there, and so is each group's package.
func TestVectorInstructions(t *testing.T) {
	t.Parallel()
	for flags, want := range map[string]string{
		"fpu sse4_2 avx2 avx512_vnni": "AVX2, AVX512-VNNI", "fpu sse2": "unknown", "unknown": "unknown",
	} {
		if got := vector(flags); got != want {
			t.Errorf("%q: %q, want %q", flags, got, want)
		}
	}
}

func TestGroupsAndTablesExist(t *testing.T) {
	t.Parallel()
	for _, g := range groups {
		for _, c := range g.calls {
			if _, err := os.Stat(filepath.Join("..", c.pkg)); err != nil {
				t.Errorf("%s: %v", g.name, err)
			}
		}
	}
	for _, part := range strings.Split(simulations, "](")[1:] {
		name, _, _ := strings.Cut(part, ")")
		if _, err := os.Stat(filepath.Join("..", "docs", name)); err != nil {
			t.Error(err)
		}
	}
}
