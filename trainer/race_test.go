package trainer

import (
	"math"
	"testing"

	"github.com/medprobe/medprobe/internal/testworld"
)

// Candidates that the first look gives up are far behind in truth, and the
// others' held-out losses are those without it.
func TestRaceChangesNoChoice(t *testing.T) {
	t.Parallel()
	w := testworld.New(testworld.Options{Dim: 200, Knowledge: 0.3}, 12)
	s := w.Draw(400, 400, "p", 1)
	o := Options{Head: Logistic}
	o.setDefaults()
	start := func() ([]*task, []*study) {
		tasks, err := newTasks(s.X, binaryTargets(s.Labels), s.Groups, o)
		if err != nil {
			t.Fatal(err)
		}
		return tasks, []*study{tasks[0].study()}
	}
	tasks, studies := start()
	full, err := tasks[0].design.minimize(t.Context(), studies[0].problems, selectTolerance)
	if err != nil {
		t.Fatal(err)
	}
	grid := studies[0].grid
	truth := tasks[0].heldOut(studies[0], full).path(grid)

	tasks, studies = start()
	if err := race(t.Context(), tasks[0].design, tasks, studies, studies[0].problems); err != nil {
		t.Fatal(err)
	}
	lost := map[float64]bool{}
	for k, p := range studies[0].problems {
		lost[grid[k%len(grid)]] = p.lost != nil
	}
	tasks, _ = start()
	if err := chooseAll(t.Context(), tasks); err != nil {
		t.Fatal(err)
	}
	least, given := math.Inf(1), 0
	for _, p := range truth {
		least = min(least, p.Loss)
	}
	for g, p := range tasks[0].fit.Path {
		want := truth[g]
		if lost[p.C] {
			if given++; want.Excess < 0.8*farBehind*least || want.Excess*800 < 0.8*farNats {
				t.Errorf("C = %g was given up, with a loss of %.5f beside %.5f", p.C, want.Loss, least)
			}
			continue
		}
		if math.Abs(p.Loss-want.Loss) > 1e-5*want.Loss || p.Weight != want.Weight {
			t.Errorf("C = %g: loss %.9f and weight %v, without the first look %.9f and %v", p.C, p.Loss, p.Weight, want.Loss, want.Weight)
		}
	}
	if given == 0 || given == len(grid) {
		t.Errorf("%d of %d candidates were given up", given, len(grid))
	}
}
