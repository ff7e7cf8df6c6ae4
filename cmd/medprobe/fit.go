package main

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/medprobe/medprobe/datasets"
	"github.com/medprobe/medprobe/experiment"
	"github.com/medprobe/medprobe/internal/near"
	"github.com/medprobe/medprobe/trainer"
	"github.com/spf13/cobra"
)

// fitFlags are what `medprobe fit` is told.
type fitFlags struct {
	features, labels, groups, out string
	covariates                    string
	grid                          string
	prior                         string
	logitScale                    float64
	thresholds                    []string
	options                       trainer.Options
	asJSON                        bool
}

func (s *settings) fitCommand() *cobra.Command {
	var f fitFlags
	cmd := &cobra.Command{
		Use:   "fit",
		Short: "Train a head on a matrix of vectors",
		Long: `Fit trains a head on the rows of X.npy with the labels of Y.csv: one row per
row of X, columns of 1, 0 or nothing named as findings, or one column "label"
of class names; for ridge and ridge-prior, columns of numbers or nothing. With a single --C the objective is scikit-learn's,
½‖w‖² + C·Σ log-loss with an unpenalised intercept.`,
		Example: "  medprobe fit --features X.npy --labels Y.csv --head logistic --C 1 --out head.safetensors --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(cmd); err != nil {
				return err
			}
			f.options.Seed = s.seed
			var err error
			if f.options.Memory, err = memory(); err != nil {
				return err
			}
			var head *trainer.Head
			err = s.usingMultiplier(func(m trainer.Multiplier) (err error) {
				f.options.Multiplier = m
				head, err = f.fit(cmd)
				return err
			})
			if err != nil {
				return err
			}
			if err := head.Save(f.out); err != nil {
				return err
			}
			for _, n := range head.Notes {
				s.note("%s", n)
			}
			if f.asJSON {
				return s.json(head.Summary())
			}
			return s.showFits(head)
		},
	}
	f.add(cmd)
	return cmd
}

func (f *fitFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.features, "features", "", "matrix of vectors, .npy [n, D] (required)")
	flags.StringVar(&f.labels, "labels", "", "table of labels, .csv or .parquet (required)")
	flags.StringVar(&f.groups, "groups", "", "column of the labels that names the patient")
	flags.StringVar(&f.covariates, "covariates", "", "table of clinical attributes, one row per vector, joined to it (linear-probe and logistic)")
	flags.StringVar(&f.options.Head, "head", "linear-probe", strings.Join(fitKinds(), ", "))
	flags.Float64Var(&f.options.C, "C", 0, "scikit-learn's C (default: chosen by cross-validation)")
	flags.StringVar(&f.grid, "C-grid", "", "values of C to choose from, comma-separated")
	flags.StringSliceVar(&f.options.Members, "members", nil, "heads of an ensemble, comma-separated, linear or not (default linear-probe,logistic,gda)")
	flags.Float64Var(&f.options.L1Ratio, "l1-ratio", 0, "elastic net of logistic: the share of ‖w‖₁ in the penalty, 0 to 1")
	flags.StringVar(&f.options.ClassWeight, "class-weight", "none", "none or balanced")
	flags.BoolVar(&f.options.Standardize, "standardize", false, "scale every dimension to variance one; folded into the weights")
	flags.StringVar(&f.options.Calibrate, "calibrate", "", "platt, temperature or isotonic, on cross-validated scores (default: none)")
	flags.StringArrayVar(&f.thresholds, "threshold", nil, "youden, sensitivity=S, specificity=S, ppv=P or cost=RATIO, on cross-validated scores (repeatable)")
	flags.StringVar(&f.prior, "prior", "", "zero-shot classifier, .npy [C, D]")
	flags.Float64Var(&f.options.Alpha, "alpha", 0, "α of tip-adapter, tip-adapter-f, gda, ridge and ridge-prior (default: chosen by cross-validation)")
	flags.Float64Var(&f.options.Beta, "beta", 0, "β of tip-adapter and tip-adapter-f (default: chosen by cross-validation)")
	flags.IntVar(&f.options.Neighbours, "neighbours", 0, "k of knn (default: chosen by cross-validation)")
	flags.Float64Var(&f.logitScale, "logit-scale", 100, "scale of the zero-shot logits")
	flags.StringVar(&f.out, "out", "", "head to write, .safetensors (required)")
	jsonFlag(cmd, &f.asJSON)
}

