package report

import (
	"bytes"
	_ "embed"
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/medprobe/medprobe/evaluate"
)

//go:embed compare.html
var compareText string

var compareTemplate = headed(compareText)

// sideBySide is runs as tables.
type sideBySide struct {
	Head     pageHead
	Title    string
	Names    []string
	Lead     string
	Notes    []string
	Tables   []compareTable
	Settings [][]string
	NotADevice,
	Synthetic string
}

// compareTable is one method in every run.
type compareTable struct {
	Title string
	headedTable
}

func newSideBySide(runs *evaluate.Runs) *sideBySide {
	c := plainCopy(reflect.ValueOf(runs)).Interface().(*evaluate.Runs)
	s := &sideBySide{NotADevice: notADevice}
	for k, run := range c.Runs {
		s.Names = append(s.Names, run.Name)
		if run.Title != "" && run.Title != run.Name {
			s.Names[k] += " (" + run.Title + ")"
		}
		if run.Synthetic {
			s.Synthetic = syntheticNote
		}
	}
	s.Title = "Runs side by side"
	s.Head = newHead(s.Title+" – medprobe report", stylesheet)
	s.Lead = fmt.Sprintf("AUC with %s interval as each report has it. Differences are to %s, paired on the same test samples and clustered by patient where patients are known, p adjusted over findings by Holm.", percent(evaluate.Level), c.Runs[0].Name)
	for _, method := range compareMethods(c) {
		s.Tables = append(s.Tables, newCompareTable(c, method))
	}
	s.Notes = unpairedNotes(c)
	for _, one := range c.Settings {
		s.Settings = append(s.Settings, append([]string{one.Name}, one.Values...))
	}
	return s
}

func compareMethods(c *evaluate.Runs) (names []string) {
	seen := map[string]bool{}
	for _, f := range c.Findings {
		for _, r := range f.Results {
			if !seen[r.Method] {
				seen[r.Method] = true
				names = append(names, r.Method)
			}
		}
	}
	return names
}

func newCompareTable(c *evaluate.Runs, method string) compareTable {
	t := compareTable{Title: capital(methodName(method))}
	t.Header = []string{"finding"}
	for k, run := range c.Runs {
		t.Header = append(t.Header, run.Name)
		if k > 0 {
			t.Header = append(t.Header, "difference", "p adjusted")
		}
	}
	for _, f := range c.Findings {
		row := []string{f.Name}
		for k := range c.Runs {
			row = append(row, resultCell(f, k, method))
			if k > 0 {
				row = append(row, differenceCells(f, k, method)...)
			}
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func resultCell(f evaluate.RunFinding, run int, method string) string {
	for _, r := range f.Results {
		if r.Run != run || r.Method != method {
			continue
		}
		if r.AUC == nil {
			return "not estimable"
		}
		return r.AUC.String()
	}
	return "–"
}

func differenceCells(f evaluate.RunFinding, run int, method string) []string {
	for _, d := range f.Differences {
		if d.Run != run || d.Method != method {
			continue
		}
		switch {
		case !d.Paired:
			return []string{"unpaired", "–"}
		case d.Difference == nil:
			return []string{"not estimable", "–"}
		}
		return []string{signed(d.Difference.Point) + " (" + signedInterval(*d.Difference) + ")", pValue(*d.AdjustedP)}
	}
	return []string{"–", "–"}
}

// unpairedNotes say once for each run and finding why nothing is paired.
func unpairedNotes(c *evaluate.Runs) []string {
	var notes []string
	seen := map[string]bool{}
	for _, f := range c.Findings {
		for _, d := range f.Differences {
			if d.Paired || len(d.Unpaired) == 0 {
				continue
			}
			note := fmt.Sprintf("%s, %s: %s. Other samples say other things: no difference, and no p.", f.Name, c.Runs[d.Run].Name, strings.Join(d.Unpaired, "; "))
			if !seen[note] {
				seen[note] = true
				notes = append(notes, note)
			}
		}
	}
	return notes
}

// CompareText writes runs side by side for a terminal, in at most 100 columns: each
// run after the first in tables of its own.
func CompareText(w io.Writer, runs *evaluate.Runs) error {
	s := newSideBySide(runs)
	var b strings.Builder
	b.WriteString(s.Title + "\n\n")
	for k, name := range s.Names {
		paragraph(&b, fmt.Sprintf("%d. %s", k+1, name))
	}
	if s.Synthetic != "" {
		paragraph(&b, s.Synthetic)
	}
	paragraph(&b, s.Lead)
	for _, t := range s.Tables {
		for k := 1; k < len(s.Names); k++ {
			at := 2 + 3*(k-1)
			fmt.Fprintf(&b, "\n%s: 1 and %d\n", clip(t.Title, 60), k+1)
			table := [][]string{{"finding", "1", fmt.Sprint(k + 1), "difference", "p adjusted"}}
			for _, row := range t.Rows {
				table = append(table, []string{row[0], row[1], row[at], row[at+1], row[at+2]})
			}
			writeTable(&b, table)
		}
	}
	if len(s.Notes) > 0 {
		b.WriteByte('\n')
		for _, note := range s.Notes {
			paragraph(&b, "- "+note)
		}
	}
	b.WriteString("\nSettings that differ\n")
	if len(s.Settings) == 0 {
		b.WriteString("  none\n")
	}
	for _, row := range s.Settings {
		paragraph(&b, "  "+clip(row[0], 60))
		for k, value := range row[1:] {
			if value == "" {
				value = "–"
			}
			paragraph(&b, fmt.Sprintf("    %d. %s", k+1, clip(value, 300)))
		}
	}
	b.WriteByte('\n')
	paragraph(&b, notADevice)
	_, err := io.WriteString(w, b.String())
	return err
}

// CompareMarkdown writes runs side by side as GitHub-flavoured Markdown, escaped as
// [Markdown] does.
func CompareMarkdown(w io.Writer, runs *evaluate.Runs) error {
	s := newSideBySide(runs)
	var b strings.Builder
	fmt.Fprintf(&b, "## %s\n\n", s.Title)
	if s.Synthetic != "" {
		fmt.Fprintf(&b, "> %s\n\n", s.Synthetic)
	}
	for _, name := range s.Names {
		fmt.Fprintf(&b, "- %s\n", markdownText(name))
	}
	fmt.Fprintf(&b, "\n%s\n\n", markdownText(s.Lead))
	for _, t := range s.Tables {
		fmt.Fprintf(&b, "%s:\n\n", markdownText(t.Title))
		markdownTable(&b, append([][]string{t.Header}, t.Rows...))
	}
	for _, note := range s.Notes {
		fmt.Fprintf(&b, "- %s\n", markdownText(note))
	}
	if len(s.Settings) > 0 {
		b.WriteString("\nSettings that differ:\n\n")
		markdownTable(&b, append([][]string{append([]string{"setting"}, runNames(runs)...)}, s.Settings...))
	}
	fmt.Fprintf(&b, "\n<sub>%s</sub>\n", notADevice)
	_, err := io.WriteString(w, b.String())
	return err
}

func runNames(runs *evaluate.Runs) (names []string) {
	for _, run := range runs.Runs {
		names = append(names, run.Name)
	}
	return names
}

// CompareHTML writes runs side by side as one page like that of [HTML], without a
// script.
func CompareHTML(w io.Writer, runs *evaluate.Runs) error {
	var b bytes.Buffer
	if err := compareTemplate.Execute(&b, newSideBySide(runs)); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	_, err := w.Write(b.Bytes())
	return err
}
