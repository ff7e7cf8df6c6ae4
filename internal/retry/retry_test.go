package retry

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"
)

var errBusy = errors.New("busy")

func busy(err error) (bool, time.Duration) { return errors.Is(err, errBusy), 0 }

func TestDo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		fails, want int
		err         error
		message     string
	}{
		{0, 1, errBusy, ""}, {3, 4, errBusy, ""}, {5, 6, errBusy, ""}, {6, 6, errBusy, "busy (tried 6 times)"}, {6, 1, errors.New("no"), "no"},
	} {
		calls, notes := 0, 0
		p := Policy{Backoff: time.Nanosecond, Note: func(string) { notes++ }}
		err := p.Do(t.Context(), busy, func() error {
			calls++
			if calls <= c.fails {
				return c.err
			}
			return nil
		})
		if calls != c.want || notes != c.want-1 || (err == nil) != (c.message == "") || err != nil && err.Error() != c.message {
			t.Errorf("%d failures of %v: %d calls, %d notes, %v: want %d calls and %q", c.fails, c.err, calls, notes, err, c.want, c.message)
		}
	}
}

func TestDoEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	p := Policy{Backoff: time.Hour, Note: func(string) { cancel() }}
	err := p.Do(ctx, busy, func() error { return errBusy })
	if !errors.Is(err, context.Canceled) || !errors.Is(err, errBusy) || !strings.Contains(err.Error(), "while waiting") {
		t.Errorf("%v: want both reasons", err)
	}
}

func TestAfter(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{"": 0, "3": 3 * time.Second, "-1": 0, "soon": 0, "600": maxWait} {
		if got := After(http.Header{"Retry-After": {text}}); got != want {
			t.Errorf("Retry-After %q: %v, want %v", text, got, want)
		}
	}
}
