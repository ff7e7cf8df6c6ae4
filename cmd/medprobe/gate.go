package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/medprobe/medprobe/evaluate"
	"github.com/medprobe/medprobe/internal/atomicfile"
	"github.com/medprobe/medprobe/internal/near"
	"github.com/medprobe/medprobe/internal/runmanifest"
	"github.com/medprobe/medprobe/registry"
	"github.com/medprobe/medprobe/report"
	"github.com/spf13/cobra"
)

// verdictError ends the process with a gate's exit code. What there is to say has
// been said.
type verdictError struct{ verdict evaluate.Verdict }

func (e *verdictError) Error() string { return "gate: " + string(e.verdict) }

// code is the exit code of a verdict that lets nothing through.
func (e *verdictError) code() int {
	return map[evaluate.Verdict]int{evaluate.Fail: exitFailed, evaluate.Inconclusive: exitInconclusive, evaluate.Incomparable: exitIncomparable}[e.verdict]
}

// gateFlags are what a gate is told.
type gateFlags struct {
	baseline, candidate             string
	baselineScores, candidateScores string
	columns                         evaluate.ScoreColumns
	head                            string
	rules                           evaluate.GateRules
	allow                           []string
	onInconclusive                  string
	json, junit, markdown           string
	openmetrics, benchmark          string
	github                          bool
}

func (s *settings) gateCommand() *cobra.Command {
	f := gateFlags{rules: evaluate.DefaultGateRules()}
	cmd := &cobra.Command{
		Use:   "gate --baseline REPORT --candidate REPORT",
		Short: "Decide whether a candidate is worse than a baseline",
		Long: `Gate compares the AUCs of two heads on the same test samples: paired, clustered by
patient, adjusted over the labels by Holm.

  PASS          the interval of every difference lies above -margin
  FAIL          of one label it lies below 0, and the drop above min-effect
  INCONCLUSIVE  neither; it says how many patients would settle it
  INCOMPARABLE  samples, labels, encoder or preprocessing differ

A REPORT is the folder of a run or its report.json, git:REVISION:PATH of one in
the repository's history, or registry:NAME@VERSION or @ALIAS; or both sides are
tables of scores.

Exit codes: 0 pass (and inconclusive, unless --on-inconclusive fail), 1 error,
2 usage, 3 failed, 4 inconclusive, 5 incomparable or no baseline.`,
		Example: `  medprobe gate --baseline main/run --candidate run --junit gate.xml
  medprobe gate --baseline registry:cxr@champion --candidate run --github
  medprobe gate --baseline-scores a.csv --candidate-scores b.csv --id id --label y --score s --group patient`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(cmd); err != nil {
				return err
			}
			g, err := s.gate(cmd.Context(), &f)
			if err != nil {
				return err
			}
			if err := s.showGate(g, &f); err != nil {
				return err
			}
			if g.Verdict == evaluate.Pass || g.Verdict == evaluate.Inconclusive && f.onInconclusive == "warn" {
				return nil
			}
			return &verdictError{g.Verdict}
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.baseline, "baseline", "", "what to compare with: a run, git:REVISION:PATH or registry:NAME@ALIAS")
	flags.StringVar(&f.candidate, "candidate", "", "what may be worse, named in the same ways")
	flags.StringVar(&f.baselineScores, "baseline-scores", "", "table of the baseline's scores, CSV or Parquet")
	flags.StringVar(&f.candidateScores, "candidate-scores", "", "table of the candidate's scores")
	flags.StringVar(&f.columns.ID, "id", "", "column of sample ids, in both tables")
	flags.StringArrayVar(&f.columns.Labels, "label", nil, "column of labels; may be repeated")
	flags.StringArrayVar(&f.columns.Scores, "score", nil, "column of scores")
	flags.StringArrayVar(&f.columns.Prefixes, "score-prefix", nil, "prefix of the score columns, where there are several labels")
	flags.StringVar(&f.columns.Group, "group", "", "column of patients")
	flags.StringVar(&f.head, "head", "", "which head of the runs (default: linear-probe, or the only one)")
	flags.Float64Var(&f.rules.Margin, "margin", f.rules.Margin, "drop in AUC that is borne")
	flags.Float64Var(&f.rules.MinEffect, "min-effect", f.rules.MinEffect, "least drop in AUC that fails")
	flags.Float64Var(&f.rules.Alpha, "alpha", f.rules.Alpha, "share of false alarms; intervals are at level 1 − alpha")
	flags.StringSliceVar(&f.allow, "allow", nil, "what may differ: "+strings.Join(evaluate.Allowances(), ", "))
	flags.StringVar(&f.onInconclusive, "on-inconclusive", "warn", "warn, or fail with exit code 4")
	flags.StringVar(&f.json, "json", "", "write the decision as JSON to a file; - is standard output, instead of the table")
	flags.StringVar(&f.junit, "junit", "", "write it as JUnit XML")
	flags.StringVar(&f.markdown, "markdown", "", "write it as a comment for a pull request")
	flags.StringVar(&f.openmetrics, "openmetrics", "", "write it as OpenMetrics")
	flags.StringVar(&f.benchmark, "benchmark-json", "", "write the candidate's AUCs for github-action-benchmark (customBiggerIsBetter)")
	flags.BoolVar(&f.github, "github", false, "print GitHub's annotations and add to $GITHUB_STEP_SUMMARY")
	return cmd
}

