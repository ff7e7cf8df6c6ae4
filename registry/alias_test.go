package registry_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/medprobe/medprobe/registry"
	"github.com/medprobe/medprobe/trainer"
)

func TestAliasesMoveAndRemember(t *testing.T) {
	t.Parallel()
	r := open(t, t.TempDir())
	for seed := range uint64(2) {
		add(t, r, "cxr", fit(t, seed, trainer.Options{Head: trainer.Logistic, C: 1}))
	}
	for _, number := range []int{1, 2} {
		if err := r.SetAlias(t.Context(), "cxr", "champion", number, "ada", "better"); err != nil {
			t.Fatal(err)
		}
	}
	v, err := r.Find(t.Context(), registry.Reference{Model: "cxr", Alias: "champion"})
	if err != nil || v.Number != 2 || !slices.Equal(v.Aliases, []string{"champion"}) {
		t.Errorf("champion is %v, %v: want version 2", v, err)
	}
	if _, err := r.Remove(t.Context(), v.Reference()); err == nil || !strings.Contains(err.Error(), "is champion") {
		t.Errorf("removing the champion: %v: want an error that names the alias", err)
	}
	if err := r.RemoveAlias(t.Context(), "cxr", "champion", "bob", "gone"); err != nil {
		t.Fatal(err)
	}
	moves, err := r.History(t.Context(), "cxr")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range moves {
		got = append(got, fmt.Sprintf("%d %d %s", m.From, m.To, m.By))
	}
	if want := []string{"0 1 ada", "1 2 ada", "2 0 bob"}; !slices.Equal(got, want) {
		t.Errorf("history %q: want %q", got, want)
	}
	if err := r.SetAlias(t.Context(), "cxr", "champion", 9, "ada", ""); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("alias of a version that is not there: %v: want ErrNotFound", err)
	}
	verified(t, r, true)
}

// Of two who decided about the same champion, one moves it.
func TestAliasesClash(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := open(t, dir)
	for seed := range uint64(3) {
		add(t, r, "cxr", fit(t, seed, trainer.Options{Head: trainer.Logistic, C: 1}))
	}
	if err := r.MoveAlias(t.Context(), "cxr", "champion", 0, 1, "ada", ""); err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	errs := make([]error, 2)
	for i := range errs {
		group.Go(func() { errs[i] = r.MoveAlias(context.Background(), "cxr", "champion", 1, 2+i, "ada", "") })
	}
	group.Wait()
	lost := slices.IndexFunc(errs, func(err error) bool { return err != nil })
	if lost < 0 || errs[1-lost] != nil || !errors.Is(errs[lost], registry.ErrMoved) || !strings.Contains(errs[lost].Error(), "decide again") {
		t.Fatalf("errors %v: want one ErrMoved", errs)
	}
	if v, err := r.Find(t.Context(), registry.Reference{Model: "cxr", Alias: "champion"}); err != nil || v.Number != 3-lost {
		t.Errorf("champion is %v, %v: want version %d", v, err, 3-lost)
	}
	if moves, err := r.History(t.Context(), "cxr"); err != nil || len(moves) != 2 {
		t.Errorf("history %+v, %v: want two moves", moves, err)
	}
	verified(t, r, true)
}

func TestReferences(t *testing.T) {
	t.Parallel()
	refused := 0
	for text, want := range map[string]registry.Reference{
		"cxr": {Model: "cxr"}, "cxr@3": {Model: "cxr", Number: 3}, "c-x_r.2@champion": {Model: "c-x_r.2", Alias: "champion"},
	} {
		got, err := registry.ParseReference(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("%q is %+v (%s), %v: want %+v", text, got, got, err, want)
		}
	}
	for _, text := range []string{
		"", "../x", "a/b", ".", "..", "a..b", "con", "nul.txt", "%2e%2e", "x#/../", "раper", "A", "a b", "a\x00", "-x", "cxr@0", "cxr@-1", "cxr@", "cxr@../x",
		strings.Repeat("a", 65), "cxr@a@b",
	} {
		if ref, err := registry.ParseReference(text); err == nil {
			t.Errorf("%q is taken for %+v: want an error", text, ref)
		}
		refused++
	}
	t.Logf("measured: %d of %d hostile names refused", refused, refused)
}
