package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/medprobe/medprobe/datasets"
	"github.com/medprobe/medprobe/experiment"
	"github.com/spf13/cobra"
)

// spec reads a SPEC, or the data of an experiment, and adds what only the user may
// allow.
func (s *settings) spec(arg string) (datasets.Spec, error) {
	spec, err := datasets.ParseSpec(arg)
	if errors.Is(err, datasets.ErrExperiment) {
		var c *experiment.Config
		if c, err = experiment.Load(arg); err == nil {
			spec = c.Data
		}
	}
	if err != nil {
		return spec, err
	}
	return s.allowed(spec)
}

// allowed adds what only the user may allow, and no file.
func (s *settings) allowed(spec datasets.Spec) (datasets.Spec, error) {
	spec.AllowOutside, spec.AllowRemote = s.allowOutside, s.allowRemote
	if s.idKey == "" {
		return spec, nil
	}
	key, err := os.ReadFile(s.idKey)
	if err != nil {
		return spec, fmt.Errorf("--id-key: %w", err)
	}
	if spec.IDKey = bytes.TrimSpace(key); len(spec.IDKey) < 16 {
		return spec, fmt.Errorf("--id-key %s: %d bytes: want at least 16, such as 'head -c 32 /dev/urandom | base64' gives", s.idKey, len(spec.IDKey))
	}
	return spec, nil
}

func (s *settings) openDataset(ctx context.Context, arg string) (*datasets.Dataset, error) {
	spec, err := s.spec(arg)
	if err != nil {
		return nil, err
	}
	return datasets.Open(ctx, spec)
}

func (s *settings) datasetCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "dataset",
		Short:   "Look at labelled images and divide them",
		Example: "  medprobe dataset inspect csv:labels.csv\n  medprobe dataset split csv:labels.csv --fractions 0.7,0.1,0.2 --out split.csv",
	}
	cmd.AddCommand(s.datasetInspectCommand(), s.datasetSplitCommand())
	return cmd
}

func (s *settings) datasetInspectCommand() *cobra.Command {
	var asJSON, contents, pixels bool
	cmd := &cobra.Command{
		Use:   "inspect SPEC",
		Short: "Count samples, patients, labels and splits, and say what is wrong",
		Long: `SPEC is FORMAT:PATH, a YAML file with the same fields and column names, or an
experiment, whose data is meant.
Formats: ` + strings.Join(datasets.Formats(), ", ") + `.

Images are not opened unless --contents reads them all, to find the same file on
two sides of a split, or --pixels decodes them too, to find the same image in
another file. Problems do not change the exit code; data that cannot be read
does.`,
		Example: "  medprobe dataset inspect csv:labels.csv\n  medprobe dataset inspect experiment.yaml",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			d, err := s.openDataset(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			defer closing(d, &err)
			in := datasets.Inspect(d)
			in.Problems = append(in.Problems, d.LookForFiles()...)
			if contents || pixels {
				if err := s.inspectContents(cmd.Context(), d, &in, pixels); err != nil {
					return err
				}
			}
			if asJSON {
				return s.json(in)
			}
			return printInspection(s.out, in)
		},
	}
	jsonFlag(cmd, &asJSON)
	cmd.Flags().BoolVar(&contents, "contents", false, "read every image and compare them byte by byte")
	cmd.Flags().BoolVar(&pixels, "pixels", false, "decode every image and compare their pixels too")
	return cmd
}

// inspectContents adds what can be said once every image was read.
func (s *settings) inspectContents(ctx context.Context, d *datasets.Dataset, in *datasets.Inspection, pixels bool) error {
	progress, finish := s.progress("read")
	c, problems, err := datasets.ReadContents(ctx, d, datasets.ContentOptions{Pixels: pixels, Progress: progress})
	finish()
	if err != nil {
		return err
	}
	in.Problems = append(in.Problems, problems...)
	in.AddContents(d, c)
	return nil
}

func printInspection(out io.Writer, in datasets.Inspection) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	patients := "not said by the data"
	if in.Patients != nil {
		patients = strconv.Itoa(*in.Patients)
	}
	unit := in.Unit
	if in.Patients == nil {
		unit = "patient"
	}
	fmt.Fprintf(w, "samples\t%d\nimages\t%d\n%ss\t%s\ntask\t%s\nexcluded\t%d\n", in.Samples, in.Images, unit, patients, in.Task, len(in.Excluded))
	for _, name := range partsInOrder(in.Splits) {
		fmt.Fprintf(w, "split %s\t%d\n", quoteControl(name), in.Splits[name])
	}
	if in.Values != nil {
		fmt.Fprintln(w, "\nVALUE\tKNOWN\tMISSING\tLEAST\tMEAN\tGREATEST")
	} else {
		fmt.Fprintln(w, "\nLABEL\tPOSITIVE\tNEGATIVE\tUNCERTAIN\tMISSING")
	}
	for _, name := range in.Classes {
		if v, ok := in.Values[name]; ok {
			fmt.Fprintf(w, "%s\t%d\t%d\t%.6g\t%.6g\t%.6g\n", quoteControl(name), v.Known, v.Missing, v.Least, v.Mean, v.Greatest)
			continue
		}
		c := in.Labels[name]
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\n", quoteControl(name), c.Positive, c.Negative, c.Uncertain, c.Missing)
	}
	if len(in.Rules) > 0 {
		fmt.Fprintln(w, "\nRULE\tLABEL\tSAMPLES CHANGED")
		for _, r := range in.Rules {
			fmt.Fprintf(w, "%s\t%s\t%d\n", quoteControl(r.Rule), quoteControl(r.Finding), r.Changed)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	printSome(out, "leak", in.Leakage, func(l datasets.Leak) string { return l.String() })
	printSome(out, "excluded", in.Excluded, func(e datasets.Exclusion) string { return e.ID + ": " + e.Reason })
	printSome(out, "problem", in.Problems, func(p datasets.Problem) string { return p.Where + ": " + p.What })
	return nil
}

// maxShown is how many things of one kind are printed; --json lists them all.
const maxShown = 20

func printSome[T any](out io.Writer, kind string, all []T, text func(T) string) {
	for i, thing := range all {
		if i == maxShown {
			fmt.Fprintf(out, "%s: … and %d more; --json lists them all\n", kind, len(all)-maxShown)
			return
		}
		fmt.Fprintf(out, "%s: %s\n", kind, quoteControl(text(thing)))
	}
}

// partsInOrder lists train, validation and test, and then whatever other parts
// the data names.
func partsInOrder(splits map[string]int) []string {
	usual := []string{"train", "validation", "test"}
	names := slices.DeleteFunc(slices.Clone(usual), func(name string) bool { return splits[name] == 0 })
	for _, name := range slices.Sorted(maps.Keys(splits)) {
		if !slices.Contains(usual, name) {
			names = append(names, name)
		}
	}
	return names
}
