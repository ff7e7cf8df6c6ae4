package main

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/medprobe/medprobe/registry"
	"github.com/spf13/cobra"
)

func (s *settings) registryListCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "list [NAME]",
		Short:   "List models and their versions",
		Example: "  medprobe registry list cxr",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			model := strings.Join(args, "")
			return s.usingRegistry(cmd.Context(), func(r *registry.Registry) error {
				versions, err := r.List(cmd.Context(), model)
				if err != nil {
					return err
				}
				if asJSON {
					return s.json(versions)
				}
				if len(versions) == 0 {
					s.note("the registry is empty; 'medprobe registry add' keeps a head")
					return nil
				}
				w := tabwriter.NewWriter(s.out, 0, 8, 2, ' ', 0)
				fmt.Fprintf(w, "VERSION\tALIASES\tHEAD\tFINDINGS\tMEAN AUC\tENCODER\tADDED\tBY\n")
				for _, v := range versions {
					d := &v.Document
					fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\n", v.Reference(), cmp.Or(strings.Join(v.Aliases, " "), "–"), quoteControl(d.Head.Kind),
						len(d.Head.Classes), meanAUC(d.Metrics), quoteControl(d.Lineage.Encoder.Name), v.Added.Format("2006-01-02"), quoteControl(v.AddedBy))
				}
				return w.Flush()
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

// meanAUC is for an overview; the intervals are in the version.
func meanAUC(metrics []registry.Metric) string {
	sum, n := 0.0, 0
	for _, m := range metrics {
		if m.AUC != nil {
			sum += m.AUC.Point
			n++
		}
	}
	if n == 0 {
		return "–"
	}
	return strconv.FormatFloat(sum/float64(n), 'f', 3, 64)
}

func (s *settings) registryShowCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "show NAME[@VERSION|@ALIAS]",
		Short:   "Show what a version is, what it was made of and what it reached",
		Example: "  medprobe registry show cxr@champion",
	}
	jsonFlag(cmd, &asJSON)
	return s.versionCommand(cmd, func(r *registry.Registry, v *registry.Version) error {
		moves, err := r.History(cmd.Context(), v.Model)
		if err != nil {
			return err
		}
		if asJSON {
			return s.json(struct {
				*registry.Version
				History []registry.Move `json:"history"`
			}{v, moves})
		}
		return s.showVersion(v, moves)
	})
}

func (s *settings) showVersion(v *registry.Version, moves []registry.Move) error {
	d, l := &v.Document, &v.Document.Lineage
	w := tabwriter.NewWriter(s.out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(w, "version\t%s\n", v.Reference())
	for _, row := range [][2]string{
		{"aliases", strings.Join(v.Aliases, " ")}, {"head", describeVersion(v)}, {"digest", v.Digest},
		{"added", v.Added.Format("2006-01-02 15:04 MST") + " by " + v.AddedBy}, {"run", l.Run},
		{"data", l.Dataset.Spec + " " + l.Dataset.Digest}, {"split", l.Split}, {"experiment", l.Experiment},
		{"encoder", l.Encoder.Name + " " + l.Encoder.Fingerprint}, {"preprocessing", l.Encoder.Preprocess + " " + l.Encoder.PreprocessFingerprint},
		{"seed", strconv.FormatUint(l.Seed, 10)}, {"made by", "medprobe " + l.Code + ", " + l.Environment},
	} {
		fmt.Fprintf(w, "%s\t%s\n", row[0], quoteControl(cmp.Or(row[1], "–")))
	}
	fmt.Fprintf(w, "\nFINDING\tN\tPOSITIVE\tAUC\tZERO-SHOT\tGAIN\n")
	for _, m := range d.Metrics {
		n, positives, auc, zero, gain := "–", "–", "not estimable", "–", "–"
		if m.AUC != nil {
			n, positives, auc = strconv.Itoa(m.AUC.N), strconv.Itoa(m.AUC.Positives), m.AUC.String()
		}
		if m.ZeroShot != nil {
			zero = m.ZeroShot.String()
		}
		if m.Gain != nil {
			e := m.Gain.Difference
			gain = fmt.Sprintf("%+.3f (%+.3f to %+.3f)", e.Point, e.Low, e.High)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", quoteControl(m.Finding), n, positives, auc, zero, gain)
	}
	if len(moves) > 0 {
		fmt.Fprintf(w, "\nALIAS\tFROM\tTO\tWHEN\tBY\tWHY\n")
	}
	number := func(n int) string {
		if n == 0 {
			return "–"
		}
		return strconv.Itoa(n)
	}
	for _, m := range moves {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", m.Alias, number(m.From), number(m.To), m.At.Format("2006-01-02 15:04"), quoteControl(m.By), quoteControl(cmp.Or(m.Reason, "–")))
	}
	return w.Flush()
}

func (s *settings) registryDiffCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "diff A B",
		Short: "Show what two versions differ in",
		Long: `Diff shows what two versions were made of that is not alike and, where both were
tested on the same samples, the difference in AUC: paired, clustered by patient.`,
		Example: "  medprobe registry diff cxr@champion cxr@2",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			var refs [2]registry.Reference
			for i, arg := range args {
				var err error
				if refs[i], err = parseReference(cmd, arg); err != nil {
					return err
				}
			}
			return s.usingRegistry(cmd.Context(), func(r *registry.Registry) error {
				d, err := r.Diff(cmd.Context(), refs[0], refs[1])
				if err != nil {
					return err
				}
				if asJSON {
					return s.json(d)
				}
				return s.showDiff(d)
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func (s *settings) showDiff(d *registry.Diff) error {
	w := tabwriter.NewWriter(s.out, 0, 8, 2, ' ', 0)
	if len(d.Changes) == 0 {
		fmt.Fprintf(w, "%s and %s were made alike\n", d.A, d.B)
	} else {
		fmt.Fprintf(w, "FIELD\t%s\t%s\n", d.A, d.B)
	}
	for _, c := range d.Changes {
		fmt.Fprintf(w, "%s\t%s\t%s\n", c.Field, quoteControl(cmp.Or(c.A, "–")), quoteControl(cmp.Or(c.B, "–")))
	}
	if d.Incomparable != "" {
		fmt.Fprintf(w, "\nno figures: %s\n", quoteControl(d.Incomparable))
		return w.Flush()
	}
	fmt.Fprintf(w, "\nFINDING\tN\tAUC OF %s\tOF %s\tDIFFERENCE\tP\n", d.A, d.B)
	for _, m := range d.Metrics {
		if m.Comparison == nil {
			fmt.Fprintf(w, "%s\t–\t–\t–\tnot estimable: %s\t–\n", quoteControl(m.Finding), quoteControl(m.Reason))
			continue
		}
		// Compare was asked for B − A.
		c := m.Comparison
		fmt.Fprintf(w, "%s\t%d\t%.3f\t%.3f\t%+.3f (%+.3f to %+.3f)\t%.3g\n", quoteControl(m.Finding), c.A.N, c.B.Point, c.A.Point,
			c.Difference.Point, c.Difference.Low, c.Difference.High, c.P)
	}
	return w.Flush()
}
