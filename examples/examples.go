// Package examples carries the encoder and the experiment of `medprobe demo`
// inside the program, so that the demo needs no file and no network.
package examples

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
)

// DemoEncoder is the name of the small SigLIP encoder that comes with medprobe.
const DemoEncoder = "demo"

//go:embed demo/encoder demo/experiment.yaml
var files embed.FS

// WriteDemoEncoder writes the demo encoder's checkpoint, as Hugging Face lays
// it out, into the folder dir.
func WriteDemoEncoder(dir string) error {
	return eachEncoderFile(func(name string, data []byte) error {
		return os.WriteFile(filepath.Join(dir, name), data, 0o600)
	})
}

// DemoEncoderDigest names the checkpoint: SHA-256 over names and bytes of its
// files, in hex.
func DemoEncoderDigest() string {
	h := sha256.New()
	// Reading what is compiled in cannot fail.
	_ = eachEncoderFile(func(name string, data []byte) error {
		sum := sha256.Sum256(data)
		h.Write([]byte(name + " " + hex.EncodeToString(sum[:]) + "\n"))
		return nil
	})
	return hex.EncodeToString(h.Sum(nil))
}

// DemoExperiment returns the demo's experiment.yaml.
func DemoExperiment() ([]byte, error) { return files.ReadFile("demo/experiment.yaml") }

func eachEncoderFile(do func(name string, data []byte) error) error {
	const dir = "demo/encoder"
	entries, err := fs.ReadDir(files, dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		data, err := files.ReadFile(dir + "/" + entry.Name())
		if err != nil {
			return err
		}
		if err := do(entry.Name(), data); err != nil {
			return err
		}
	}
	return nil
}
