package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/medprobe/medprobe/encoder"
	"github.com/spf13/cobra"
)

const (
	// tryTime is how long a first run of a model may take: loading some
	// gigabytes from a slow disk, and two images.
	tryTime = 10 * time.Minute
	// maxTryOutput bounds what the other process may say.
	maxTryOutput = 1 << 16
)

// try runs a model for the first time in a process of its own, which it may take
// down without harm: this program again, by its hidden command "encoder try".
func (s *settings) try(ctx context.Context, t encoder.Trial) ([]int64, error) {
	library, _, err := encoder.FindRuntime(s.ortLib)
	if err != nil {
		return nil, err
	}
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	task, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, tryTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "encoder", "try", "--ort-lib", library.Path)
	cmd.Args[0] = os.Args[0] // the name it was called by
	cmd.Env = append(os.Environ(), "GOTRACEBACK=none")
	cmd.Stdin = bytes.NewReader(task)
	var stdout, stderr bounded
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("its first run took more than %v", tryTime)
		}
		said, _ := strings.CutPrefix(strings.TrimSpace(stderr.String()), "medprobe: ")
		if exit.ExitCode() == exitError && said != "" {
			return nil, errors.New(said)
		}
		return nil, fmt.Errorf("its first run ended the process (%v); the model is not safe to use", exit)
	}
	if err != nil {
		return nil, err
	}
	var shape []int64
	if err := json.Unmarshal(stdout.Bytes(), &shape); err != nil || len(shape) == 0 {
		return nil, fmt.Errorf("its first run said %.200q: want the shape of an output", stdout.String())
	}
	return shape, nil
}

// bounded keeps the beginning of what is written to it.
type bounded struct{ bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	b.Buffer.Write(p[:min(len(p), max(0, maxTryOutput-b.Len()))])
	return len(p), nil
}

// encoderTryCommand is the other process of try.
func (s *settings) encoderTryCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "try",
		Short:  "Run an ONNX model for the first time, as import does",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			var t encoder.Trial
			if err := json.NewDecoder(cmd.InOrStdin()).Decode(&t); err != nil {
				return fmt.Errorf("want a trial in JSON at the standard input: %w", err)
			}
			if _, _, err := encoder.FindRuntime(s.ortLib); err != nil {
				return err
			}
			if err := limitMemory(t.Bytes); err != nil {
				return err
			}
			shape, err := t.Run(cmd.Context())
			if err != nil {
				return err
			}
			return s.json(shape)
		},
	}
}
