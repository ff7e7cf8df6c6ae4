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
	"strings"

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

// usingVersion is usingRegistry for one of its versions.
func (s *settings) usingVersion(ctx context.Context, ref registry.Reference, do func(*registry.Registry, *registry.Version) error) error {
	return s.usingRegistry(ctx, func(r *registry.Registry) error {
		v, err := r.Find(ctx, ref)
		if err != nil {
			return err
		}
		return do(r, v)
	})
}

// parseReference reads a version's name from the command line.
func parseReference(cmd *cobra.Command, name string) (registry.Reference, error) {
	ref, err := registry.ParseReference(name)
	if err != nil {
		err = usagef(cmd, "%w", err)
	}
	return ref, err
}

// versionCommand makes a command about one version.
func (s *settings) versionCommand(cmd *cobra.Command, do func(*registry.Registry, *registry.Version) error) *cobra.Command {
	cmd.Args = cobra.ExactArgs(1)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ref, err := parseReference(cmd, args[0])
		if err != nil {
			return err
		}
		return s.usingVersion(cmd.Context(), ref, do)
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
	jsonFlag(cmd, &asJSON)
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
				if ref, err = parseReference(cmd, args[0]); err != nil {
					return err
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
	jsonFlag(cmd, &asJSON)
	return cmd
}

func (s *settings) registryExportCommand() *cobra.Command {
	var format, out string
	formats := append(registry.Formats(), registry.EndToEnd)
	var words []string
	for _, name := range formats {
		words = append(words, fmt.Sprintf("  %-11s  %s", name, strings.ReplaceAll(registry.FormatWords(name), "\n", "\n"+strings.Repeat(" ", 15))))
	}
	cmd := &cobra.Command{
		Use:   "export NAME[@VERSION|@ALIAS] --format F --out PATH",
		Short: "Write a version for other programs",
		Long: "Export writes a version. --format is:\n\n" + strings.Join(words, "\n") +
			"\n\nNothing that is exported names a patient, an image or a path.",
		Example: "  medprobe registry export cxr@champion --format onnx --out head.onnx",
	}
	cmd.Flags().StringVar(&format, "format", "", strings.Join(formats, ", ")+" (required)")
	cmd.Flags().StringVar(&out, "out", "", "file or new folder to write, as the format is (required)")
	return s.versionCommand(cmd, func(r *registry.Registry, v *registry.Version) error {
		if out == "" {
			return usagef(cmd, "--out is missing; name the file or new folder to write")
		}
		if err := near.Check("--format", format, formats); err != nil {
			return usagef(cmd, "%w", err)
		}
		ending := registry.FormatEnding(format)
		if ending != "" {
			if err := checkEnding(out, []string{ending}); err != nil {
				return err
			}
		}
		export := func() error { return r.Export(cmd.Context(), v, format, out) }
		if format == registry.EndToEnd {
			export = func() error { return exportEndToEnd(cmd.Context(), r, v, out) }
		}
		if err := export(); err != nil {
			return err
		}
		what := ""
		if ending == "" && namesFormat(out) {
			what = ", a folder"
		}
		s.note("%s is in %s%s", v.Reference(), out, what)
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
	jsonFlag(cmd, &asJSON)
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
			ref, err := parseReference(cmd, args[0])
			if err != nil {
				return err
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