// check refuses flags that do not fit together.
func (f *gateFlags) check(cmd *cobra.Command) error {
	tables := f.baselineScores != "" || f.candidateScores != ""
	switch {
	case tables && (f.baseline != "" || f.candidate != ""):
		return usagef(cmd, "want --baseline and --candidate, or --baseline-scores and --candidate-scores, not both")
	case tables && (f.baselineScores == "" || f.candidateScores == ""):
		return usagef(cmd, "want both --baseline-scores and --candidate-scores")
	case tables && (f.columns.ID == "" || len(f.columns.Labels) == 0 || len(f.columns.Scores)+len(f.columns.Prefixes) != 1):
		return usagef(cmd, "tables of scores: want --id, --label and --score, or several --label and --score-prefix")
	case tables && len(f.columns.Labels) > 1 && len(f.columns.Prefixes) == 0:
		return usagef(cmd, "several labels: want a prefix of the score columns, such as --score-prefix p_")
	case !tables && f.baseline == "":
		return usagef(cmd, "--baseline is missing; name a run, git:REVISION:PATH or registry:NAME@ALIAS")
	case !tables && f.candidate == "":
		return usagef(cmd, "--candidate is missing; name a run or registry:NAME@VERSION")
	}
	if err := f.rules.Validate(); err != nil {
		return usagef(cmd, "%w", err)
	}
	for _, allowed := range f.allow {
		if err := near.Check("--allow", allowed, evaluate.Allowances()); err != nil {
			return usagef(cmd, "%w", err)
		}
	}
	if err := near.Check("--on-inconclusive", f.onInconclusive, []string{"warn", "fail"}); err != nil {
		return usagef(cmd, "%w", err)
	}
	return cmp.Or(checkOut(f.json, jsonEndings), checkOut(f.junit, []string{".xml"}), checkOut(f.markdown, proseEndings),
		checkOut(f.openmetrics, []string{".txt"}), checkOut(f.benchmark, jsonEndings))
}

// gate loads both sides and compares them.
func (s *settings) gate(ctx context.Context, f *gateFlags) (*evaluate.Gate, error) {
	baseline, err := s.gateSide(ctx, f, f.baseline, f.baselineScores)
	var g *evaluate.Gate
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, registry.ErrNotFound) || errors.Is(err, registry.ErrNotCarried) {
		g, err = evaluate.NewIncomparable(f.rules, "no baseline: "+err.Error()), nil
	}
	if err != nil {
		return nil, err
	}
	if g == nil {
		candidate, err := s.gateSide(ctx, f, f.candidate, f.candidateScores)
		if err != nil {
			return nil, err
		}
		if g, err = s.decide(ctx, baseline, candidate, f.rules, f.allow); err != nil {
			return nil, err
		}
	}
	g.Baseline, g.Candidate = cmp.Or(f.baseline, f.baselineScores), cmp.Or(f.candidate, f.candidateScores)
	g.Allowed = f.allow
	return g, nil
}

// side is one side of a gate, and whether its ids are hidden.
type side struct {
	evaluate.Side
	hidden bool
}

