package evaluate

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const table = "\ufeffid,patient,site,y,s,t\n" +
	"a,p1,x,1,0.9,inf\nb,p1,x,0,0.2,-Inf\nc,p2,y,,,\nd,p2,y,1,0.7,3e400\n\"e,e\",p3,y,0.0,0.8,-2\n"

var tableColumns = ScoreColumns{File: "S.csv", Labels: []string{"y"}, Scores: []string{"s", "t"}, ID: "id", Group: "patient", Stratum: "site"}

func TestScoresAreReadAndWrittenBack(t *testing.T) {
	t.Parallel()
	s, err := ReadScores(strings.NewReader(table), tableColumns)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(s.Rows, s.IDs, s.Groups, s.Strata, s.Labels[0].Values); got != "5 [a b c d e,e] [p1 p1 p2 p2 p3] [x x y y y] [1 0 -1 1 0]" {
		t.Errorf("read %s", got)
	}
	if v := s.Labels[0].Scores[1].Values; !math.IsInf(v[0], 1) || !math.IsInf(v[1], -1) || !math.IsNaN(v[2]) || !math.IsInf(v[3], 1) || v[4] != -2 {
		t.Errorf("scores %v", v)
	}
	var out bytes.Buffer
	if err := writeScores(&out, s); err != nil {
		t.Fatal(err)
	}
	again, err := ReadScores(bytes.NewReader(out.Bytes()), tableColumns)
	if err != nil {
		t.Fatalf("%v in\n%s", err, out.Bytes())
	}
	var second bytes.Buffer
	if err := writeScores(&second, again); err != nil {
		t.Fatal(err)
	}
	if out.String() != second.String() {
		t.Errorf("written, read and written again:\n%s\n%s", out.String(), second.String())
	}
}

func TestFaultsOfScoresAreNamed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, table string
		columns     ScoreColumns
		want        []string
	}{
		{"label", "y,s\n1,2\n2,3\nyes,1\n", ScoreColumns{File: "S.csv", Labels: []string{"y"}, Scores: []string{"s"}},
			[]string{`evaluate: S.csv:3: y = "2": want 1, 0 or empty`, `S.csv:4: y = "yes"`}},
		{"score", "y,s\n1,nan\n0,\n1,1e\n", ScoreColumns{Labels: []string{"y"}, Scores: []string{"s"}},
			[]string{`scores:2: s = "nan": want a number`, `scores:3: s = "": want a number`, `scores:4: s = "1e"`}},
		{"missing column", "y,score\n1,2\n", ScoreColumns{Labels: []string{"y"}, Scores: []string{"scroe"}},
			[]string{`unknown column "scroe"; did you mean "score"?`}},
		{"column twice", "y,s,s\n1,2,3\n", ScoreColumns{Labels: []string{"y"}, Scores: []string{"s"}},
			[]string{`column "s" stands twice`}},
		{"group", "y,s,g\n1,2,\n", ScoreColumns{Labels: []string{"y"}, Scores: []string{"s"}, Group: "g"},
			[]string{`scores:2: g = "": want a name`}},
		{"id twice", "y,s,i\n1,2,a\n0,1,a\n", ScoreColumns{Labels: []string{"y"}, Scores: []string{"s"}, ID: "i"},
			[]string{`scores:3: i = "a": want an id of its own; line 2 has the same`}},
		{"short row", "y,s\n1\n", ScoreColumns{Labels: []string{"y"}, Scores: []string{"s"}}, []string{"line 2", "wrong number of fields"}},
		{"nothing", "", ScoreColumns{Labels: []string{"y"}, Scores: []string{"s"}}, []string{"scores: no header"}},
		{"no rows", "y,s\n", ScoreColumns{Labels: []string{"y"}, Scores: []string{"s"}}, []string{"no rows under the header"}},
		{"no label", "y,s\n1,2\n", ScoreColumns{Scores: []string{"s"}}, []string{"no label column was named"}},
		{"no score", "y,s\n1,2\n", ScoreColumns{Labels: []string{"y"}}, []string{`label "y": no score column was named`}},
		{"several labels without prefix", "y,z,s\n1,0,2\n", ScoreColumns{Labels: []string{"y", "z"}, Scores: []string{"s"}}, []string{"want a prefix"}},
		{"many faults", "y,s\n" + strings.Repeat("7,1\n", 30), ScoreColumns{Labels: []string{"y"}, Scores: []string{"s"}}, []string{"scores: and 10 more"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := ReadScores(strings.NewReader(c.table), c.columns)
			for _, want := range c.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("error %v, want %q", err, want)
				}
			}
		})
	}
}

