package main

import (
	"fmt"
	"net"
	"net/url"
	"os"

	"github.com/medprobe/medprobe/internal/near"
	"github.com/medprobe/medprobe/registry"
	"github.com/spf13/cobra"
)

func (s *settings) registryPushCommand() *cobra.Command {
	var to string
	var m registry.MLflowOptions
	var o registry.OCIOptions
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "push NAME[@VERSION|@ALIAS] URI --to mlflow|oci",
		Short: "Put a version on a server",
		Long: `Push puts a version on a server. --to is:

  mlflow  a tracking server of MLflow, 2 or 3, by its address: a run with
          parameters, figures and the MLflow model, a version of a registered
          model, and the aliases that --alias names
  oci     a container registry, as HOST/REPOSITORY[:TAG]: the ModelPack artefact
          that 'export --format oci' writes; without TAG, the version's number

What may pass is tried again. A push that was interrupted leaves nothing half to
be seen; push again to go on with it. What is there is not made twice.

Credentials come from the environment and are never printed or stored:
MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD;
MEDPROBE_OCI_USERNAME and MEDPROBE_OCI_PASSWORD, or what 'docker login' left.`,
		Example: `  medprobe registry push cxr@champion https://mlflow.example.org --to mlflow --alias champion
  medprobe registry push cxr@3 registry.example.org/hospital/cxr --to oci`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			ref, err := parseReference(cmd, args[0])
			if err != nil {
				return err
			}
			if err := checkPush(cmd, to); err != nil {
				return err
			}
			note := func(what string) { s.note("%s", what) }
			m.Note, o.Note = note, note
			return s.usingVersion(cmd.Context(), ref, func(r *registry.Registry, v *registry.Version) error {
				if to == "oci" {
					return s.pushOCI(cmd, r, v, args[1], o, asJSON)
				}
				return s.pushMLflow(cmd, r, v, args[1], m, asJSON)
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&to, "to", "", "mlflow or oci (required)")
	flags.StringVar(&m.Experiment, "experiment", "", "mlflow: name of the experiment (default: the model's name)")
	flags.StringVar(&m.Model, "as", "", "mlflow: name of the registered model (default: the model's name)")
	flags.StringArrayVar(&m.Aliases, "alias", nil, "mlflow: alias to move to the new version; may be repeated")
	flags.BoolVar(&o.PlainHTTP, "plain-http", false, "oci: a registry without TLS, such as one on this machine")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// checkPush refuses a target that is not known and flags that it has no use for.
func checkPush(cmd *cobra.Command, to string) error {
	if to == "" {
		return usagef(cmd, "--to is missing: want mlflow or oci")
	}
	if err := near.Check("--to", to, []string{"mlflow", "oci"}); err != nil {
		return usagef(cmd, "%w", err)
	}
	for flag, of := range map[string]string{"experiment": "mlflow", "as": "mlflow", "alias": "mlflow", "plain-http": "oci"} {
		if cmd.Flags().Changed(flag) && of != to {
			return usagef(cmd, "--%s means something with --to %s only", flag, of)
		}
	}
	return nil
}

func (s *settings) pushMLflow(cmd *cobra.Command, r *registry.Registry, v *registry.Version, address string, o registry.MLflowOptions, asJSON bool) error {
	o.Token, o.Username, o.Password = os.Getenv("MLFLOW_TRACKING_TOKEN"), os.Getenv("MLFLOW_TRACKING_USERNAME"), os.Getenv("MLFLOW_TRACKING_PASSWORD")
	if o.Token+o.Password != "" && inTheOpen(address) {
		s.note("the credentials go without TLS: whoever is on the way can read them")
	}
	p, err := r.PushMLflow(cmd.Context(), v, address, o)
	if err != nil {
		return err
	}
	if asJSON {
		return s.json(p)
	}
	line := fmt.Sprintf("%s is version %s of %s, from run %s", v.Reference(), p.Version, p.Model, p.Run)
	for _, alias := range p.Aliases {
		line += fmt.Sprintf("; %s@%s", p.Model, alias)
	}
	fmt.Fprintln(s.out, quoteControl(line))
	return nil
}

// inTheOpen reports whether what is sent to an address leaves this machine without
// TLS.
func inTheOpen(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" {
		return false
	}
	host := u.Hostname()
	return host != "localhost" && !net.ParseIP(host).IsLoopback()
}

func (s *settings) pushOCI(cmd *cobra.Command, r *registry.Registry, v *registry.Version, reference string, o registry.OCIOptions, asJSON bool) error {
	o.Username, o.Password = os.Getenv("MEDPROBE_OCI_USERNAME"), os.Getenv("MEDPROBE_OCI_PASSWORD")
	p, err := r.PushOCI(cmd.Context(), v, reference, o)
	if err != nil {
		return err
	}
	if asJSON {
		return s.json(p)
	}
	fmt.Fprintln(s.out, quoteControl(fmt.Sprintf("%s is %s, %s", v.Reference(), p.Reference, p.Digest)))
	return nil
}
