package main

import (
	"fmt"
	"math"

	"github.com/medprobe/medprobe/evaluate"
	"github.com/medprobe/medprobe/internal/near"
	"github.com/medprobe/medprobe/internal/texttab"
	"github.com/spf13/cobra"
)

func (s *settings) evaluateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "evaluate",
		Short:   "Turn scores and labels into figures with intervals",
		Example: "  medprobe evaluate scores S.csv --label y --score s --group patient",
	}
	cmd.AddCommand(s.evaluateScoresCommand(), s.evaluateValuesCommand())
	return cmd
}

func (s *settings) evaluateScoresCommand() *cobra.Command {
	var f scoreFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "scores S.csv",
		Short: "AUC and more of the columns of a table",
		Long: `Scores reads a table, CSV or Parquet, with a column of labels (1, 0 or empty) and columns of
scores, and prints AUC with interval, average precision and, for probabilities,
Brier score, log-loss and calibration error; for two or more scores, the paired
differences from the first. Figures but AUC have percentile intervals over resampled
units. With --group, samples of one patient are not taken
for independent. For several labels, repeat --label and give the prefix of the
score columns: --score-prefix p_ pairs the label edema with p_edema; macro,
weighted and micro AUC and average precision and the Hamming loss follow, and, where every row has
exactly one of the labels, Hand and Till's M, accuracy and the confusion of the
classes. With --threshold, a score of at least that is a finding: the confusion,
sensitivity, specificity, PPV, NPV, F1 and balanced accuracy follow.

With --by, the figures of each subgroup follow, with its difference from all the
others: --by sex takes each value of the column, --by age:40,65 makes bands.

With --margin, each paired difference is held against it: non-inferior if its
whole interval lies above −margin, equivalent if within ±margin; what is open
comes with the number of patients that would have settled it. P is one-sided for
non-inferiority and that of the two one-sided tests (TOST) for equivalence.`,
		Example: "  medprobe evaluate scores S.csv --label y --score probe --score zero_shot --group patient\n" +
			"  medprobe evaluate scores S.csv --label edema --label fracture --score-prefix p_ --threshold 0.5\n" +
			"  medprobe evaluate scores S.csv --label y --score probe --group patient --by sex --by age:40,65\n" +
			"  medprobe evaluate scores S.csv --label y --score new --score old --group patient --margin 0.02",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			options, err := f.options(cmd, s)
			if err != nil {
				return err
			}
			f.columns.File = args[0]
			scores, err := readScores(f.columns)
			if err != nil {
				return err
			}
			summary, err := scores.Summarize(cmd.Context(), options)
			if err != nil {
				return err
			}
			if asJSON {
				return s.json(summary)
			}
			return s.showSummary(summary, options)
		},
	}
	f.add(cmd)
	jsonFlag(cmd, &asJSON)
	return cmd
}

// scoreFlags say what the columns of a table mean, and which figures are wanted.
type scoreFlags struct {
	columns           evaluate.ScoreColumns
	ci                string
	resamples, least  int
	threshold, margin float64
	by                []string
}

func (f *scoreFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVar(&f.columns.Labels, "label", nil, "column of labels; may be repeated (required)")
	flags.StringArrayVar(&f.columns.Scores, "score", nil, "column of scores; may be repeated")
	flags.StringArrayVar(&f.columns.Prefixes, "score-prefix", nil, "prefix of the score columns, one for each label")
	flags.StringVar(&f.columns.Group, "group", "", "column of the unit that is independent, such as the patient")
	flags.StringVar(&f.columns.Stratum, "stratum", "", "column to resample within, such as the site; for --ci bootstrap")
	flags.StringVar(&f.ci, "ci", "delong", "delong or bootstrap")
	flags.IntVar(&f.resamples, "resamples", 2000, "how often to resample")
	flags.Float64Var(&f.threshold, "threshold", evaluate.DefaultThreshold, "least score that counts as a finding; shown if it is said, in JSON for all probabilities")
	flags.StringArrayVar(&f.by, "by", nil, "column whose values make subgroups, such as sex, or with bands, age:40,65; may be repeated")
	flags.Float64Var(&f.margin, "margin", 0, "difference in AUC that does not matter, such as 0.02: judges the paired differences")
	flags.IntVar(&f.least, "least", evaluate.FewUnits, "units with positives, and with negatives, that it takes to be estimable; others are marked, and subgroups not judged")
}

// options checks the flags, and adds the attributes to the columns.
func (f *scoreFlags) options(cmd *cobra.Command, s *settings) (o evaluate.SummaryOptions, err error) {
	if err := f.checkColumns(cmd); err != nil {
		return o, err
	}
	if err := near.Check("--ci", f.ci, []string{"delong", "bootstrap"}); err != nil {
		return o, usagef(cmd, "%w", err)
	}
	if f.resamples < evaluate.MinResamples || f.resamples > evaluate.MaxResamples {
		return o, usagef(cmd, "--resamples %d: want %d to %d", f.resamples, evaluate.MinResamples, evaluate.MaxResamples)
	}
	if f.ci == "bootstrap" {
		o.Bootstrap = &evaluate.Bootstrap{Resamples: f.resamples, Seed: s.seed}
	} else {
		for _, flag := range []string{"stratum", "resamples"} {
			if cmd.Flags().Changed(flag) {
				s.note("--%s has no effect without --ci bootstrap", flag)
			}
		}
	}
	if cmd.Flags().Changed("threshold") {
		if math.IsNaN(f.threshold) {
			return o, usagef(cmd, "--threshold %v: want a number", f.threshold)
		}
		o.Threshold = &f.threshold
	}
	if f.least < 1 {
		return o, usagef(cmd, "--least %d: want 1 or more", f.least)
	}
	if cmd.Flags().Changed("margin") && !(f.margin > 0 && f.margin < 1) {
		return o, usagef(cmd, "--margin %v: want a difference of AUC between 0 and 1", f.margin)
	}
	o.LeastUnits, o.Margin = f.least, f.margin
	for _, text := range f.by {
		attribute, err := evaluate.ParseAttribute(text)
		if err != nil {
			return o, usagef(cmd, "--by %w", err)
		}
		f.columns.By = append(f.columns.By, attribute)
	}
	return o, nil
}

func (f *scoreFlags) checkColumns(cmd *cobra.Command) error {
	switch c := &f.columns; {
	case len(c.Labels) == 0:
		return usagef(cmd, "--label is missing; name the column of labels")
	case len(c.Scores) == 0 && len(c.Prefixes) == 0:
		return usagef(cmd, "--score is missing; name the column of scores, or --score-prefix")
	case len(c.Labels) > 1 && len(c.Prefixes) == 0:
		return usagef(cmd, "several labels: want a prefix of the score columns, such as --score-prefix p_")
	}
	return nil
}

func readScores(columns evaluate.ScoreColumns) (scores *evaluate.Scores, err error) {
	file, err := texttab.Open(columns.File)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", columns.File, err)
	}
	defer closing(file, &err)
	return evaluate.ReadScores(file, columns)
}