func TestSummary(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("patient,edema,fracture,p_edema,p_fracture,q_edema,q_fracture\n")
	for i := range 200 {
		edema := (i / 2) % 2
		p := 0.5 + 0.3*math.Sin(float64(i*i)) + 0.15*float64(2*edema-1)
		fmt.Fprintf(&b, "p%d,%d,0,%.4f,%.4f,%.4f,1\n", i/2, edema, p, p/2, 3*p-2*float64(i%5))
	}
	b.WriteString("p0,,0,,0.5,,0.5\n")
	s, err := ReadScores(strings.NewReader(b.String()), ScoreColumns{Labels: []string{"edema", "fracture"}, Prefixes: []string{"p_", "q_"}, Group: "patient"})
	if err != nil {
		t.Fatal(err)
	}
	for _, bootstrap := range []*Bootstrap{nil, {Resamples: 200}} {
		sum, err := s.Summarize(t.Context(), SummaryOptions{Bootstrap: bootstrap})
		if err != nil {
			t.Fatal(err)
		}
		if len(sum.Scores) != 4 || len(sum.Differences) != 1 || sum.Unit != "patient" {
			t.Fatalf("%+v", sum)
		}
		p, q, fracture := sum.Scores[0], sum.Scores[1], sum.Scores[2]
		if p.N != 200 || p.Unknown != 1 || p.Positives != 100 || p.Units != 100 || p.Brier == nil || q.Brier != nil || q.AUC == nil {
			t.Errorf("p %+v\nq %+v", p, q)
		}
		within(t, "AUC", *p.AUC, allPairs(s.Labels[0].Scores[0].Values[:200], s.known(s.Labels[0]).labels), 1e-12)
		if fracture.AUC != nil || fracture.AveragePrecision != nil || fracture.Brier == nil || fracture.Warnings[0].Code != WarnOneClass {
			t.Errorf("one class: %+v", fracture)
		}
		d := sum.Differences[0]
		if d.A != "p_edema" || d.B != "q_edema" || d.Label != "edema" || d.Units != 100 || math.Abs(d.Value-(*p.AUC-*q.AUC)) > 1e-12 {
			t.Errorf("difference %+v", d)
		}
		if _, err := json.Marshal(sum); err != nil {
			t.Error(err)
		}
	}
}

func FuzzReadScores(f *testing.F) {
	for _, seed := range []string{table, "y,s\n1,nan\n", "", "y", "y,s\n\"", "id,patient,site,y,s,t\n,,,,,\n", "y,s\n1,0x1p-3\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ReadScores(strings.NewReader(text), tableColumns)
		if err != nil {
			return
		}
		sum, err := s.Summarize(t.Context(), SummaryOptions{})
		if err != nil {
			t.Fatalf("read, but not summarized: %v", err)
		}
		if _, err := json.Marshal(sum); err != nil {
			t.Fatal(err)
		}
		var first, second bytes.Buffer
		if err := writeScores(&first, s); err != nil {
			t.Fatal(err)
		}
		again, err := ReadScores(bytes.NewReader(first.Bytes()), tableColumns)
		if err != nil {
			t.Fatalf("written, but not read: %v", err)
		}
		if err := writeScores(&second, again); err != nil || first.String() != second.String() {
			t.Fatalf("%v: written, read and written again:\n%s\n%s", err, first.String(), second.String())
		}
	})
}

// writeScores writes a table as CSV that [ReadScores] reads back bit for bit.
// Columns are id, group and stratum where there are any, then each label with
// its scores; attributes are left out, as bands do not hold their numbers.
func writeScores(w io.Writer, s *Scores) error {
	table := csv.NewWriter(w)
	var header []string
	var fields []func(row int) string
	column := func(name string, field func(int) string) {
		if slices.Contains(header, name) {
			return // a score column that several labels share
		}
		header, fields = append(header, name), append(fields, field)
	}
	for _, names := range []struct {
		name, or string
		values   []string
	}{{s.id, "id", s.IDs}, {s.group, "group", s.Groups}, {s.stratum, "stratum", s.Strata}} {
		if names.values != nil {
			if names.name == "" {
				names.name = names.or
			}
			column(names.name, func(row int) string { return names.values[row] })
		}
	}
	for _, l := range s.Labels {
		column(l.Name, func(row int) string { return labelText(l.Values[row]) })
		for _, c := range l.Scores {
			column(c.Name, func(row int) string { return scoreText(c.Values[row]) })
		}
	}
	if err := table.Write(header); err != nil {
		return err
	}
	record := make([]string, len(fields))
	for row := range s.Rows {
		for k, field := range fields {
			record[k] = field(row)
		}
		if err := table.Write(record); err != nil {
			return err
		}
	}
	table.Flush()
	return table.Error()
}

func labelText(label int8) string {
	if label == Unknown {
		return ""
	}
	return strconv.Itoa(int(label))
}

func scoreText(score float64) string {
	if math.IsNaN(score) {
		return ""
	}
	return strconv.FormatFloat(score, 'g', -1, 64)
}
