package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/medprobe/medprobe/registry"
	"github.com/spf13/cobra"
)

func (s *settings) registrySignCommand() *cobra.Command {
	var key, out string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "sign DIR --key KEY.pem",
		Short: "Sign every file of an exported folder",
		Long: `Sign signs every file of a folder with an ECDSA key, as OpenSSF's model signing
does (model_signing 1.0: a Sigstore bundle), into DIR/model.sig. If the folder
has a provenance.json, as exports do, that is signed first, by itself, into
provenance.sigstore.json. The same folder and key give the same signature.

Make a key with
  openssl ecparam -name prime256v1 -genkey -noout -out key.pem
  openssl ec -in key.pem -pubout -out public.pem
and give public.pem to those who are to verify.`,
		Example: "  medprobe registry sign model --key key.pem",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if key == "" {
				return usagef(cmd, "--key is missing; name the file of a private key")
			}
			private, err := readKey(key)
			if err != nil {
				return err
			}
			if info, err := os.Stat(key); err == nil && info.Mode().Perm()&0o077 != 0 {
				s.note("others can read %s; 'chmod 600 %s' keeps it to you", key, key)
			}
			if out == "" {
				out = filepath.Join(args[0], registry.SignatureFile)
			}
			n, err := registry.SignFolder(args[0], out, private)
			if err != nil {
				return err
			}
			if asJSON {
				return s.json(struct {
					Files     int    `json:"files"`
					Signature string `json:"signature"`
				}{n, out})
			}
			fmt.Fprintln(s.out, quoteControl(fmt.Sprintf("signed %d files; the signature is %s", n, out)))
			return nil
		},
	}
	cmd.Flags().StringVar(&key, "key", "", "file of the private key, in PEM (required)")
	cmd.Flags().StringVar(&out, "out", "", "file of the signature (default: DIR/model.sig)")
	jsonFlag(cmd, &asJSON)
	return cmd
}

var errTampered = errors.New("the folder is not what was signed")

func (s *settings) registryVerifySignatureCommand() *cobra.Command {
	var key, signature string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify-signature DIR --key PUBLIC.pem",
		Short: "Check every file of a folder against its signature",
		Long: `Verify-signature checks that a key signed a folder and that every file is what it
was then. A file changed, added, removed or renamed, a link, another key and a
signature that was altered are found; it then exits with 1.`,
		Example: "  medprobe registry verify-signature model --key public.pem",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if key == "" {
				return usagef(cmd, "--key is missing; name the file of the signer's public key")
			}
			public, err := readKey(key)
			if err != nil {
				return err
			}
			c, err := registry.VerifyFolder(args[0], signature, public)
			if err != nil {
				return err
			}
			if asJSON {
				err = s.json(c)
			} else {
				s.showSignature(c)
			}
			if err == nil && !c.OK {
				err = errTampered
			}
			return err
		},
	}
	cmd.Flags().StringVar(&key, "key", "", "file of the signer's public key, in PEM (required)")
	cmd.Flags().StringVar(&signature, "signature", "", "file of the signature (default: DIR/model.sig)")
	jsonFlag(cmd, &asJSON)
	return cmd
}

func (s *settings) showSignature(c *registry.SignatureCheck) {
	for _, what := range c.Damage {
		fmt.Fprintf(s.out, "damage: %s\n", quoteControl(what))
	}
	for _, path := range c.Ignored {
		fmt.Fprintf(s.out, "hint: %q was left out by who signed\n", path)
	}
	if c.OK {
		fmt.Fprintf(s.out, "%d files are as they were signed\n", c.Files)
	}
}

// readKey reads a key in PEM, which is never long.
func readKey(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > 1<<20 || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: want a key in PEM", path)
	}
	return os.ReadFile(path)
}
