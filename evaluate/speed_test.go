package evaluate

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/medprobe/medprobe/internal/turns"
)

// scikitLearn starts tools/reference/metrics_speed.py on the scores and labels;
// nil where there is no scikit-learn. It answers with seconds and the AUC.
func scikitLearn(t *testing.T, scores []float64, labels []bool) func(question string) []float64 {
	t.Helper()
	var table strings.Builder
	for i, s := range scores {
		fmt.Fprintf(&table, "%t %v\n", labels[i], s)
	}
	file := filepath.Join(t.TempDir(), "scores.txt")
	if err := os.WriteFile(file, []byte(table.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return turns.Peer(t, "sklearn", filepath.Join("..", "tools", "reference", "metrics_speed.py"), file)
}

// TestSpeed notes how long an AUC takes, in turns with scikit-learn's, and the
// bootstrap of fourteen labels.
func TestSpeed(t *testing.T) {
	rounds := turns.Rounds(t)
	large := drawWorld(rand.New(rand.NewPCG(15, 0)), 100_000, 1, false, 1, 0)
	ask := scikitLearn(t, large.a, large.labels)
	var ours Estimate
	took := turns.Take(rounds, turns.First(ask, "auc"), turns.Seconds(t, func() (err error) {
		ours, err = AUC(large.a, large.labels, nil)
		return err
	}))
	if ask != nil {
		within(t, "AUC", ours.Point, ask("auc")[1], 1e-12)
	}
	fourteen := make([]world, 14)
	for k := range fourteen {
		fourteen[k] = drawWorld(rand.New(rand.NewPCG(16, uint64(k))), 5000, 2, true, 1, 0.5)
	}
	bootstrap := turns.Take(rounds, turns.Seconds(t, func() error {
		for _, w := range fourteen {
			if _, err := (Bootstrap{}).AUC(t.Context(), w.a, w.labels, w.groups); err != nil {
				return err
			}
		}
		return nil
	}))
	turns.Note(t,
		turns.Line{Work: "AUC of 100,000 scores, ours with its DeLong interval", Unit: "s", Ours: took[1], Peer: "scikit-learn, no interval", Theirs: took[0], Goal: turns.Goal{Ratio: 3}},
		turns.Line{Work: "2,000 resamples of 5,000 patients, 10,000 images, 14 labels, BCa", Unit: "s", Ours: bootstrap[0], Goal: turns.Goal{Most: 2}})
}
