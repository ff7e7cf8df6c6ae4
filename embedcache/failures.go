package embedcache

import (
	"fmt"
	"strconv"
	"strings"
)

// Failure is a sample that could not be embedded.
type Failure struct {
	ID string `json:"id"`
	// Step is where it failed: "read", "decode" or "encode".
	Step   string `json:"step"`
	Reason string `json:"reason"`
}

// The steps that a sample can fail at.
const (
	StepRead   = "read"
	StepDecode = "decode"
	StepEncode = "encode"
)

// stepError is the error of one sample at one step.
type stepError struct {
	step string
	error
}

func (e stepError) Unwrap() error { return e.error }

// at notes the step of an error.
func at(step string, err error) error {
	if err == nil {
		return nil
	}
	return stepError{step, err}
}

// TooManyFailuresError says that a run was stopped because of its failures.
type TooManyFailuresError struct {
	Failed, Limit int
	First         Failure
}

func (e *TooManyFailuresError) Error() string {
	return fmt.Sprintf("embedcache: stopped after %d failed samples, %d allowed (--max-failures); the first, %q: %s", e.Failed, e.Limit, e.First.ID, e.First.Reason)
}

// ParseMaxFailures reads a number of samples, a share of n such as "5%", or
// "inf", for FillOptions.MaxFailures.
func ParseMaxFailures(text string, n int) (int, error) {
	if text == "inf" {
		return -1, nil
	}
	if share, ok := strings.CutSuffix(text, "%"); ok {
		if p, err := strconv.ParseFloat(share, 64); err == nil && p >= 0 && p <= 100 {
			return int(p / 100 * float64(n)), nil
		}
	} else if k, err := strconv.Atoi(text); err == nil && k >= 0 {
		return k, nil
	}
	return 0, fmt.Errorf("max failures %q: want a number of samples, a share such as 5%%, or inf", text)
}
