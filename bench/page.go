package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/medprobe/medprobe/internal/atomicfile"
	"github.com/medprobe/medprobe/internal/turns"
)

const sessionTitle = "Where the time goes: the commands of a session"

const sessionWords = `The commands of a first day, one after the other, on drawn radiographs of 400 patients and with the small encoder. The last column
says what a profile of the processor was about, from a twentieth of it on; with a large encoder nearly all of an embed is ONNX Runtime.

`

// simulations are the tables that have commands of their own, since they take
// hours.
const simulations = `## Simulations

They measure figures, not time; each table is written by its command.

| command | what | table |
|---|---|---|
| ` + "`make bench-gate`" + ` | false alarms and detections of the gate, beside a fixed tolerance | [gate.md](../evaluate/testdata/gate.md) |
| ` + "`make bench-coverage`" + ` | how often the intervals hold the truth | [coverage.md](coverage.md) |
| ` + "`make bench-suggest`" + ` | suggested labels beside random ones | [suggest.md](suggest.md) |
| ` + "`make bench-heads`" + ` | every kind of head at 1 to 64 labels a class | [heads](../experiment/testdata/heads/README.md) |
`

// page writes the figures of all groups.
func page(results []result) []byte {
	var b bytes.Buffer
	fmt.Fprint(&b, `# Benchmarks

Written by `+"`make bench`"+`; do not edit. Each figure is the median of some rounds, with the least and the greatest; short works
take more rounds than the group's, long ones fewer, and what has no spread was measured once. In a round medprobe and its peer do
the same work one after the other, on the same machine; a first round does not count. The ratio says how many times as good as the
peer's our median is. A goal is what was asked for before the code was written: a ratio, or the most or the least of a figure.

`)
	fmt.Fprint(&b, summary(results))
	for _, r := range results {
		fmt.Fprintf(&b, "\n## %s\n\n", title(r.Group))
		if len(r.Lines) == 0 {
			fmt.Fprintf(&b, "Not measured: `make bench-%s`, then `go run ./bench -write`.\n", r.Group)
			continue
		}
		if r.Group == "session" {
			fmt.Fprint(&b, sessionWords)
		}
		fmt.Fprintf(&b, "%s%s\n\n%s", rounds(r.Rounds), loaded(r), table(r.Lines))
	}
	fmt.Fprintf(&b, "\n%s", simulations)
	for i, row := range machines(results) {
		if i == 0 {
			b.WriteString("\n## The machine\n\n| | |\n|---|---|\n")
		}
		fmt.Fprintf(&b, "| %s | %s |\n", row[0], row[1])
	}
	return b.Bytes()
}

// summary counts the goals, and names those that are missed.
func summary(results []result) string {
	reached, unknown := 0, 0
	var missed []string
	for _, r := range results {
		for _, l := range r.Lines {
			if l.Goal == (turns.Goal{}) {
				continue
			}
			switch ok, known := l.Verdict(); {
			case !known:
				unknown++
			case ok:
				reached++
			default:
				missed = append(missed, fmt.Sprintf("- %s: %s, the goal is %s", l.Work, outcome(l), goal(l)))
			}
		}
	}
	if reached+unknown+len(missed) == 0 {
		return "No goal is measured yet.\n"
	}
	text := fmt.Sprintf("Of %d goals %d are reached and %d missed", reached+len(missed)+unknown, reached, len(missed))
	if unknown > 0 {
		text += fmt.Sprintf("; of %d it is not known, since their peer is not on this machine", unknown)
	}
	if len(missed) > 0 {
		return text + ":\n\n" + strings.Join(missed, "\n") + "\n"
	}
	return text + ".\n"
}

// outcome is the figure that is held against the goal.
func outcome(l turns.Line) string {
	if l.Goal.Ratio > 0 {
		return fmt.Sprintf("%s× of %s", figure(l.Ratio()), l.Peer)
	}
	return figure(turns.Median(l.Ours)) + " " + l.Unit
}

func goal(l turns.Line) string {
	switch {
	case l.Goal.Ratio > 0:
		return figure(l.Goal.Ratio) + "×"
	case l.Goal.Most > 0:
		return "at most " + figure(l.Goal.Most) + " " + l.Unit
	case l.Goal.Least > 0:
		return "at least " + figure(l.Goal.Least) + " " + l.Unit
	}
	return ""
}

