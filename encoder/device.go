package encoder

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	ort "github.com/yalue/onnxruntime_go"
)

// ErrDevice says that the device asked for cannot be used.
var ErrDevice = errors.New("the device cannot be used")

// CheckDevice checks the spelling of a device: "cpu", "cuda" or "cuda:N" for the
// N-th GPU; empty is the CPU.
func CheckDevice(device string) error {
	_, _, err := parseDevice(device)
	return err
}

func parseDevice(device string) (cuda bool, number int, err error) {
	kind, n, numbered := strings.Cut(device, ":")
	switch {
	case device == "" || device == "cpu":
		return false, 0, nil
	case kind == "cuda" && !numbered:
		return true, 0, nil
	case kind == "cuda":
		if number, err = strconv.Atoi(n); err == nil && number >= 0 && number < 1024 {
			return true, number, nil
		}
	}
	return false, 0, fmt.Errorf("device %q: want cpu, cuda or cuda:N for the N-th GPU, from 0", device)
}

// useDevice puts a session on a device.
func useDevice(options *ort.SessionOptions, device string) (err error) {
	cuda, number, err := parseDevice(device)
	if err != nil || !cuda {
		return err
	}
	provider, err := ort.NewCUDAProviderOptions()
	if err == nil {
		defer func() { err = errors.Join(err, provider.Destroy()) }()
		err = provider.Update(map[string]string{
			"device_id": strconv.Itoa(number),
			"use_tf32":  "0", // ten bits of fraction would be other vectors under the same fingerprint
		})
	}
	if err == nil {
		err = options.AppendExecutionProviderCUDA(provider)
	}
	if err != nil {
		return fmt.Errorf("%w: %s: %s; it needs an NVIDIA GPU, its driver, CUDA and cuDNN, and ONNX Runtime built with CUDA, named with --ort-lib", ErrDevice, device, strings.TrimSpace(err.Error()))
	}
	return nil
}
