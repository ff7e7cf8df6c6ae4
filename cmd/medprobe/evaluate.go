package main

import (
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/medprobe/medprobe/evaluate"
	"github.com/medprobe/medprobe/internal/near"
	"github.com/medprobe/medprobe/internal/texttab"
	"github.com/spf13/cobra"
)

func (s *settings) evaluateCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "evaluate", Short: "Turn scores and labels into figures with intervals"}
	cmd.AddCommand(s.evaluateScoresCommand(), s.evaluateValuesCommand())
	return cmd
}

func (s *settings) evaluateScoresCommand() *cobra.Command {
	var columns evaluate.ScoreColumns
	var ci string
	var resamples int
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "scores S.csv",
		Short: "AUC and more of the columns of a table",
		Long: `Scores reads a table, CSV or Parquet, with a column of labels (1, 0 or empty) and columns of
scores, and prints AUC with interval, average precision and, for probabilities,
Brier score, log-loss and calibration error; for two or more scores, the paired
differences from the first. With --group, samples of one patient are not taken
for independent. For several labels, repeat --label and give the prefix of the
score columns: --score-prefix p_ pairs the label edema with p_edema.`,
		Example: "  medprobe evaluate scores S.csv --label y --score probe --score zero_shot --group patient",
		Args:    cobra.ExactArgs(1),
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
			columns.File = args[0]
			scores, err := readScores(columns)
			if err != nil {
				return err
			}
			var bootstrap *evaluate.Bootstrap
			if ci == "bootstrap" {
				bootstrap = &evaluate.Bootstrap{Resamples: resamples, Seed: s.seed}
			}
			summary, err := scores.Summarize(cmd.Context(), bootstrap)
			if err != nil {
				return err
			}
			if asJSON {
				return s.json(summary)
			}
			return s.showSummary(summary)
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
	flags.BoolVar(&asJSON, "json", false, "print one JSON document")
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

func (s *settings) showSummary(summary *evaluate.Summary) error {
	figure := func(x *float64) string {
		if x == nil {
			return "–"
		}
		return strconv.FormatFloat(*x, 'f', 3, 64)
	}
	w := tabwriter.NewWriter(s.out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(w, "LABEL\tSCORE\tN\tPOSITIVE\t%sS\tAUC\t95 %% INTERVAL\tAVG PRECISION\tBRIER\tLOG-LOSS\tECE\n", strings.ToUpper(quoteControl(summary.Unit)))
	for _, r := range summary.Scores {
		interval := "not estimable"
		if r.AUC != nil {
			interval = figure(r.Low) + "–" + figure(r.High)
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%s\t%s\t%s\t%s\t%s\t%s\n", quoteControl(r.Label), quoteControl(r.Score), r.N, r.Positives, r.Units,
			figure(r.AUC), interval, figure(r.AveragePrecision), figure(r.Brier), figure(r.LogLoss), figure(r.ECE))
	}
	if len(summary.Differences) > 0 {
		fmt.Fprintf(w, "\nLABEL\tDIFFERENCE\tIN AUC\t95 %% INTERVAL\tP\n")
		for _, d := range summary.Differences {
			fmt.Fprintf(w, "%s\t%s − %s\t%+.3f\t%+.3f to %+.3f\t%.3g\n", quoteControl(d.Label), quoteControl(d.A), quoteControl(d.B), d.Value, d.Low, d.High, d.P)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, r := range summary.Scores {
		for _, warning := range r.Warnings {
			s.note("%s, %s: %s", r.Label, r.Score, warning.Text)
		}
	}
	return nil
}