// table writes the lines as Markdown. Columns that none of them fills are left
// out.
func table(lines []turns.Line) string {
	peers := slices.ContainsFunc(lines, func(l turns.Line) bool { return l.Peer != "" })
	goals := slices.ContainsFunc(lines, func(l turns.Line) bool { return l.Goal != (turns.Goal{}) })
	head := []string{"work", "medprobe"}
	if peers {
		head = append(head, "peer", "its figure", "ratio")
	}
	if goals {
		head = append(head, "goal", "")
	}
	remarks := slices.ContainsFunc(lines, func(l turns.Line) bool { return l.Remark != "" })
	if remarks {
		head = append(head, "processor time")
	}
	rows := [][]string{head, slices.Repeat([]string{"---"}, len(head))}
	for _, l := range lines {
		row := []string{l.Work, spread(l.Ours, l.Unit)}
		if peers {
			row = append(row, l.Peer, spread(l.Theirs, l.Unit), ratio(l))
		}
		if goals {
			row = append(row, goal(l), verdict(l))
		}
		if remarks {
			row = append(row, l.Remark)
		}
		rows = append(rows, row)
	}
	var b strings.Builder
	for _, row := range rows {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
	}
	return b.String()
}

func verdict(l turns.Line) string {
	reached, known := l.Verdict()
	switch {
	case l.Goal == (turns.Goal{}):
		return ""
	case !known:
		return "not known"
	case reached:
		return "reached"
	}
	return "**missed**"
}

func ratio(l turns.Line) string {
	if r := l.Ratio(); !math.IsNaN(r) {
		return figure(r) + "×"
	}
	return ""
}

// spread writes the median with the least and the greatest.
func spread(values []float64, unit string) string {
	switch len(values) {
	case 0:
		return ""
	case 1:
		return figure(values[0]) + " " + unit
	}
	return fmt.Sprintf("%s %s (%s–%s)", figure(turns.Median(values)), unit, figure(slices.Min(values)), figure(slices.Max(values)))
}

// figure writes three digits of a figure, and all before the point.
func figure(v float64) string {
	if v >= 1000 {
		text := strconv.FormatFloat(v, 'f', 0, 64)
		for at := len(text) - 3; at > 0; at -= 3 {
			text = text[:at] + "," + text[at:]
		}
		return text
	}
	places := 0
	for limit := 100.0; v < limit && places < 5; limit /= 10 {
		places++
	}
	text := strconv.FormatFloat(v, 'f', places, 64)
	if places > 0 {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return text
}

func rounds(n int) string {
	if n == 1 {
		return "One round (for trying: no spread, and no figure to go by)"
	}
	return fmt.Sprintf("%d rounds", n)
}

// loaded warns where the machine had other work.
func loaded(r result) string {
	busy, err := strconv.ParseFloat(r.Load, 64)
	if err != nil || busy < 0.5*float64(r.Machine.Cores) {
		return "."
	}
	return fmt.Sprintf(", beside other work: %s processes wanted the %d processors before it began.", r.Load, r.Machine.Cores)
}

func title(name string) string {
	return groups[slices.IndexFunc(groups, func(g group) bool { return g.name == name })].title
}

// machines lists what the figures depend on; what differs between groups is named
// with each value.
func machines(results []result) [][2]string {
	rows := [][2]string{}
	for _, f := range []struct {
		name string
		of   func(machine) string
	}{
		{"processor", func(m machine) string { return fmt.Sprintf("%s, %d cores", m.CPU, m.Cores) }},
		{"memory", func(m machine) string { return m.Memory }},
		{"vector instructions", func(m machine) string { return m.Vector }},
		{"system", func(m machine) string { return m.System }},
		{"Go", func(m machine) string { return m.Go }},
		{"ONNX Runtime", func(m machine) string { return m.ONNXRuntime }},
		{"peers", func(m machine) string { return m.Peers }},
		{"commit", func(m machine) string { return m.Commit }},
	} {
		var values []string
		for _, r := range results {
			if v := f.of(r.Machine); v != "" && len(r.Lines) > 0 && !slices.Contains(values, v) {
				values = append(values, v)
			}
		}
		rows = append(rows, [2]string{f.name, strings.Join(values, "; ")})
	}
	if len(rows[0][1]) == 0 {
		return nil
	}
	minutes := 0.0
	for _, r := range results {
		minutes += r.Minutes
	}
	return append(rows, [2]string{"the whole took", fmt.Sprintf("%.0f minutes", minutes)})
}

func (r result) write(folder string) error {
	text, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	return atomicfile.WriteBytes(filepath.Join(folder, r.Group+".json"), append(text, '\n'))
}

func read(folder, name string) (result, error) {
	file := filepath.Join(folder, name+".json")
	text, err := os.ReadFile(file)
	if err != nil {
		return result{}, err
	}
	var r result
	if err := json.Unmarshal(text, &r); err != nil {
		return result{}, fmt.Errorf("%s: %w; remove it", file, err)
	}
	return r, nil
}

// readLines reads what the tests noted; nothing where they noted none.
func readLines(file string) ([]turns.Line, error) {
	f, err := os.Open(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var lines []turns.Line
	for s := bufio.NewScanner(f); s.Scan(); {
		var l turns.Line
		if err := json.Unmarshal(s.Bytes(), &l); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, len(lines)+1, err)
		}
		lines = append(lines, l)
	}
	return lines, nil
}
