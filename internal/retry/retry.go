// Package retry does again what failed for a reason that may pass.
package retry

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"time"
)

const (
	// attempts is how often something is tried.
	attempts = 6
	// maxWait bounds the wait between two attempts.
	maxWait = 30 * time.Second
)

// Policy says how to wait.
type Policy struct {
	// Backoff is the wait before the first repetition; each next one waits twice as
	// long. Default 500 ms.
	Backoff time.Duration
	// Note, if not nil, is told of each repetition.
	Note func(what string)
}

// Do calls try until it succeeds, fails for good, or was called six times; or until
// the context ends, also while it waits. Passing reports whether an error may be gone
// at the next attempt, and how long the other side asks to wait.
func (p Policy) Do(ctx context.Context, passing func(error) (again bool, after time.Duration), try func() error) error {
	for attempt := 1; ; attempt++ {
		err := try()
		if err == nil || ctx.Err() != nil {
			return err
		}
		again, after := passing(err)
		if !again {
			return err
		}
		if attempt == attempts {
			return fmt.Errorf("%w (tried %d times)", err, attempts)
		}
		if err := p.wait(ctx, attempt, after, err); err != nil {
			return err
		}
	}
}

// wait waits twice as long as before the last attempt, at least as long as is asked
// for, and up to a quarter more, so that many that fail together come back apart.
func (p Policy) wait(ctx context.Context, attempt int, after time.Duration, failed error) error {
	d := min(cmp.Or(p.Backoff, 500*time.Millisecond)<<(attempt-1), maxWait)
	d = max(d+time.Duration(rand.Int64N(int64(d)/4+1)), after)
	if p.Note != nil {
		p.Note(fmt.Sprintf("%v; again in %v", failed, d.Round(time.Millisecond)))
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

// Status reports whether an HTTP status may be another at the next attempt.
func Status(code int) bool {
	switch code {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// Connection reports whether what broke a connection may be gone at the next attempt:
// no certificate that is not trusted, name that is not there, or server without TLS.
func Connection(err error) bool {
	var certificate *tls.CertificateVerificationError
	var name *net.DNSError
	return !errors.Is(err, http.ErrSchemeMismatch) && !errors.As(err, &certificate) && !(errors.As(err, &name) && name.IsNotFound)
}

// After is what a header Retry-After asks for in seconds, up to half a minute.
func After(h http.Header) time.Duration {
	seconds, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return min(time.Duration(min(seconds, 3600))*time.Second, maxWait)
}
