package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"github.com/medprobe/medprobe/encoder"
	"github.com/medprobe/medprobe/internal/turns"
)

// machine is what figures depend on.
type machine struct {
	Commit      string `json:"commit"`
	CPU         string `json:"cpu"`
	Vector      string `json:"vector"` // instructions that products of matrices use
	Cores       int    `json:"cores"`
	Memory      string `json:"memory"`
	System      string `json:"system"`
	Go          string `json:"go"`
	ONNXRuntime string `json:"onnxruntime"`
	Peers       string `json:"peers"`
}

func describe(ctx context.Context) (machine, error) {
	commit, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*").Output()
	if err != nil {
		return machine{}, fmt.Errorf("git describe: %w", err)
	}
	rt, _, err := encoder.FindRuntime("")
	if err != nil {
		return machine{}, err
	}
	return machine{
		Commit: strings.TrimSpace(string(commit)),
		CPU:    field("/proc/cpuinfo", "model name", ":"), Vector: vector(field("/proc/cpuinfo", "flags", ":")), Cores: runtime.NumCPU(), Memory: memory(),
		System: fmt.Sprintf("%s, %s/%s", strings.Trim(field("/etc/os-release", "PRETTY_NAME", "="), `"`), runtime.GOOS, runtime.GOARCH),
		Go:     runtime.Version(), ONNXRuntime: rt.Version, Peers: peers(ctx),
	}, nil
}

// field returns the value of the first line of a file that begins with the name;
// "unknown" where there is none.
func field(file, name, sep string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, sep); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

// vector names those of a processor's flags that products of matrices use.
func vector(flags string) string {
	var there []string
	for flag := range strings.FieldsSeq(flags) {
		switch flag {
		case "avx2", "fma", "f16c", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8", "amx_bf16":
			there = append(there, strings.ReplaceAll(flag, "_", "-"))
		}
	}
	if there == nil {
		return "unknown"
	}
	return strings.ToUpper(strings.Join(there, ", "))
}

func memory() string {
	var kB float64
	if _, err := fmt.Sscan(field("/proc/meminfo", "MemTotal", ":"), &kB); err != nil {
		return "unknown"
	}
	return fmt.Sprintf("%.0f GB", kB/1e6)
}

// load is how many processes wanted a processor, in the mean of the last minute.
func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Fields(string(text))[0]
}

// peers names the versions of Python and of the packages that take part.
func peers(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, turns.Python, "-c", `
import platform, importlib
found = ["Python " + platform.python_version()]
for name, module in [("NumPy", "numpy"), ("scikit-learn", "sklearn"), ("PyTorch", "torch"), ("pydicom", "pydicom")]:
    try:
        found.append(name + " " + importlib.import_module(module).__version__)
    except ImportError:
        found.append("no " + name)
print(", ".join(found))`).Output()
	if err != nil {
		return "no Python at " + turns.Python
	}
	return strings.TrimSpace(string(out))
}
