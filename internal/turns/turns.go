// Package turns times contenders that do the same work in turns on one machine,
// and notes what they took as lines of a table. Benchmarks are tests: they run
// where MEDPROBE_ROUNDS says how often, add their lines to the file
// MEDPROBE_LINES, and assert nothing of time, since machines are shared. The
// program in bench runs them and makes the page.
package turns

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/medprobe/medprobe/internal/needs"
)

// Line is what one work took, beside the same work done by a peer.
type Line struct {
	Work string `json:"work"`
	// Unit of all figures of the line. Less is better, but for a rate ("rows/s").
	Unit string `json:"unit"`
	Rate bool   `json:"rate,omitempty"`
	// Ours and Theirs hold a figure a round. Theirs is empty where there is no
	// peer, or where this machine has not got it.
	Ours   []float64 `json:"ours"`
	Peer   string    `json:"peer,omitempty"`
	Theirs []float64 `json:"theirs,omitempty"`
	Goal   Goal      `json:"goal"`
	// Remark says in words what the time went into.
	Remark string `json:"remark,omitempty"`
}

// Goal is what a line should reach; of its fields one is set, or none where
// nothing was asked for.
type Goal struct {
	Ratio float64 `json:"ratio,omitempty"` // so many times as good as the peer, at least
	Most  float64 `json:"most,omitempty"`  // our median, at most
	Least float64 `json:"least,omitempty"` // our median, at least
}

// Ratio says how many times as good as the peer's our median is; NaN without a
// peer's figures.
func (l Line) Ratio() float64 {
	ours, theirs := Median(l.Ours), Median(l.Theirs)
	if l.Rate {
		return ours / theirs
	}
	return theirs / ours
}

// Verdict says whether the goal is reached. known is false where there is no
// goal, or no figure to hold against it.
func (l Line) Verdict() (reached, known bool) {
	ours := Median(l.Ours)
	switch {
	case l.Goal.Ratio > 0:
		return l.Ratio() >= l.Goal.Ratio, !math.IsNaN(l.Ratio())
	case l.Goal.Most > 0:
		return ours <= l.Goal.Most, !math.IsNaN(ours)
	case l.Goal.Least > 0:
		return ours >= l.Goal.Least, !math.IsNaN(ours)
	}
	return false, false
}

// Median returns the middle of the values, or the mean of the two in the middle;
// NaN if there are none.
func Median(values []float64) float64 {
	s, n := slices.Sorted(slices.Values(values)), len(values)
	if n == 0 {
		return math.NaN()
	}
	return (s[(n-1)/2] + s[n/2]) / 2
}

// Rounds says how often each contender is to work. The test is skipped where
// nobody asked for a measurement.
func Rounds(t testing.TB) int {
	t.Helper()
	text := os.Getenv("MEDPROBE_ROUNDS")
	needs.Asked(t, text != "", "make bench")
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("MEDPROBE_ROUNDS = %q: want a number of rounds, such as 5", text)
	}
	return n
}

// Measured says whether a measurement was asked for, for tests that then do more.
func Measured() bool { return os.Getenv("MEDPROBE_ROUNDS") != "" }

// Take lets the contenders work one after the other, round after round, and
// returns their figures in their order. A first round, in which libraries are
// loaded and room is made, does not count. A contender that is nil has no figures.
func Take(rounds int, contenders ...func() float64) [][]float64 {
	figures := make([][]float64, len(contenders))
	for round := range rounds + 1 {
		for k, work := range contenders {
			if work == nil {
				continue
			}
			if f := work(); round > 0 {
				figures[k] = append(figures[k], f)
			}
		}
	}
	return figures
}

// Seconds makes a contender of work: how long it takes. An error ends the test.
func Seconds(t testing.TB, work func() error) func() float64 {
	return func() float64 {
		start := time.Now()
		err := work()
		seconds := time.Since(start).Seconds()
		if err != nil {
			t.Fatal(err)
		}
		return seconds
	}
}

// Note logs the lines and adds them, as JSON, to the file MEDPROBE_LINES if that
// is set.
func Note(t testing.TB, lines ...Line) {
	t.Helper()
	var all []byte
	for _, l := range lines {
		if ratio := l.Ratio(); math.IsNaN(ratio) { // no peer
			t.Logf("%s: %.4g %s", l.Work, Median(l.Ours), l.Unit)
		} else {
			t.Logf("%s: %.4g %s, ratio %.3g", l.Work, Median(l.Ours), l.Unit, ratio)
		}
		text, err := json.Marshal(l)
		if err != nil {
			t.Fatal(err)
		}
		all = append(append(all, text...), '\n')
	}
	name := os.Getenv("MEDPROBE_LINES")
	if name == "" {
		return
	}
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Write(all)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}
