package turns

import (
	"bufio"
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestContendersTakeTurns(t *testing.T) {
	t.Parallel()
	var order []string
	contender := func(name string) func() float64 {
		n := 0.0
		return func() float64 {
			order = append(order, name)
			n++
			return n
		}
	}
	got := Take(2, contender("a"), nil, contender("b"))
	if want := "a b a b a b"; strings.Join(order, " ") != want {
		t.Errorf("order %v, want %s", order, want)
	}
	for k, want := range [][]float64{{2, 3}, nil, {2, 3}} {
		if !slices.Equal(got[k], want) {
			t.Errorf("figures of contender %d: %v, want %v: the first round does not count", k, got[k], want)
		}
	}
}

func TestMedian(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		values []float64
		want   float64
	}{{[]float64{3, 1, 2}, 2}, {[]float64{4, 1, 2, 3}, 2.5}, {[]float64{7}, 7}} {
		if got := Median(c.values); got != c.want {
			t.Errorf("Median(%v) = %v, want %v", c.values, got, c.want)
		}
	}
	if !math.IsNaN(Median(nil)) {
		t.Error("the median of nothing is a number")
	}
}

func TestGoals(t *testing.T) {
	t.Parallel()
	two, ten := []float64{2}, []float64{10}
	for name, c := range map[string]struct {
		line           Line
		reached, known bool
	}{
		"five times as fast":           {Line{Ours: two, Theirs: ten, Goal: Goal{Ratio: 5}}, true, true},
		"not six times":                {Line{Ours: two, Theirs: ten, Goal: Goal{Ratio: 6}}, false, true},
		"a rate five times as great":   {Line{Rate: true, Ours: ten, Theirs: two, Goal: Goal{Ratio: 5}}, true, true},
		"a peer that is not here":      {Line{Ours: two, Goal: Goal{Ratio: 5}}, false, false},
		"at most":                      {Line{Ours: two, Goal: Goal{Most: 2}}, true, true},
		"more than the most":           {Line{Ours: ten, Goal: Goal{Most: 2}}, false, true},
		"at least":                     {Line{Ours: ten, Goal: Goal{Least: 2}}, true, true},
		"less than the least":          {Line{Ours: two, Goal: Goal{Least: 10}}, false, true},
		"no goal":                      {Line{Ours: two, Theirs: ten}, false, false},
		"no figure is no goal reached": {Line{Goal: Goal{Most: 2}}, false, false},
	} {
		if reached, known := c.line.Verdict(); reached != c.reached || known != c.known {
			t.Errorf("%s: reached %t, known %t", name, reached, known)
		}
	}
}

func TestNotedLinesAreReadAgain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "lines")
	t.Setenv("MEDPROBE_LINES", file)
	want := Line{Work: "w", Unit: "s", Ours: []float64{1, 2}, Peer: "p", Theirs: []float64{3, 4}, Goal: Goal{Ratio: 2}}
	Note(t, want)
	Note(t, want)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	if len(lines) != 2 {
		t.Fatalf("%d lines, want 2", len(lines))
	}
	var got Line
	if err := json.Unmarshal(lines[1], &got); err != nil {
		t.Fatal(err)
	}
	if got.Ratio() != want.Ratio() || got.Work != want.Work || got.Goal != want.Goal {
		t.Errorf("read again: %+v, want %+v", got, want)
	}
}

func TestPeerIsAskedByLines(t *testing.T) {
	t.Parallel()
	var asked strings.Builder
	ask := asker(t, "peer.py", &asked, bufio.NewScanner(strings.NewReader("0.25 1e-3\n7\n")))
	if got := ask("first"); !slices.Equal(got, []float64{0.25, 1e-3}) {
		t.Errorf("first answer %v", got)
	}
	if got := First(ask, "second")(); got != 7 {
		t.Errorf("second answer %v", got)
	}
	if asked.String() != "first\nsecond\n" {
		t.Errorf("asked %q", asked.String())
	}
	if First(nil, "") != nil {
		t.Error("a peer that is not here is a contender")
	}
}
