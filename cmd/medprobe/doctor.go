package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"text/tabwriter"

	"github.com/medprobe/medprobe/embedcache"
	"github.com/medprobe/medprobe/encoder"
	"github.com/spf13/cobra"
	"golang.org/x/sys/cpu"
)

// diagnosis is what doctor found; its JSON is for bug reports.
type diagnosis struct {
	Medprobe string          `json:"medprobe"`
	Go       string          `json:"go"`
	Platform string          `json:"platform"`
	CPUs     int             `json:"cpus"`
	CPU      []string        `json:"cpu_features"`
	Runtime  *runtimeFound   `json:"onnxruntime"`
	Tried    []encoder.Tried `json:"tried"`
	Cache    string          `json:"cache"`
	Encoders string          `json:"encoders"`
	Problems []string        `json:"problems"`
}

type runtimeFound struct {
	Path    string `json:"path"`
	Version string `json:"version"`
}

func (s *settings) doctorCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "doctor",
		Short:   "Say which ONNX Runtime is used, where the cache lies and what is wrong",
		Example: "  medprobe doctor",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			d := s.diagnose(cmd.Context())
			if asJSON {
				if err := s.json(d); err != nil {
					return err
				}
			} else if err := s.printDiagnosis(d); err != nil {
				return err
			}
			if len(d.Problems) > 0 {
				return fmt.Errorf("doctor: %d problem(s) found", len(d.Problems))
			}
			return nil
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func (s *settings) diagnose(ctx context.Context) diagnosis {
	d := diagnosis{
		Medprobe: buildVersion(),
		Go:       runtime.Version(),
		Platform: runtime.GOOS + "/" + runtime.GOARCH,
		CPUs:     runtime.GOMAXPROCS(0),
		CPU:      cpuFeatures(),
		Problems: []string{},
	}
	found, tried, err := encoder.FindRuntime(s.ortLib)
	d.Tried = append([]encoder.Tried{}, tried...)
	if err != nil {
		what, _, _ := strings.Cut(err.Error(), "; tried:") // as listed beside it
		d.Problems = append(d.Problems, what)
	} else {
		d.Runtime = &runtimeFound{Path: found.Path, Version: found.Version}
	}
	if d.Encoders, err = encoder.DefaultDir(); err != nil {
		d.Problems = append(d.Problems, err.Error())
	} else if err := writableFolder(d.Encoders); err != nil {
		d.Problems = append(d.Problems, fmt.Sprintf("encoders %s: %v; name another folder with MEDPROBE_ENCODERS", d.Encoders, err))
	}
	path, err := s.cachePath()
	d.Cache = embedcache.Shown(path)
	if err != nil {
		d.Problems = append(d.Problems, err.Error())
	} else if embedcache.IsRemote(path) {
		if err := embedcache.Reach(ctx, path); err != nil {
			d.Problems = append(d.Problems, err.Error())
		}
	} else if err := writable(path); err != nil {
		d.Problems = append(d.Problems, fmt.Sprintf("cache %s: %v; name another file with --cache or MEDPROBE_CACHE", d.Cache, err))
	}
	return d
}

func (s *settings) printDiagnosis(d diagnosis) error {
	w := tabwriter.NewWriter(s.out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(w, "medprobe\t%s (%s, %s, %d CPUs: %v)\n", d.Medprobe, d.Go, d.Platform, d.CPUs, d.CPU)
	if d.Runtime != nil {
		fmt.Fprintf(w, "ONNX Runtime\t%s, %s\n", d.Runtime.Version, d.Runtime.Path)
	} else {
		fmt.Fprintf(w, "ONNX Runtime\tnot found\n")
	}
	fmt.Fprintf(w, "cache\t%s\nencoders\t%s\n", orDash(d.Cache), orDash(d.Encoders))
	if err := w.Flush(); err != nil {
		return err
	}
	for _, t := range d.Tried {
		fmt.Fprintf(s.out, "  tried %s: %s\n", t.Path, t.Reason)
	}
	for _, p := range d.Problems {
		fmt.Fprintf(s.out, "problem: %s\n", quoteControl(p))
	}
	if len(d.Problems) == 0 {
		fmt.Fprintln(s.out, "nothing is wrong: ONNX Runtime loads, and cache and encoders can be written")
	}
	return nil
}

// buildVersion is the version set at link time, or the commit Go recorded.
func buildVersion() string {
	if version != "dev" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, setting := range info.Settings {
			if setting.Key == "vcs.revision" {
				return version + " " + setting.Value[:min(12, len(setting.Value))]
			}
		}
	}
	return version
}

// cpuFeatures lists what decides the speed of matrix products.
func cpuFeatures() []string {
	features := []string{}
	for _, f := range []struct {
		name string
		has  bool
	}{
		{"avx2", cpu.X86.HasAVX2}, {"avx512", cpu.X86.HasAVX512F}, {"avx512-vnni", cpu.X86.HasAVX512VNNI},
		{"amx-int8", cpu.X86.HasAMXInt8}, {"asimd", cpu.ARM64.HasASIMD}, {"asimd-dotprod", cpu.ARM64.HasASIMDDP},
	} {
		if f.has {
			features = append(features, f.name)
		}
	}
	return features
}

// writable says whether the file, or the nearest folder above it that exists,
// can be written to.
func writable(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err == nil {
		return f.Close()
	}
	if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return writableFolder(filepath.Dir(path))
}

// writableFolder says whether the folder, or the nearest one above it that
// exists, can be written to.
func writableFolder(path string) error {
	for dir := path; ; dir = filepath.Dir(dir) {
		f, err := os.CreateTemp(dir, ".medprobe-*")
		if err == nil {
			return errors.Join(f.Close(), os.Remove(f.Name()))
		}
		if _, absent := os.Lstat(dir); errors.Is(absent, os.ErrNotExist) && dir != filepath.Dir(dir) {
			continue
		}
		var cause *os.PathError
		if errors.As(err, &cause) {
			err = cause.Err
		}
		return fmt.Errorf("write in %s: %w", dir, err)
	}
}
