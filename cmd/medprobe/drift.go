package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/medprobe/medprobe/encoder"
	"github.com/medprobe/medprobe/evaluate"
	"github.com/medprobe/medprobe/experiment"
	"github.com/medprobe/medprobe/internal/near"
	"github.com/medprobe/medprobe/registry"
	"github.com/medprobe/medprobe/report"
	"github.com/spf13/cobra"
)

func (s *settings) driftCommand() *cobra.Command {
	var q experiment.Drift
	var data, name string
	var asJSON, fail bool
	cmd := &cobra.Command{
		Use:   "drift HEAD",
		Short: "Tell whether new images still look like those a head was tested on",
		Long: `Drift embeds images, lets a head score them and compares both with the reference
distribution that the head keeps of its test part: the distance of the embeddings
(MMD²) and, finding by finding, the distribution of the probabilities (KS). Labels
need not be there; where they are, so are the rate of positives and the AUC. p is by
permutations of whole patients and adjusted over all tests.

HEAD is registry:NAME@VERSION or registry:NAME@ALIAS, whatever 'registry export' wrote,
or a head's file in a run. An ONNX model is one file: put the version's
reference.safetensors, which other exports hold, beside it. With fewer than 30
patients drift can be found, but not ruled out; it then says that it cannot tell.

Exit code 0 whatever is found. With --fail-on-drift 3 where there is drift and 4
where it cannot tell.`,
		Example: `  medprobe drift registry:cxr@champion --dataset csv:march.csv
  medprobe drift cxr.tar --dataset csv:march.csv
  medprobe drift run/heads/linear-probe.safetensors --dataset csv:march.csv --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := needFlags(cmd, "dataset"); err != nil {
				return err
			}
			if q.Preprocess != "" {
				if err := near.Check("--preprocess", q.Preprocess, encoder.Profiles()); err != nil {
					return usagef(cmd, "%w", err)
				}
			}
			if err := checkMaxFailures(cmd, q.MaxFailures); err != nil {
				return err
			}
			if cmd.Flags().Changed("alpha") && !(q.Alpha > 0 && q.Alpha <= 0.5) {
				return usagef(cmd, "--alpha %v: want above 0, at most 0.5", q.Alpha)
			}
			var err error
			if q.Data, err = s.spec(data); err != nil {
				return err
			}
			if err := s.driftHead(cmd, args[0], &q); err != nil {
				return err
			}
			q.Seed, q.Preprocess = s.seed, cmp.Or(q.Preprocess, q.Reference.Encoder.Preprocess)
			var d *evaluate.Drift
			err = s.withEncoder(cmd.Context(), cmp.Or(name, q.Reference.Encoder.Name), q.Preprocess, func(o experiment.Options) error {
				d, err = q.Run(cmd.Context(), o)
				return err
			})
			if err != nil {
				return err
			}
			show := report.DriftText
			if asJSON {
				show = report.DriftJSON
			}
			if err := show(s.out, d); err != nil || !fail {
				return err
			}
			return driftError(d)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&data, "dataset", "", "the new images, as FORMAT:PATH or a YAML file (required)")
	flags.StringVar(&name, "encoder", "", "name of an imported encoder (default: the one that the head names)")
	flags.StringVar(&q.Preprocess, "preprocess", "", "preprocessing profile (default: the head's): "+strings.Join(encoder.Profiles(), ", "))
	flags.StringVar(&q.Split, "split", "", "part of the data to look at (default: all of it)")
	flags.Float64Var(&q.Alpha, "alpha", 0, "chance of any false alarm (default 0.05)")
	flags.StringVar(&q.MaxFailures, "max-failures", "5%", "how many samples may fail before the run stops: a number, a share, or inf")
	flags.StringVar(&s.registry, "registry", "", "folder of the registry (default: $MEDPROBE_REGISTRY or the user's configuration folder)")
	flags.BoolVar(&fail, "fail-on-drift", false, "exit with 3 where there is drift, and 4 where it cannot tell")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// driftHead loads the head and its reference.
func (s *settings) driftHead(cmd *cobra.Command, name string, q *experiment.Drift) (err error) {
	version, ok := strings.CutPrefix(name, "registry:")
	if !ok {
		q.Head, q.Reference, err = registry.ReadExport(name)
		if _, no := registry.ParseReference(name); errors.Is(err, fs.ErrNotExist) && no == nil {
			err = fmt.Errorf("%s: no such file or folder; a version in the registry is registry:%s", name, name)
		}
		return err
	}
	ref, err := parseReference(cmd, version)
	if err != nil {
		return err
	}
	return s.usingVersion(cmd.Context(), ref, func(r *registry.Registry, v *registry.Version) error {
		if q.Head, err = r.Head(v); err != nil {
			return err
		}
		q.Reference, err = r.Reference(v)
		return err
	})
}

// driftError is the exit code of a finding.
func driftError(d *evaluate.Drift) error {
	switch d.Verdict {
	case evaluate.Drifted:
		return &verdictError{evaluate.Fail}
	case evaluate.CannotTell:
		return &verdictError{evaluate.Inconclusive}
	}
	return nil
}
