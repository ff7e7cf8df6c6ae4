// Package needs says what a test needs of its machine. Where that is absent the
// test is skipped with the reason, except where MEDPROBE_SKIP=never is set, as
// the project's own gate does: there an absent need is a failure, so that no
// check is skipped without anybody noticing.
package needs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// Data returns the folder NAME of the real test data (blood-cells,
// pneumoniamnist, …). It lies in $MEDPROBE_DATA, or in ../shared/data seen from
// the project's root.
func Data(t testing.TB, name string) string {
	t.Helper()
	root := os.Getenv("MEDPROBE_DATA")
	if root == "" {
		root = filepath.Join(Root(t), "..", "shared", "data")
	}
	dir := filepath.Join(root, name)
	if _, err := os.Stat(dir); err != nil {
		Skip(t, "no real data at "+dir+"; set MEDPROBE_DATA to the folder that holds "+name)
	}
	return dir
}

// Checkpoint returns weights that may not be passed on, such as MedSigLIP's, and the
// arrays that a reference computed by them: $MEDPROBE_CHECKPOINT and $MEDPROBE_GOLDEN.
// No gate can have them, so that theirs is the one need whose absence is no failure
// under MEDPROBE_SKIP=never: the same test passes there on weights of the same form.
func Checkpoint(t testing.TB) (weights, golden string) {
	t.Helper()
	weights, golden = os.Getenv("MEDPROBE_CHECKPOINT"), os.Getenv("MEDPROBE_GOLDEN")
	if weights == "" || golden == "" {
		t.Skip("no weights of one's own; tools/reference/siglip.py says how MEDPROBE_CHECKPOINT and MEDPROBE_GOLDEN are made")
	}
	return weights, golden
}

// Root returns the project's root: the nearest folder above with a go.mod.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("no go.mod above the test's folder")
		}
		dir = up
	}
}

// Skip skips the test for a missing need, or fails it under MEDPROBE_SKIP=never.
func Skip(t testing.TB, reason string) {
	t.Helper()
	if os.Getenv("MEDPROBE_SKIP") == "never" {
		t.Fatal("MEDPROBE_SKIP=never, but this test would be skipped: " + reason)
	}
	t.Skip(reason)
}

// Time skips a test that takes long under go test -short. The race detector runs
// with -short: what works in one goroutine, and slowly, shows it nothing.
func Time(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("takes long; go test without -short runs it")
	}
}

// Asked skips what nobody asked for, with the command that asks: a measurement, or what
// writes a page. It is no check that could be missed.
func Asked(t testing.TB, asked bool, how string) {
	t.Helper()
	if !asked {
		t.Skip("only when asked for: " + how)
	}
}

// System skips a test of what other operating systems do not have.
func System(t testing.TB, systems ...string) {
	t.Helper()
	if !slices.Contains(systems, runtime.GOOS) {
		t.Skip("only on " + strings.Join(systems, " and "))
	}
}

// grants are what a machine may refuse to its tests: a pseudo-terminal, a process in
// namespaces of its own, a mounted disk, the folder /proc.
var grants = []string{"terminal", "namespace", "mount", "proc"}

// Granted skips a test of one of the grants where err says that there is none. Under
// MEDPROBE_SKIP=never that is a failure, unless MEDPROBE_WITHOUT names it; several
// names have commas between. What is refused so is noted in the file MEDPROBE_REFUSED.
func Granted(t testing.TB, grant string, err error) {
	t.Helper()
	var without []string
	if text := os.Getenv("MEDPROBE_WITHOUT"); text != "" {
		without = strings.Split(text, ",")
	}
	for _, name := range append(without, grant) {
		if !slices.Contains(grants, name) {
			t.Fatalf("MEDPROBE_WITHOUT: %q: want names of %s, with commas between", name, strings.Join(grants, ", "))
		}
	}
	switch {
	case err == nil:
	case slices.Contains(without, grant):
		note(t, grant, err)
		t.Skipf("MEDPROBE_WITHOUT: no %s: %v", grant, err)
	default:
		Skip(t, fmt.Sprintf("no %s is to be had here (%v); MEDPROBE_WITHOUT=%s does without", grant, err, grant))
	}
}

// note adds a line on what was refused to the file MEDPROBE_REFUSED, if that is set: a
// passing package's output shows no skips.
func note(t testing.TB, grant string, refused error) {
	t.Helper()
	name := os.Getenv("MEDPROBE_REFUSED")
	if name == "" {
		return
	}
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	_, err = fmt.Fprintf(f, "%s: no %s: %v\n", t.Name(), grant, refused)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

// Opinion skips a test that asks a program which a machine need not have: a browser,
// or Python with a reference implementation. Under MEDPROBE_SKIP=never that is a
// failure too, unless MEDPROBE_OPINIONS is "none": there is no way to install one.
func Opinion(t testing.TB, reason string) {
	t.Helper()
	if os.Getenv("MEDPROBE_OPINIONS") == "none" {
		t.Skip(reason)
	}
	Skip(t, reason)
}
