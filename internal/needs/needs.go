// Package needs says what a test needs of its machine. Where that is absent the
// test is skipped with the reason, except where MEDPROBE_SKIP=never is set, as
// the project's own gate does: there an absent need is a failure, so that no
// check is skipped without anybody noticing.
package needs

import (
	"os"
	"path/filepath"
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
