package main

import (
	"fmt"

	"github.com/medprobe/medprobe/internal/texttab"
	"github.com/medprobe/medprobe/trainer"
	"github.com/spf13/cobra"
	"gonum.org/v1/gonum/blas/blas64"
)

// predictFlags are the flags of predict.
type predictFlags struct {
	head, features, covariates, out, decide string
	logits                                  bool
	rule                                    trainer.Rule // of decide
}

func (s *settings) predictCommand() *cobra.Command {
	var f predictFlags
	cmd := &cobra.Command{
		Use:     "predict",
		Short:   "Score a matrix of vectors with a head",
		Example: "  medprobe predict --head head.safetensors --features X.npy --out S.csv",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(cmd); err != nil {
				return err
			}
			head, err := loadHead(f.head)
			if err != nil {
				return err
			}
			scores, err := f.scores(head)
			if err != nil {
				return err
			}
			var columns []texttab.Column
			for c, name := range head.Classes {
				column := texttab.Column{Name: name, Numbers: make([]float64, scores.Rows)}
				for i := range column.Numbers {
					column.Numbers[i] = scores.Data[i*scores.Stride+c]
				}
				columns = append(columns, column)
			}
			return texttab.Write(f.out, columns)
		},
	}
	cmd.Flags().StringVar(&f.head, "head", "", "head, .safetensors (required)")
	cmd.Flags().StringVar(&f.features, "features", "", "matrix of vectors, .npy (required)")
	cmd.Flags().StringVar(&f.covariates, "covariates", "", "table of clinical attributes, for a head that was fitted with them")
	cmd.Flags().StringVar(&f.out, "out", "", "table to write, .csv or .parquet (required)")
	cmd.Flags().StringVar(&f.decide, "decide", "", "write 1 and 0 by a threshold that the head was fitted with, such as youden")
	cmd.Flags().BoolVar(&f.logits, "logits", false, "write logits, not probabilities")
	return cmd
}

func (f *predictFlags) check(cmd *cobra.Command) error {
	if err := needFlags(cmd, "head", "features", "out"); err != nil {
		return err
	}
	if err := checkOut(f.out, tableEndings); err != nil {
		return err
	}
	if f.decide == "" {
		return nil
	}
	if f.logits {
		return usagef(cmd, "--logits and --decide exclude one another")
	}
	var err error
	if f.rule, err = trainer.ParseRule(f.decide); err != nil {
		return usagef(cmd, "--decide: %w", err)
	}
	return nil
}

// scores returns what the head says of the vectors: probabilities, logits or values,
// or 1 and 0.
func (f *predictFlags) scores(head *trainer.Head) (scores blas64.General, err error) {
	x, err := readVectors(f.features)
	if err != nil {
		return scores, err
	}
	if x, err = joinCovariates(head, x, f.covariates); err != nil {
		return scores, fmt.Errorf("%s: %w", f.head, err)
	}
	score := head.Probabilities
	switch {
	case head.GivesValues() && (f.logits || f.decide != ""):
		return scores, fmt.Errorf("%s: %s gives values, and has no logits and thresholds; leave --logits and --decide out", f.head, head.Kind)
	case head.GivesValues():
		score = head.Values
	case f.logits:
		score = head.Logits
	}
	if scores, err = score(x); err != nil {
		return scores, fmt.Errorf("%s with %s: %w; a head takes vectors of the encoder that it was trained on", f.head, f.features, err)
	}
	if f.decide == "" {
		return scores, nil
	}
	called, err := head.Decide(scores.Data, f.rule)
	if err != nil {
		return scores, fmt.Errorf("%s: %w", f.head, err)
	}
	for i, yes := range called {
		if scores.Data[i] = 0; yes {
			scores.Data[i] = 1
		}
	}
	return scores, nil
}
