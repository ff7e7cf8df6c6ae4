package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/medprobe/medprobe/encoder"
	"github.com/medprobe/medprobe/examples"
	"github.com/spf13/cobra"
)

func (s *settings) encoderCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "encoder", Short: "Import encoders and show them"}
	cmd.AddCommand(s.encoderImportCommand(), s.encoderListCommand(), s.encoderShowCommand())
	return cmd
}

func (s *settings) encoderImportCommand() *cobra.Command {
	var o encoder.ImportOptions
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "import SRC",
		Short: "Turn a Hugging Face checkpoint folder into an encoder",
		Long: `Import reads config.json, the safetensors weights, spiece.model and
preprocessor_config.json of a SigLIP checkpoint folder and writes an encoder
that the other commands open by name. Nothing is downloaded and nothing is
unpickled.`,
		Example: "  medprobe encoder import ~/models/medsiglip-448 --name medsiglip",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if o.Dir, err = encoder.DefaultDir(); err != nil {
				return err
			}
			m, err := encoder.Import(cmd.Context(), args[0], o)
			if err != nil {
				return err
			}
			return s.showManifest(m, asJSON)
		},
	}
	cmd.Flags().StringVar(&o.Name, "name", "", "name to use it by (default: the folder's)")
	cmd.Flags().StringVar(&o.Precision, "precision", "fp32", "precision of the weights: fp32")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	return cmd
}

func (s *settings) encoderListCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the imported encoders",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := encoder.DefaultDir()
			if err != nil {
				return err
			}
			manifests, err := encoder.List(dir)
			if err != nil {
				return err
			}
			if asJSON {
				return s.json(append([]encoder.Manifest{}, manifests...))
			}
			if len(manifests) == 0 {
				s.note("no encoder is imported yet; medprobe encoder import SRC imports one, and demo comes with medprobe")
				return nil
			}
			w := tabwriter.NewWriter(s.out, 0, 8, 2, ' ', 0)
			fmt.Fprintln(w, "NAME\tDIM\tSIZE\tTEXT\tPRECISION\tFINGERPRINT")
			for _, m := range manifests {
				fmt.Fprintf(w, "%s\t%d\t%d\t%v\t%s\t%.12s\n", m.Name, m.Dim, m.ImageSize, m.HasText, m.Precision, m.Fingerprint)
			}
			return w.Flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	return cmd
}

func (s *settings) encoderShowCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show NAME",
		Short: "Show one encoder",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := encoder.DefaultDir()
			if err != nil {
				return err
			}
			if args[0] == examples.DemoEncoder {
				if err := importDemo(cmd.Context(), dir); err != nil {
					return err
				}
			}
			m, err := encoder.Show(dir, args[0])
			if err != nil {
				return err
			}
			return s.showManifest(m, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	return cmd
}

func (s *settings) showManifest(m *encoder.Manifest, asJSON bool) error {
	if asJSON {
		return s.json(m)
	}
	w := tabwriter.NewWriter(s.out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(w, "name\t%s\nfingerprint\t%s\ndimensions\t%d\nimage size\t%d\ntext tower\t%v\nprecision\t%s\npreprocess\t%s\n",
		m.Name, m.Fingerprint, m.Dim, m.ImageSize, m.HasText, m.Precision, m.Preprocess)
	return w.Flush()
}
