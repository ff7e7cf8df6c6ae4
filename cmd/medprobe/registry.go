package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/medprobe/medprobe/internal/near"
	"github.com/medprobe/medprobe/registry"
	"github.com/spf13/cobra"
)

func (s *settings) registryCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "registry",
		Short: "Keep heads as numbered versions and hand them on",
		Long: `A registry keeps heads as versions that never change, each with its report, its
predictions on the test part, and what it was made of. Names of versions are
NAME (the newest), NAME@3 or NAME@champion.

It is a folder: --registry DIR, $MEDPROBE_REGISTRY, or medprobe/registry in the
user's configuration folder. Ids and patients are stored as HMACs under the
registry's own key.`,
		Example: `  medprobe registry add cxr --run run --head linear-probe
  medprobe registry alias cxr champion 1
  medprobe registry export cxr@champion --format onnx --out head.onnx`,
	}
	cmd.PersistentFlags().StringVar(&s.registry, "registry", "", "folder of the registry (default: $MEDPROBE_REGISTRY or the user's configuration folder)")
	cmd.AddCommand(
		s.registryAddCommand(), s.registryListCommand(), s.registryShowCommand(), s.registryAliasCommand(), s.registryDiffCommand(),
		s.registryVerifyCommand(), s.registryExportCommand(), s.registryPushCommand(),
		s.registrySignCommand(), s.registryVerifySignatureCommand(), s.registryImportCommand(), s.registryRemoveCommand(), s.registrySweepCommand(),
	)
	return cmd
}

func (s *settings) registryPath() (string, error) {
	if dir := cmp.Or(s.registry, os.Getenv("MEDPROBE_REGISTRY")); dir != "" {
		return dir, nil
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("%w; name a folder with --registry or MEDPROBE_REGISTRY", err)
	}
	return filepath.Join(dir, "medprobe", "registry"), nil
}

// usingRegistry opens the registry, lets do use it and closes it.
func (s *settings) usingRegistry(ctx context.Context, do func(*registry.Registry) error) (err error) {
	dir, err := s.registryPath()
	if err != nil {
		return err
	}
	r, err := registry.Open(ctx, dir)
	if err != nil {
		return err
	}
	defer closing(r, &err)
	return do(r)
}

// versionCommand makes a command about one version.
func (s *settings) versionCommand(cmd *cobra.Command, do func(*registry.Registry, *registry.Version) error) *cobra.Command {
	cmd.Args = cobra.ExactArgs(1)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ref, err := registry.ParseReference(args[0])
		if err != nil {
			return usagef(cmd, "%w", err)
		}
		return s.usingRegistry(cmd.Context(), func(r *registry.Registry) error {
			v, err := r.Find(cmd.Context(), ref)
			if err != nil {
				return err
			}
			return do(r, v)
		})
	}
	return cmd
}

// whoami names the user for the history.
func whoami() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return cmp.Or(os.Getenv("USER"), "unknown")
}

func (s *settings) registryAddCommand() *cobra.Command {
	var o registry.Origin
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "add NAME --run DIR [--head H]",
		Short: "Keep a head of a run as the next version",
		Long: `Add checks the run against its manifest and keeps the head, the report, the
predictions on the test part (ids and patients hidden), the experiment and a
sample of vectors with their probabilities. The same head of the same run is not
kept twice.`,
		Example: "  medprobe registry add cxr --run run --head linear-probe",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.Run == "" {
				return usagef(cmd, "--run is missing; name the folder that 'medprobe run' left")
			}
			o.By, o.Code, o.Environment = whoami(), version, runtime.GOOS+"/"+runtime.GOARCH+" "+runtime.Version()
			return s.usingRegistry(cmd.Context(), func(r *registry.Registry) error {
				v, added, err := r.Add(cmd.Context(), args[0], o)
				if err != nil {
					return err
				}
				return s.showAdded(v, added, asJSON)
			})
		},
	}
	cmd.Flags().StringVar(&o.Run, "run", "", "folder of a run (required)")
	cmd.Flags().StringVar(&o.Head, "head", "", "which of its heads; not needed where there is one")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	return cmd
}

func (s *settings) showAdded(v *registry.Version, added, asJSON bool) error {
	if added && !v.HasReference() {
		s.note("no reference distribution is kept for 'medprobe drift': it takes a test part of 30 independent patients and a head of vectors alone")
	}
	if asJSON {
		return s.json(v)
	}
	what := "is"
	if !added {
		what = "was there already:"
	}
	fmt.Fprintf(s.out, "%s %s %s\n", v.Reference(), what, describeVersion(v))
	return nil
}

