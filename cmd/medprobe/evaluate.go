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
	var columns evaluate.ScoreColumns
	var ci string
	var resamples int
	var threshold, margin float64
	var by []string
	var least int
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
			if len(columns.Labels) == 0 {
				return usagef(cmd, "--label is missing; name the column of labels")
			}
			if len(columns.Scores) == 0 && len(columns.Prefixes) == 0 {
				return usagef(cmd, "--score is missing; name the column of scores, or --score-prefix")
			}
			if err := near.Check("--ci", ci, []string{"delong", "bootstrap"}); err != nil {
				return usagef(cmd, "%w", err)
			}
			if len(columns.Labels) > 1 && len(columns.Prefixes) == 0 {
				return usagef(cmd, "several labels: want a prefix of the score columns, such as --score-prefix p_")
			}
			if resamples < evaluate.MinResamples || resamples > evaluate.MaxResamples {
				return usagef(cmd, "--resamples %d: want %d to %d", resamples, evaluate.MinResamples, evaluate.MaxResamples)
			}
			if ci != "bootstrap" {
				for _, flag := range []string{"stratum", "resamples"} {
					if cmd.Flags().Changed(flag) {
						s.note("--%s has no effect without --ci bootstrap", flag)
					}
				}
			}
			var options evaluate.SummaryOptions
			if cmd.Flags().Changed("threshold") {
				if math.IsNaN(threshold) {
					return usagef(cmd, "--threshold %v: want a number", threshold)
				}
				options.Threshold = &threshold
			}
			if least < 1 {
				return usagef(cmd, "--least %d: want 1 or more", least)
			}
			if cmd.Flags().Changed("margin") && !(margin > 0 && margin < 1) {
				return usagef(cmd, "--margin %v: want a difference of AUC between 0 and 1", margin)
			}
			options.LeastUnits, options.Margin = least, margin
			for _, text := range by {
				attribute, err := evaluate.ParseAttribute(text)
				if err != nil {
					return usagef(cmd, "--by %w", err)
				}
				columns.By = append(columns.By, attribute)
			}
			if ci == "bootstrap" {
				options.Bootstrap = &evaluate.Bootstrap{Resamples: resamples, Seed: s.seed}
			}
			columns.File = args[0]
			scores, err := readScores(columns)
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
	flags := cmd.Flags()
	flags.StringArrayVar(&columns.Labels, "label", nil, "column of labels; may be repeated (required)")
	flags.StringArrayVar(&columns.Scores, "score", nil, "column of scores; may be repeated")
	flags.StringArrayVar(&columns.Prefixes, "score-prefix", nil, "prefix of the score columns, one for each label")
	flags.StringVar(&columns.Group, "group", "", "column of the unit that is independent, such as the patient")
	flags.StringVar(&columns.Stratum, "stratum", "", "column to resample within, such as the site; for --ci bootstrap")
	flags.StringVar(&ci, "ci", "delong", "delong or bootstrap")
	flags.IntVar(&resamples, "resamples", 2000, "how often to resample")
	flags.Float64Var(&threshold, "threshold", evaluate.DefaultThreshold, "least score that counts as a finding; shown if it is said, in JSON for all probabilities")
	flags.StringArrayVar(&by, "by", nil, "column whose values make subgroups, such as sex, or with bands, age:40,65; may be repeated")
	flags.Float64Var(&margin, "margin", 0, "difference in AUC that does not matter, such as 0.02: judges the paired differences")
	flags.IntVar(&least, "least", evaluate.FewUnits, "units with positives, and with negatives, that it takes to be estimable; others are marked, and subgroups not judged")
	jsonFlag(cmd, &asJSON)
	return cmd
}

func readScores(columns evaluate.ScoreColumns) (scores *evaluate.Scores, err error) {
	file, err := texttab.Open(columns.File)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", columns.File, err)
	}
	defer closing(file, &err)
	return evaluate.ReadScores(file, columns)
}
