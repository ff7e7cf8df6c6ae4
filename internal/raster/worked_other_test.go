//go:build !linux

package raster

import (
	"testing"
	"time"
)

var began = time.Now()

// worked is the time that passed: how long a thread was at work is not asked here.
func worked(testing.TB) time.Duration { return time.Since(began) }
