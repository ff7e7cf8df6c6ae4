package main

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/medprobe/medprobe/datasets"
	"github.com/medprobe/medprobe/evaluate"
	"github.com/medprobe/medprobe/experiment"
	"github.com/medprobe/medprobe/internal/dicom"
	"github.com/medprobe/medprobe/internal/needs"
	"github.com/medprobe/medprobe/internal/texttab"
	"github.com/medprobe/medprobe/registry"
	"github.com/parquet-go/parquet-go"
)

// Everything that needs no flag needs no network: not even the machine's own.
func TestRunWithoutANetwork(t *testing.T) {
	t.Parallel()
	alone := []string{"unshare", "-r", "-n"}
	if os.Geteuid() == 0 {
		alone = []string{"unshare", "-n"}
	}
	needs.Granted(t, "namespace", exec.Command(alone[0], append(alone[1:], "true")...).Run())
	m := newMachine(t)
	yaml := filepath.Join(m.home, "experiment.yaml")
	text := "data: {format: csv, path: " + filepath.Join(phantoms(t), "labels.csv") + ", labels: [effusion]}\nencoder: demo\nheads: [logistic]\ncurve: {shots: [2], draws: 1}\n"
	if err := os.WriteFile(yaml, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	done := 0
	commands := [][]string{
		{"doctor"}, {"run", yaml, "--out", "run"}, {"registry", "--registry", "registry", "add", "cxr", "--run", "run", "--head", "logistic"},
		{"registry", "--registry", "registry", "export", "cxr", "--format", "oci", "--out", "oci"}, {"search", "--encoder", "demo", "--text", "effusion"}, {"gate", "--baseline", "run", "--candidate", "run"},
	}
	for _, args := range commands {
		cmd := m.command()
		cmd.Path, _ = exec.LookPath(alone[0])
		cmd.Args = slices.Concat(alone, []string{m.program}, args)
		if text, code := m.run(cmd); code != exitOK {
			t.Errorf("%v without a network: exit %d, %s", args, code, text)
		} else {
			done++
		}
	}
	t.Logf("measured: %d of %d commands succeed in a namespace without a network", done, len(commands))
}

// Tables for people and for programs: the former keep a spreadsheet from computing.
func TestFormulasInTables(t *testing.T) {
	t.Parallel()
	texts := []string{`=HYPERLINK("http://x")`, "+1", "@SUM(A1)", "-2+3", "\tx", "\rx", "\x00=1", "\n=1"}
	var rows []evaluate.Prediction
	var picks []experiment.Pick
	for i, text := range texts {
		rows = append(rows, evaluate.Prediction{ID: text, Patient: text, Finding: text, Method: text, Score: -0.5, Probability: 0.5})
		picks = append(picks, experiment.Pick{Rank: i + 1, ID: text, Patient: text, StandsFor: 1})
	}
	dir := t.TempDir()
	var packed bytes.Buffer
	if err := parquet.Write(&packed, rows); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "predictions.parquet"), packed.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	tables := map[string]func(*bytes.Buffer) error{
		"predictions": func(b *bytes.Buffer) error { return writePredictions(b, dir) },
		"suggestions": func(b *bytes.Buffer) error { return writeSuggestions(b, &experiment.Suggestions{Samples: picks}) },
	}
	cells := 0
	for name, write := range tables {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			t.Fatal(err)
		}
		got, err := csv.NewReader(&b).ReadAll()
		if err != nil || len(got) != len(texts)+1 {
			t.Fatalf("%s: %d rows, %v", name, len(got), err)
		}
		for _, row := range got[1:] {
			for _, text := range row {
				if text != "-0.5" && text != "" && strings.ContainsRune("=+-@\t\r\n\x00", rune(text[0])) {
					t.Errorf("%s: a spreadsheet would compute %q", name, text)
				}
				cells++
			}
			if name == "predictions" && !slices.Contains(row, "-0.5") {
				t.Errorf("%s: a number is no number any more: %q", name, row)
			}
		}
	}
	var whole bytes.Buffer
	if err := writePredictionsAs(&whole, "x.parquet", dir); err != nil || !bytes.Equal(whole.Bytes(), packed.Bytes()) {
		t.Errorf("the table for programs was changed (%v)", err)
	}
	d := &datasets.Dataset{Samples: []datasets.Sample{{ID: texts[0]}}}
	if err := datasets.WriteDivision(filepath.Join(dir, "split.csv"), d, datasets.Division{Parts: []string{"train"}}); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "split.csv")); err != nil || !strings.Contains(string(text), "\"=HYPERLINK(\"\"http://x\"\")\"") {
		t.Errorf("the split that a program reads back: %s, %v", text, err)
	}
	t.Logf("measured: %d cells of %d tables for people, 0 formulas; Parquet and split tables as they are", cells, len(tables))
}