func describeVersion(v *registry.Version) string {
	h := &v.Document.Head
	return quoteControl(fmt.Sprintf("a %s head of %s, %d dimensions", h.Kind, strings.Join(h.Classes, ", "), h.Dim))
}

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
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
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
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
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
				if refs[i], err = registry.ParseReference(arg); err != nil {
					return usagef(cmd, "%w", err)
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
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
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

var errDamaged = errors.New("the registry is damaged")

func (s *settings) registryVerifyCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify [NAME[@VERSION|@ALIAS]]",
		Short: "Recompute every digest and score stored samples again",
		Long: `Verify recomputes the digest of every file and document, scores the stored sample
of each version again, compares aliases with their history and lists files that
belong to no version. It exits with 1 if anything is wrong.`,
		Example: "  medprobe registry verify cxr@champion",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var ref registry.Reference
			if len(args) > 0 {
				var err error
				if ref, err = registry.ParseReference(args[0]); err != nil {
					return usagef(cmd, "%w", err)
				}
			}
			return s.usingRegistry(cmd.Context(), func(r *registry.Registry) error {
				v, err := r.Verify(cmd.Context(), ref)
				if err != nil {
					return err
				}
				if asJSON {
					err = s.json(v)
				} else {
					for _, what := range v.Damage {
						fmt.Fprintf(s.out, "damage: %s\n", quoteControl(what))
					}
					for _, what := range v.Hints {
						fmt.Fprintf(s.out, "hint: %s\n", quoteControl(what))
					}
					fmt.Fprintf(s.out, "checked %d versions, %d files; scored %d samples again\n", v.Versions, v.Files, v.Samples)
				}
				if err == nil && !v.OK {
					err = errDamaged
				}
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	return cmd
}

func (s *settings) registryExportCommand() *cobra.Command {
	var format, out string
	cmd := &cobra.Command{
		Use:   "export NAME[@VERSION|@ALIAS] --format F --out PATH",
		Short: "Write a version for other programs",
		Long: `Export writes a version. --format is:

  onnx         a model file: embedding [N, D] in, label [N] and probabilities
               [N, C] out, calibration folded in, core operators only
  onnx-e2e     a folder with the encoder and the head in one model: pixels
               [N, 3, H, W] in; the encoder must be imported
  safetensors  a folder with the head, a model card and lines for PyTorch
  mlflow       a folder that mlflow.pyfunc.load_model loads
  hf           a folder as Hugging Face's Hub wants it
  oci          an OCI image layout with a ModelPack artefact
  bundle       the whole version as one file, for 'medprobe registry import'

Nothing that is exported names a patient, an image or a path.`,
		Example: "  medprobe registry export cxr@champion --format onnx --out head.onnx",
	}
	cmd.Flags().StringVar(&format, "format", "", "onnx, onnx-e2e, safetensors, mlflow, hf, oci or bundle (required)")
	cmd.Flags().StringVar(&out, "out", "", "file for onnx and bundle, else a new folder (required)")
	return s.versionCommand(cmd, func(r *registry.Registry, v *registry.Version) error {
		if out == "" {
			return usagef(cmd, "--out is missing")
		}
		if err := near.Check("--format", format, append(registry.Formats(), registry.EndToEnd)); err != nil {
			return usagef(cmd, "%w", err)
		}
		export := func() error { return r.Export(cmd.Context(), v, format, out) }
		if format == registry.EndToEnd {
			export = func() error { return exportEndToEnd(cmd.Context(), r, v, out) }
		}
		if err := export(); err != nil {
			return err
		}
		s.note("%s is in %s", v.Reference(), out)
		return nil
	})
}

func (s *settings) registryImportCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "import NAME PATH",
		Short: "Add a version that was exported, in any format",
		Long: `Import reads what 'medprobe registry export' wrote: a bundle, an ONNX model, or the
folder of safetensors, mlflow, hf, oci or onnx-e2e. A bundle holds the whole
version. The others hold head, card and what the version was made of; predictions,
report and sample are absent then, and such a version cannot be compared in a gate.`,
		Example: `  medprobe registry import cxr cxr-2.tar
  medprobe registry import cxr head.onnx`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.usingRegistry(cmd.Context(), func(r *registry.Registry) error {
				v, added, err := r.Import(cmd.Context(), args[0], args[1], whoami())
				if err != nil {
					return err
				}
				if i := v.Document.Imported; added && i != nil {
					s.note("the export carries no %s", strings.Join(i.Absent, ", "))
				}
				return s.showAdded(v, added, asJSON)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	return cmd
}

func (s *settings) registryRemoveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "rm NAME@VERSION",
		Short:   "Remove a version that no alias points at",
		Long:    "Rm removes a version and the files that no other version has. Its number is not given again.",
		Example: "  medprobe registry rm cxr@1",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ref, err := registry.ParseReference(args[0])
			if err != nil {
				return usagef(cmd, "%w", err)
			}
			if ref.Number == 0 {
				return usagef(cmd, "%q: say which version, as in %s@1", args[0], ref.Model)
			}
			return s.usingRegistry(cmd.Context(), func(r *registry.Registry) error {
				v, err := r.Remove(cmd.Context(), ref)
				if err != nil {
					return err
				}
				n, err := r.Sweep(cmd.Context())
				if err != nil {
					return err
				}
				fmt.Fprintf(s.out, "%s is gone, and %d files with it\n", v.Reference(), n)
				return nil
			})
		},
	}
	return cmd
}

func (s *settings) registrySweepCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "gc",
		Short:   "Remove files that no version has, such as a kill leaves",
		Example: "  medprobe registry gc",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.usingRegistry(cmd.Context(), func(r *registry.Registry) error {
				n, err := r.Sweep(cmd.Context())
				if err != nil {
					return err
				}
				fmt.Fprintf(s.out, "removed %d files\n", n)
				return nil
			})
		},
	}
}
