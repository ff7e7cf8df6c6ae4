package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/medprobe/medprobe/datasets"
	"github.com/medprobe/medprobe/internal/texttab"
	"github.com/spf13/cobra"
)

func openDataset(ctx context.Context, arg string) (*datasets.Dataset, error) {
	spec, err := datasets.ParseSpec(arg)
	if err != nil {
		return nil, err
	}
	return datasets.Open(ctx, spec)
}

func (s *settings) datasetCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "dataset", Short: "Look at labelled images and divide them"}
	cmd.AddCommand(s.datasetInspectCommand(), s.datasetSplitCommand())
	return cmd
}

func (s *settings) datasetInspectCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "inspect SPEC",
		Short: "Count samples, patients, labels and splits, and say what is wrong",
		Long: `SPEC is FORMAT:PATH or a YAML file with the same fields and column names.
Formats: ` + strings.Join(datasets.Formats(), ", ") + `.

Problems do not change the exit code; data that cannot be read does.`,
		Example: "  medprobe dataset inspect csv:labels.csv",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			d, err := openDataset(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			defer closing(d, &err)
			in := datasets.Inspect(d)
			if asJSON {
				return s.json(in)
			}
			return printInspection(s.out, in)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	return cmd
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
	for _, name := range []string{"train", "validation", "test"} {
		if n, ok := in.Splits[name]; ok {
			fmt.Fprintf(w, "split %s\t%d\n", name, n)
		}
	}
	fmt.Fprintln(w, "\nLABEL\tPOSITIVE\tNEGATIVE\tUNCERTAIN\tMISSING")
	for _, name := range in.Classes {
		c := in.Labels[name]
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\n", quoteControl(name), c.Positive, c.Negative, c.Uncertain, c.Missing)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, leak := range in.Leakage {
		fmt.Fprintf(out, "leak: %s\n", quoteControl(leak.String()))
	}
	for _, e := range in.Excluded {
		fmt.Fprintf(out, "excluded: %s: %s\n", quoteControl(e.ID), quoteControl(e.Reason))
	}
	for _, p := range in.Problems {
		fmt.Fprintf(out, "problem: %s: %s\n", quoteControl(p.Where), quoteControl(p.What))
	}
	return nil
}

func (s *settings) datasetSplitCommand() *cobra.Command {
	var by, fractions, out string
	cmd := &cobra.Command{
		Use:     "split SPEC",
		Short:   "Divide samples by patient, stratified by label",
		Example: "  medprobe dataset split csv:labels.csv --by patient --fractions 0.7,0.1,0.2 --out split.csv",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if by != "patient" {
				return usagef(cmd, "--by %q: want patient; a sample without one is a patient of its own", by)
			}
			parts, err := parseFractions(fractions)
			if err != nil {
				return usagef(cmd, "%w", err)
			}
			if out == "" {
				return usagef(cmd, "--out is missing; name the .csv file to write")
			}
			if err := checkOut(out); err != nil {
				return err
			}
			d, err := openDataset(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			defer closing(d, &err)
			assigned, err := datasets.Split(d, parts, s.seed)
			if err != nil {
				return err
			}
			if !d.HasPatients() {
				s.note("the data names no patients: divided by image, which leaks where a patient has several")
			}
			ids := make([]string, len(d.Samples))
			for i := range ids {
				ids[i] = d.Samples[i].ID
			}
			return texttab.Write(out, []texttab.Column{{Name: "id", Texts: ids}, {Name: "split", Texts: assigned}})
		},
	}
	cmd.Flags().StringVar(&by, "by", "patient", "what must not be divided: patient")
	cmd.Flags().StringVar(&fractions, "fractions", "0.7,0.1,0.2", "shares of train, validation and test, or of train and test")
	cmd.Flags().StringVar(&out, "out", "", "table to write, .csv or .parquet (required)")
	return cmd
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
