package mlflow

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// broken is what happened to a request that got no whole answer.
type broken struct{ err error }

func (b *broken) Error() string { return b.err.Error() }
func (b *broken) Unwrap() error { return b.err }

const (
	// attempts is how often something is tried.
	attempts = 6
	// maxWait bounds the wait between two attempts.
	maxWait = 30 * time.Second
)

// retry calls try until it succeeds, fails for good, or was called often enough.
func (c *Client) retry(ctx context.Context, try func() error) error {
	for attempt := 1; ; attempt++ {
		err := try()
		if err == nil || ctx.Err() != nil || !passing(err) {
			return err
		}
		if attempt == attempts {
			return fmt.Errorf("%w (tried %d times)", err, attempts)
		}
		if err := c.wait(ctx, attempt, err); err != nil {
			return err
		}
	}
}

// passing reports whether an error may be gone at the next attempt.
func passing(err error) bool {
	var b *broken
	var e *Error
	switch {
	case errors.As(err, &b):
		return true
	case !errors.As(err, &e):
		return false
	}
	switch e.Status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// wait waits before the attempt after a failed one: twice as long as before it, at
// least as long as the server asks for, and a little more or less than others do.
func (c *Client) wait(ctx context.Context, attempt int, failed error) error {
	d := min(c.backoff<<(attempt-1), maxWait)
	d += time.Duration(rand.Int64N(int64(d)/4 + 1))
	var e *Error
	if errors.As(failed, &e) {
		d = max(d, e.after)
	}
	if c.note != nil {
		c.note(fmt.Sprintf("%v; again in %v", failed, d.Round(time.Millisecond)))
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return fmt.Errorf("%w while waiting after: %w", ctx.Err(), failed)
	case <-timer.C:
		return nil
	}
}

// retryAfter is what the server asks for, in seconds, up to maxWait.
func retryAfter(h http.Header) time.Duration {
	seconds, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return min(time.Duration(seconds)*time.Second, maxWait)
}