// Real files of real modalities: what they call the patient is nowhere in what leaves.
func TestNothingNamesARealPatient(t *testing.T) {
	needs.Time(t)
	t.Parallel()
	data, dir, m := needs.Data(t, "dicom"), phantoms(t), newMachine(t)
	labels, err := os.ReadFile(filepath.Join(dir, "labels.csv"))
	if err != nil {
		t.Fatal(err)
	}
	header := strings.Split(strings.TrimSpace(strings.SplitN(string(labels), "\n", 2)[0]), ",")
	secrets, rows := []string{}, strings.Builder{}
	files, err := filepath.Glob(filepath.Join(data, "*.dcm"))
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for i, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		who := []string{"", ""}
		if f, err := dicom.Parse(content); err == nil {
			who = []string{f.Text(0x00100010), f.Text(dicom.PatientID)}
		}
		name := strings.NewReplacer("/", "_", "\"", "_").Replace(who[0]) + "." + filepath.Base(file)
		for _, secret := range append(who, filepath.Base(file)) {
			if len(secret) > 3 && !slices.Contains(secrets, secret) {
				secrets = append(secrets, secret)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
		for k, column := range header {
			value := map[string]string{"path": name, "patient": who[0] + who[1], "split": []string{"train", "test"}[i%2]}[column]
			if value == "" && column != "path" && column != "patient" {
				value = fmt.Sprint(i / 2 % 2)
			}
			rows.WriteString([]string{"", ","}[min(k, 1)] + `"` + value + `"`)
		}
		rows.WriteString("\n")
	}
	for name, text := range map[string]string{
		filepath.Join(dir, "labels.csv"): string(labels) + rows.String(), filepath.Join(m.home, "key"): "a secret of more than sixteen bytes",
		filepath.Join(m.home, "experiment.yaml"): "data: {format: csv, path: " + filepath.Join(dir, "labels.csv") + ", labels: [effusion]}\nencoder: demo\nheads: [logistic]\nleakage: drop\nmax_failures: 50%\ncurve: {shots: [2], draws: 1}\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	said := map[string]string{"what run prints": m.must("run", "experiment.yaml", "--out", "run", "--id-key", "key")}
	m.must("registry", "--registry", "registry", "add", "cxr", "--run", "run", "--head", "logistic")
	if err := os.Mkdir(filepath.Join(m.home, "out"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, format := range registry.Formats() {
		m.must("registry", "--registry", "registry", "export", "cxr", "--format", format, "--out", filepath.Join("out", format))
	}
	m.must("report", "run", "--markdown", "report.md")
	for _, place := range []string{"run", "registry", "out", "report.md"} {
		err := filepath.WalkDir(filepath.Join(m.home, place), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			content, err := os.ReadFile(path)
			said[path] = string(content)
			if strings.HasSuffix(path, ".parquet") { // what is packed is to be looked into
				said[path] = unpacked(t, path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for where, text := range said {
		for _, secret := range append(secrets, dir) {
			if strings.Contains(text, secret) {
				t.Errorf("%s holds %q", where, secret)
			}
		}
	}
	if len(secrets) < 20 || len(said) < 20 {
		t.Errorf("%d names were looked for in %d files", len(secrets), len(said))
	}
	t.Logf("measured: %d names, ids and file names of %d DICOM files looked for in %d files of a run, a registry and %d exports: 0 found", len(secrets), len(files), len(said), len(registry.Formats()))
}

// unpacked returns a Parquet table's texts.
func unpacked(t testing.TB, path string) string {
	t.Helper()
	table, err := texttab.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	all, err := csv.NewReader(table).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(all)
}

// Tables of scores that say nothing, or lie: an error or a verdict, never exit 0.
func TestLyingNumbersNeverPassTheGate(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	table := func(label func(i int) string, score func(i int) string) string {
		var b strings.Builder
		b.WriteString("id,y,s\n")
		for i := range 200 {
			fmt.Fprintf(&b, "i%d,%s,%s\n", i, label(i), score(i))
		}
		return b.String()
	}
	truth := func(i int) string { return fmt.Sprint(i % 2) }
	good := func(i int) string { return fmt.Sprint(float64(i%2) + float64(i%7)/6) }
	always := func(text string) func(int) string { return func(int) string { return text } }
	once := func(text string, or func(int) string) func(int) string {
		return func(i int) string {
			if i == 11 {
				return text
			}
			return or(i)
		}
	}
	if err := os.WriteFile(filepath.Join(m.home, "good.csv"), []byte(table(truth, good)), 0o600); err != nil {
		t.Fatal(err)
	}
	lies := map[string]string{
		"a score NaN": table(truth, once("NaN", good)), "all scores NaN": table(truth, always("nan")), "a score empty": table(truth, once("", good)),
		"a score of words": table(truth, once("high", good)), "all scores equal": table(truth, always("0.5")), "all infinite": table(truth, always("inf")), "all 1e308": table(truth, always("1e308")),
		"beyond float64": table(truth, always("1e999")), "a label nan": table(once("nan", truth), good), "a label 2": table(once("2", truth), good), "all labels nan": table(always("nan"), good),
		"one class": table(always("1"), good), "no labels": table(always(""), good), "no rows": "id,y,s\n", "nothing": "",
	}
	for name, text := range lies {
		if err := os.WriteFile(filepath.Join(m.home, "lie.csv"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		said, code := m.run(m.command("gate", "--baseline-scores", "good.csv", "--candidate-scores", "lie.csv", "--id", "id", "--label", "y", "--score", "s", "--on-inconclusive", "fail"))
		if code == exitOK || code < 0 {
			t.Errorf("%s: exit %d: %s", name, code, said)
		}
	}
	if said, code := m.run(m.command("gate", "--baseline-scores", "good.csv", "--candidate-scores", "good.csv", "--id", "id", "--label", "y", "--score", "s")); code != exitOK {
		t.Errorf("the truth: exit %d: %s", code, said)
	}
	t.Logf("measured: %d of %d tables that lie do not pass", len(lies), len(lies))
}