// check looks at the flags, and reads those that are texts.
func (f *fitFlags) check(cmd *cobra.Command) error {
	if err := needFlags(cmd, "features", "labels", "out"); err != nil {
		return err
	}
	calibrations := append([]string{""}, trainer.Calibrations()...)
	if err := errors.Join(near.Check("--head", f.options.Head, fitKinds()), near.Check("--class-weight", f.options.ClassWeight, []string{"none", "balanced"}), near.Check("--calibrate", f.options.Calibrate, calibrations)); err != nil {
		return usagef(cmd, "%w", err)
	}
	if trainer.NeedsPrior(f.options.Head) && f.prior == "" {
		return usagef(cmd, "--head %s starts from zero-shot: name its texts with --prior T.npy", f.options.Head)
	}
	if err := f.parseGrid(cmd); err != nil {
		return err
	}
	for _, text := range f.thresholds {
		rule, err := trainer.ParseRule(text)
		if err != nil {
			return usagef(cmd, "--%v", err)
		}
		f.options.Thresholds = append(f.options.Thresholds, rule)
	}
	return checkOut(f.out, headEndings)
}

// showFits says how each class was fitted, and what thresholds reach.
func (s *settings) showFits(head *trainer.Head) error {
	for _, c := range head.Fits {
		fmt.Fprintln(s.out, quoteControl(c.String()))
	}
	for _, t := range head.Thresholds {
		fmt.Fprintf(s.out, "%s: present from a probability of %.4g (%s): sensitivity %.3f, specificity %.3f, PPV %.3f in cross-validation\n", quoteControl(t.Class), t.Probability, t.Rule, t.Sensitivity, t.Specificity, t.PPV)
	}
	return nil
}

func (f *fitFlags) parseGrid(cmd *cobra.Command) error {
	positive := func(x float64) bool { return x > 0 && !math.IsInf(x, 1) }
	single := cmd.Flags().Changed("C")
	if single && !positive(f.options.C) {
		return usagef(cmd, "--C %v: want a positive number; leave it out to have C chosen by cross-validation", f.options.C)
	}
	if !positive(f.logitScale) {
		return usagef(cmd, "--logit-scale %v: want a positive number", f.logitScale)
	}
	if f.grid == "" {
		return nil
	}
	if single {
		return usagef(cmd, "--C and --C-grid exclude one another")
	}
	for _, field := range strings.Split(f.grid, ",") {
		c, err := strconv.ParseFloat(strings.TrimSpace(field), 64)
		if err != nil || !positive(c) {
			return usagef(cmd, "--C-grid %q: %q is no positive number", f.grid, field)
		}
		f.options.CGrid = append(f.options.CGrid, c)
	}
	return nil
}

func (f *fitFlags) fit(cmd *cobra.Command) (*trainer.Head, error) {
	x, err := readVectors(f.features)
	if err != nil {
		return nil, err
	}
	if slices.Contains(trainer.ValueKinds(), f.options.Head) {
		if f.covariates != "" {
			return nil, fmt.Errorf("%s takes no covariates: leave --covariates out", f.options.Head)
		}
		return f.fitValues(cmd, x)
	}
	labels, err := datasets.ReadLabels(cmd.Context(), datasets.Spec{Path: f.labels, Patient: f.groups})
	if err != nil {
		return nil, err
	}
	if len(labels.Samples) != x.Rows {
		return nil, fmt.Errorf("%s has %d rows and %s %d: want one label row per vector", f.features, x.Rows, f.labels, len(labels.Samples))
	}
	if err := f.readPrior(); err != nil {
		return nil, err
	}
	y, groups := experiment.Targets(labels, nil, nil)
	if f.covariates != "" {
		table, err := readTable(f.covariates)
		if err != nil {
			return nil, err
		}
		if len(table.rows) != x.Rows {
			return nil, fmt.Errorf("%s has %d rows and %s %d: want one row of covariates per vector", f.features, x.Rows, f.covariates, len(table.rows))
		}
		return trainer.FitJoined(cmd.Context(), x, trainer.Covariates{Names: table.header, Rows: table.rows}, y, groups, f.options)
	}
	return trainer.Fit(cmd.Context(), x, y, groups, f.options)
}

// readPrior reads the zero-shot classifier, if one is named.
func (f *fitFlags) readPrior() error {
	if f.prior == "" {
		return nil
	}
	t, err := readVectors(f.prior)
	f.options.Prior = &trainer.Prior{T: t, Scale: f.logitScale}
	return err
}
