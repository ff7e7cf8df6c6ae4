package main

import (
	"encoding/json"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/medprobe/medprobe/internal/needs"
)

// Two people with a home each embed the same images into the cache of their team
// at once, and a third finds all of them there. The password is said on the command
// line and printed nowhere.
func TestSharedCache(t *testing.T) {
	needs.Time(t)
	t.Parallel()
	const password = "hunter2 & Söhne"
	address := needs.PostgreSQL(t)
	needs.PostgreSQLExec(t, address, `CREATE ROLE anna LOGIN PASSWORD '`+password+`' IN ROLE locked; CREATE SCHEMA medprobe AUTHORIZATION anna`)
	t.Cleanup(func() { needs.PostgreSQLExec(t, address, `DROP OWNED BY anna; DROP ROLE anna`) })
	with := func(password string) string {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		u.User = url.UserPassword("anna", password)
		return u.String()
	}
	secretless := func(out string) string {
		t.Helper()
		if strings.Contains(out, "hunter2") || strings.Contains(out, url.QueryEscape(password)) {
			t.Errorf("the password is shown: %s", out)
		}
		return out
	}
	spec := "csv:" + filepath.Join(phantoms(t), "labels.csv")
	var wait sync.WaitGroup
	samples := make([]int, 2)
	for i := range samples {
		m := newMachine(t)
		wait.Go(func() {
			e := m.embed(spec, "--cache", with(password))
			samples[i] = e.Embedded + e.Cached
		})
	}
	wait.Wait()
	m := newMachine(t)
	if e := m.embed(spec, "--cache", with(password)); e.Embedded != 0 || e.Cached != e.Samples || !slices.Equal(samples, []int{e.Samples, e.Samples}) {
		t.Errorf("%+v after runs of %v: want all in the cache", e, samples)
	}

	var st struct {
		Path    string
		Vectors int
	}
	out := secretless(m.must("cache", "stat", "--json", "--cache", with(password)))
	if err := json.Unmarshal([]byte(out), &st); err != nil || st.Vectors == 0 || !strings.HasPrefix(st.Path, "postgres://anna@/test") {
		t.Errorf("%+v, %v", st, err)
	}
	secretless(m.must("cache", "stat", "--cache", with(password)))
	doctor := secretless(m.must("doctor", "--cache", with(password)))
	if !strings.Contains(doctor, st.Path) {
		t.Errorf("doctor says %q: want it to name %s", doctor, st.Path)
	}

	mistyped := strings.Replace(address, "postgres@", "anna:"+password+"@wrong/", 1)
	for address, want := range map[string]string{
		with(password + "x"): "does not let this user in",
		mistyped:             "cannot be read: want postgres://USER@HOST:PORT/DATABASE",
		"postgres://anna:hunter2@127.0.0.1:1/vectors":                        "postgres://anna@127.0.0.1:1/vectors: the server cannot be reached",
		"postgres://anna:hunter2@127.0.0.1/vectors?sslrootcert=/nowhere.pem": "/nowhere.pem",
	} {
		for _, args := range [][]string{{"cache", "stat"}, {"embed", spec, "--encoder", "demo"}} {
			out, code := m.run(m.command(append(args, "--cache", address)...))
			if secretless(out); code != exitError || !strings.Contains(out, want) || strings.Count(out, "\n") != 1 {
				t.Errorf("%s: exit %d, %q: want a line that says %q", strings.Join(args, " "), code, out, want)
			}
		}
		cmd := m.command("doctor")
		cmd.Env = append(cmd.Env, "MEDPROBE_CACHE="+address)
		var all strings.Builder
		cmd.Stdout = &all
		out, code := m.run(cmd)
		if secretless(out + all.String()); code != exitError || !strings.Contains(all.String(), want) {
			t.Errorf("doctor: exit %d, %q: want it to say %q", code, all.String(), want)
		}
	}
}
