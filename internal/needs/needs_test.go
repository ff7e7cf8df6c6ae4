package needs

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// said is a test that notes what becomes of it instead.
type said struct {
	testing.TB
	skipped, failed string
}

func (s *said) Helper()                   {}
func (s *said) Name() string              { return "TestSaid" }
func (s *said) Skip(args ...any)          { s.skipped = args[0].(string); runtime.Goexit() }
func (s *said) Fatal(args ...any)         { s.failed = args[0].(string); runtime.Goexit() }
func (s *said) Skipf(f string, _ ...any)  { s.Skip(f) }
func (s *said) Fatalf(f string, _ ...any) { s.Fatal(f) }

// becomes runs a test and returns "passes", "is skipped" or "fails".
func becomes(test func(testing.TB)) string {
	s, done := &said{}, make(chan struct{})
	go func() {
		defer close(done)
		test(s)
	}()
	<-done
	switch {
	case s.failed != "":
		return "fails"
	case s.skipped != "":
		return "is skipped"
	}
	return "passes"
}

func TestWhatIsSkippedAndWhatFails(t *testing.T) {
	refused := errors.New("operation not permitted")
	granted := func(grant string, err error) func(testing.TB) {
		return func(t testing.TB) { Granted(t, grant, err) }
	}
	skip := func(t testing.TB) { Skip(t, "absent") }
	opinion := func(t testing.TB) { Opinion(t, "absent") }
	for _, c := range []struct {
		name, environment string
		test              func(testing.TB)
		want              string
	}{
		{"a need", "", skip, "is skipped"},
		{"a need in the gate", "SKIP=never", skip, "fails"},
		{"an opinion in the gate", "SKIP=never", opinion, "fails"},
		{"an opinion let go", "SKIP=never OPINIONS=none", opinion, "is skipped"},
		{"a grant that is there", "SKIP=never", granted("mount", nil), "passes"},
		{"no grant", "", granted("mount", refused), "is skipped"},
		{"no grant in the gate", "SKIP=never", granted("mount", refused), "fails"},
		{"a grant let go", "SKIP=never WITHOUT=terminal,mount", granted("mount", refused), "is skipped"},
		{"another let go", "SKIP=never WITHOUT=terminal", granted("mount", refused), "fails"},
		{"a grant let go that is there", "SKIP=never WITHOUT=mount", granted("mount", nil), "passes"},
		{"a grant of a wrong name", "WITHOUT=mounts", granted("mount", nil), "fails"},
		{"asked for", "SKIP=never", func(t testing.TB) { Asked(t, true, "make bench") }, "passes"},
		{"not asked for", "SKIP=never", func(t testing.TB) { Asked(t, false, "make bench") }, "is skipped"},
		{"this system", "SKIP=never", func(t testing.TB) { System(t, "plan9", runtime.GOOS) }, "passes"},
		{"another system", "SKIP=never", func(t testing.TB) { System(t, "plan9") }, "is skipped"},
	} {
		for _, name := range []string{"SKIP", "OPINIONS", "WITHOUT", "REFUSED"} {
			t.Setenv("MEDPROBE_"+name, "")
		}
		for pair := range strings.FieldsSeq(c.environment) {
			name, value, _ := strings.Cut(pair, "=")
			t.Setenv("MEDPROBE_"+name, value)
		}
		if got := becomes(c.test); got != c.want {
			t.Errorf("%s: the test %s: want that it %s", c.name, got, c.want)
		}
	}
}

// A gate can say what was refused, though a package that passes shows no skips.
func TestRefusalsAreNoted(t *testing.T) {
	name := filepath.Join(t.TempDir(), "refused")
	t.Setenv("MEDPROBE_REFUSED", name)
	t.Setenv("MEDPROBE_SKIP", "never")
	t.Setenv("MEDPROBE_WITHOUT", "mount,proc")
	becomes(func(t testing.TB) { Granted(t, "mount", errors.New("not permitted")) })
	becomes(func(t testing.TB) { Granted(t, "proc", nil) })
	if got, err := os.ReadFile(name); err != nil || string(got) != "TestSaid: no mount: not permitted\n" {
		t.Errorf("%q, %v", got, err)
	}
}
