package evaluate

import (
	"fmt"
	"testing"
)

// With few patients the mean over findings must not be surer than the one
// finding that makes it: here a second finding adds a difference of zero.
func TestMacroWithFewUnitsIsNotSurerThanItsFindings(t *testing.T) {
	t.Parallel()
	var labels []bool
	var groups []string
	var good, poor []float64
	for i := range 11 {
		labels, groups = append(labels, i%2 == 0), append(groups, fmt.Sprint("p", i))
		good, poor = append(good, float64(10-10*(i%2)+i%3)), append(poor, float64(i*7%11))
	}
	column := func(scores []float64) Column { return Column{Scores: scores, Labels: labels, Groups: groups} }
	alone, err := Compare(good, poor, labels, groups)
	if err != nil {
		t.Fatal(err)
	}
	both, err := MacroCompare([]Column{column(good), column(good)}, []Column{column(poor), column(good)})
	if err != nil {
		t.Fatal(err)
	}
	if both.P < alone.P || both.Difference.Low > alone.Difference.Low/2 {
		t.Errorf("mean: p %.3f, from %.3f; the finding: p %.3f, from %.3f", both.P, both.Difference.Low, alone.P, alone.Difference.Low)
	}
}
