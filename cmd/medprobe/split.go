package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/medprobe/medprobe/datasets"
	"github.com/medprobe/medprobe/internal/near"
	"github.com/spf13/cobra"
)

// splitFlags say how a dataset is divided.
type splitFlags struct {
	by, fractions, holdout, after, date string
	out                                 string
	folds, repeats, shots, draw         int
}

func (s *settings) datasetSplitCommand() *cobra.Command {
	var f splitFlags
	cmd := &cobra.Command{
		Use:   "split SPEC",
		Short: "Divide samples by patient, stratified by label",
		Long: `Split writes a table of ids and parts, which the key split_file of a SPEC file
reads, so that others can repeat the split exactly. It depends on the patients'
names and --seed, not on the order of rows.

  --folds K        adds the column fold, from 1 to K; --repeats R adds fold2 …
  --holdout A=B    tests on the samples whose attribute A is B
  --after DAY      tests on the samples of that day and later
  --shots K        adds the rank at which samples of train are drawn: draws of k
                   shots take the ranks 1 to k`,
		Example: `  medprobe dataset split csv:labels.csv --by patient --fractions 0.7,0.1,0.2 --out split.csv
  medprobe dataset split csv:labels.csv --folds 5 --repeats 3 --out folds.csv
  medprobe dataset split csv:labels.csv --holdout site=B --shots 32 --out split.csv`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			parts, err := f.check(cmd)
			if err != nil {
				return err
			}
			spec, err := s.spec(args[0])
			if err != nil {
				return err
			}
			if f.holdout != "" || f.after != "" {
				spec.Holdout, spec.After, spec.Date = f.holdout, f.after, f.date
			}
			d, err := datasets.Open(cmd.Context(), spec)
			if err != nil {
				return err
			}
			defer closing(d, &err)
			v, err := s.divide(d, f, parts)
			if err != nil {
				return err
			}
			return datasets.WriteDivision(f.out, d, v)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.by, "by", "patient", "what must not be divided: patient")
	flags.StringVar(&f.fractions, "fractions", "0.7,0.1,0.2", "shares of train, validation and test, or of train and test")
	flags.IntVar(&f.folds, "folds", 0, "divide into this many folds instead")
	flags.IntVar(&f.repeats, "repeats", 1, "how often to divide into folds")
	flags.StringVar(&f.holdout, "holdout", "", "test on samples with an attribute, COLUMN=VALUE")
	flags.StringVar(&f.after, "after", "", "test on samples of this day and later")
	flags.StringVar(&f.date, "date", "", "column of the day (default: date, study_date …)")
	flags.IntVar(&f.shots, "shots", 0, "rank this many samples per class of train for drawing")
	flags.IntVar(&f.draw, "draw", 0, "number of the draw")
	flags.StringVar(&f.out, "out", "", "table to write, .csv or .parquet (required)")
	return cmd
}

func (f *splitFlags) check(cmd *cobra.Command) ([]datasets.Part, error) {
	if err := near.Check("--by", f.by, []string{"patient"}); err != nil {
		return nil, usagef(cmd, "--by %q: want patient; a sample without one is a patient of its own", f.by)
	}
	parts, err := parseFractions(f.fractions)
	if err != nil {
		return nil, usagef(cmd, "%w", err)
	}
	held := f.holdout != "" || f.after != ""
	switch {
	case f.out == "":
		return nil, usagef(cmd, "--out is missing; name the .csv file to write")
	case f.folds != 0 && f.folds < 2:
		return nil, usagef(cmd, "--folds %d: want 2 or more", f.folds)
	case f.repeats < 1 || f.repeats > 1000:
		return nil, usagef(cmd, "--repeats %d: want 1 to 1000", f.repeats)
	case f.shots < 0:
		return nil, usagef(cmd, "--shots %d: want 0 or more", f.shots)
	case f.folds > 0 && (held || f.shots > 0):
		return nil, usagef(cmd, "--folds goes with neither --holdout, --after nor --shots")
	case held && cmd.Flags().Changed("fractions"):
		return nil, usagef(cmd, "--holdout and --after say what is tested on; --fractions goes with neither")
	}
	return parts, checkOut(f.out, tableEndings)
}

// divide divides the dataset as the flags say.
func (s *settings) divide(d *datasets.Dataset, f splitFlags, parts []datasets.Part) (v datasets.Division, err error) {
	if !d.HasPatients() {
		s.note("the data names no patients: divided by image, which leaks where a patient has several")
	}
	switch {
	case f.folds > 0:
		for r := range f.repeats {
			folds, err := datasets.Folds(d, f.folds, s.seed, r)
			if err != nil {
				return v, err
			}
			v.Folds = append(v.Folds, folds)
		}
		return v, nil
	case f.holdout != "" || f.after != "":
		v.Parts = d.Splits()
	default:
		if v.Parts, err = datasets.Split(d, parts, s.seed); err != nil {
			return v, err
		}
	}
	if f.shots > 0 {
		var pool []int
		for i, part := range v.Parts {
			if part == "train" {
				pool = append(pool, i)
			}
		}
		var short []*datasets.ShortError
		v.Shots, short = datasets.Ranks(d, pool, datasets.Shots{K: f.shots, Seed: s.seed, Draw: f.draw})
		for _, e := range short {
			s.note("only %d %s samples in train, %d shots asked for", e.Have, e.Of, e.Want)
		}
	}
	for _, p := range d.Problems {
		s.note("%s: %s", p.Where, p.What)
	}
	return v, nil
}

// parseFractions reads the shares of train and test, or of all three parts.
func parseFractions(text string) ([]datasets.Part, error) {
	fields := strings.Split(text, ",")
	names := []string{"train", "validation", "test"}
	if len(fields) == 2 {
		names = []string{"train", "test"}
	}
	if len(fields) != len(names) {
		return nil, fmt.Errorf("--fractions %q: want two or three shares, such as 0.7,0.1,0.2", text)
	}
	var parts []datasets.Part
	for i, field := range fields {
		share, err := strconv.ParseFloat(strings.TrimSpace(field), 64)
		if err != nil {
			return nil, fmt.Errorf("--fractions %q: %q is not a number", text, field)
		}
		if share != 0 {
			parts = append(parts, datasets.Part{Name: names[i], Share: share})
		}
	}
	return parts, nil
}