// decide matches two sides and decides, or says why they cannot be compared. The
// first samples that differ are named on standard error alone.
func (s *settings) decide(ctx context.Context, baseline, candidate side, rules evaluate.GateRules, allow []string) (*evaluate.Gate, error) {
	if baseline.hidden != candidate.hidden {
		open := &candidate
		if candidate.hidden {
			open = &baseline
		}
		err := s.usingRegistry(ctx, func(r *registry.Registry) error {
			rows := slices.Clone(open.Rows)
			for i := range rows {
				rows[i].ID, rows[i].Patient = r.Pseudonym(rows[i].ID), r.Pseudonym(rows[i].Patient)
			}
			open.Rows = rows
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	labels, differences, examples, err := evaluate.Match(baseline.Side, candidate.Side, allow)
	if err != nil {
		return nil, err
	}
	for _, example := range examples {
		s.note("%s", example)
	}
	if len(differences) > 0 {
		return evaluate.NewIncomparable(rules, differences...), nil
	}
	return evaluate.Decide(labels, rules)
}

// gateSide loads what a flag names.
func (s *settings) gateSide(ctx context.Context, f *gateFlags, name, table string) (side, error) {
	if table != "" {
		columns := f.columns
		columns.File = table
		scores, err := readScores(columns)
		if err != nil {
			return side{}, err
		}
		return side{Side: scores.Side(table)}, nil
	}
	if ref, ok := strings.CutPrefix(name, "registry:"); ok {
		return s.registrySide(ctx, ref)
	}
	read, err := gateFiles(ctx, name)
	if err != nil {
		return side{}, err
	}
	return runSide(name, f.head, read)
}

func (s *settings) registrySide(ctx context.Context, name string) (side, error) {
	ref, err := registry.ParseReference(name)
	if err != nil {
		return side{}, err
	}
	var found side
	err = s.usingVersion(ctx, ref, func(r *registry.Registry, v *registry.Version) error {
		found, err = versionSide(r, v)
		return err
	})
	return found, err
}

func versionSide(r *registry.Registry, v *registry.Version) (side, error) {
	rows, err := r.Predictions(v)
	l := &v.Document.Lineage
	return side{hidden: true, Side: evaluate.Side{
		Name: v.Reference().String(), Encoder: l.Encoder.Fingerprint, Preprocess: l.Encoder.PreprocessFingerprint, Unit: l.Dataset.Unit, Rows: rows,
	}}, err
}

// runSide reads a run's report and the predictions of one of its heads. read
// returns the files of its folder.
func runSide(name, head string, read func(string) ([]byte, error)) (side, error) {
	text, err := read("report.json")
	if err != nil {
		return side{}, err
	}
	r, err := evaluate.ReadReport(bytes.NewReader(text))
	if err != nil {
		return side{}, fmt.Errorf("%s: %w", name, err)
	}
	table, err := read("predictions.parquet")
	if errors.Is(err, fs.ErrNotExist) {
		return side{}, fmt.Errorf("%s: no predictions.parquet beside its report: a paired comparison needs the scores of every sample; keep the file with the report", name)
	} else if err != nil {
		return side{}, err
	}
	if err := checkManifest(read, map[string][]byte{"report.json": text, "predictions.parquet": table}); err != nil {
		return side{}, fmt.Errorf("%s: %w", name, err)
	}
	rows, err := evaluate.ReadPredictions(bytes.NewReader(table), int64(len(table)))
	if err != nil {
		return side{}, fmt.Errorf("%s: %w", name, err)
	}
	if head, err = gateHead(rows, head); err != nil {
		return side{}, fmt.Errorf("%s: %w", name, err)
	}
	rows = slices.DeleteFunc(rows, func(p evaluate.Prediction) bool { return p.Method != head })
	return side{Side: evaluate.Side{
		Name: name, Encoder: r.Encoder.Fingerprint, Preprocess: r.Encoder.PreprocessFingerprint, Unit: r.Dataset.Unit, Rows: rows,
	}}, nil
}

// checkManifest compares files with the digests in the run's manifest, where there
// is one.
func checkManifest(read func(string) ([]byte, error), files map[string][]byte) error {
	text, err := read(runmanifest.File)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	m, err := runmanifest.Parse(text)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := m.Check(name, files[name]); err != nil {
			return err
		}
	}
	return nil
}

// gateHead returns the method to compare: the one named, or linear-probe, or the
// only one besides zero-shot.
func gateHead(rows []evaluate.Prediction, head string) (string, error) {
	var methods []string
	for i := range rows {
		// The report's fingerprint is not that of other encoders of the run.
		if !evaluate.OnAnother(rows[i].Method) && !slices.Contains(methods, rows[i].Method) {
			methods = append(methods, rows[i].Method)
		}
	}
	trained := slices.DeleteFunc(slices.Clone(methods), func(m string) bool { return m == "zero-shot" })
	switch {
	case head != "" && slices.Contains(methods, head):
		return head, nil
	case head != "":
		return "", fmt.Errorf("no head %q: it has %q", head, methods)
	case slices.Contains(methods, "linear-probe"):
		return "linear-probe", nil
	case len(trained) == 1:
		return trained[0], nil
	case len(methods) == 1:
		return methods[0], nil
	}
	return "", fmt.Errorf("it has the heads %q: say which with --head", methods)
}

// showGate prints the decision and writes the files that were asked for.
func (s *settings) showGate(g *evaluate.Gate, f *gateFlags) error {
	text := report.GateText
	if f.json == "-" {
		text, f.json = report.GateJSON, ""
	}
	if err := text(s.out, g); err != nil {
		return err
	}
	for _, file := range []struct {
		path  string
		write func(io.Writer, *evaluate.Gate) error
	}{
		{f.json, report.GateJSON}, {f.junit, report.GateJUnit}, {f.markdown, report.GateMarkdown},
		{f.openmetrics, report.GateOpenMetrics}, {f.benchmark, report.GateBenchmark},
	} {
		if file.path == "" {
			continue
		}
		if err := atomicfile.Write(file.path, func(w io.Writer) error { return file.write(w, g) }); err != nil {
			return err
		}
	}
	if !f.github {
		return nil
	}
	if err := report.GateAnnotations(s.out, g); err != nil {
		return err
	}
	return addSummary(os.Getenv("GITHUB_STEP_SUMMARY"), g)
}

// addSummary adds the decision to GitHub's summary of the step, which other steps
// may have written to.
func addSummary(path string, g *evaluate.Gate) (err error) {
	if path == "" {
		return nil
	}
	summary, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("GITHUB_STEP_SUMMARY: %w", err)
	}
	defer closing(summary, &err)
	return report.GateMarkdown(summary, g)
}
