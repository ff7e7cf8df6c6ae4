package registry_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/medprobe/medprobe/internal/mlflow/mlflowtest"
	"github.com/medprobe/medprobe/registry"
	"github.com/medprobe/medprobe/trainer"
)

// quickly are the options of pushes in tests.
func quickly() registry.MLflowOptions {
	return registry.MLflowOptions{Aliases: []string{"champion"}, Backoff: time.Nanosecond}
}

func push(t testing.TB, r *registry.Registry, v *registry.Version, s *mlflowtest.Server, o registry.MLflowOptions) *registry.MLflowVersion {
	t.Helper()
	p, err := r.PushMLflow(t.Context(), v, s.URL, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPushToMLflow(t *testing.T) {
	t.Parallel()
	r := open(t, t.TempDir())
	v := add(t, r, "cxr", fit(t, 1, trainer.Options{Head: trainer.Logistic, C: 1}))
	files := contents(t, exported(t, r, v, "mlflow"))
	for _, artifacts := range []string{"mlflow-artifacts", "http", "s3"} {
		s := mlflowtest.Start(t)
		s.Behave(func(b *mlflowtest.Behaviour) { b.Artifacts, b.Pending = artifacts, true })
		p := push(t, r, v, s, quickly())
		if p.Experiment != "cxr" || p.Model != "cxr" || p.Version != "1" || s.Alias("cxr", "champion") != "1" {
			t.Errorf("%s: pushed %+v, champion is %q", artifacts, p, s.Alias("cxr", "champion"))
		}
		for name, b := range files {
			if !bytes.Equal(s.Blob("model/"+name), b) {
				t.Errorf("%s: %s is not the file of the export", artifacts, name)
			}
		}
		if half := s.HalfVisible(len(files)); half != nil {
			t.Errorf("%s: %q", artifacts, half)
		}
		auc := v.Document.Metrics[0].AUC
		for key, want := range map[string]float64{"auc/effusion": auc.Point, "auc_ci_low/effusion": auc.Low, "auc_ci_high/effusion": auc.High, "auc_n/effusion": 40, "auc_units/effusion": 20} {
			if got, times := s.Metric(key); got != want || times != 1 {
				t.Errorf("%s: %s is %v, logged %d times: want %v, once", artifacts, key, got, times, want)
			}
		}
		state := s.State()
		for _, want := range []string{v.Digest, `"seed": "7"`, `"dataset_digest": "dddd"`, `"split_digest": "ffff"`, `"encoder_fingerprint": "aaaa"`, `"interval_level": "0.95"`} {
			if !strings.Contains(state, want) {
				t.Errorf("%s: the server does not know %s", artifacts, want)
			}
		}
		if strings.Contains(state, "Doe") || strings.Contains(state, "labels.csv") {
			t.Errorf("%s: the server knows of patients or paths", artifacts)
		}
		requests := s.Requests()
		if push(t, r, v, s, quickly()); s.State() != state || s.Requests()-requests > 6 {
			t.Errorf("%s: a second push changes something, or sends files again (%d requests)", artifacts, s.Requests()-requests)
		}
	}
}

func TestPushOfTwoVersionsMovesTheAlias(t *testing.T) {
	t.Parallel()
	r := open(t, t.TempDir())
	a := add(t, r, "cxr", fit(t, 1, trainer.Options{Head: trainer.Logistic, C: 1}))
	b := add(t, r, "cxr", fit(t, 2, trainer.Options{Head: trainer.Logistic, C: 1}))
	s := mlflowtest.Start(t)
	push(t, r, a, s, quickly())
	if p := push(t, r, b, s, quickly()); p.Version != "2" || s.Alias("cxr", "champion") != "2" {
		t.Errorf("the second version is %s and champion %s: want 2", p.Version, s.Alias("cxr", "champion"))
	}
	// Another name on the server, from the same run.
	o := quickly()
	o.Model, o.Experiment, o.Aliases = "lungs", "cxr", nil
	if p := push(t, r, b, s, o); p.Model != "lungs" || p.Version != "1" {
		t.Errorf("under another name: %+v", p)
	}
	if runs, versions := s.Counts(); runs != 2 || versions != 3 {
		t.Errorf("%d runs and %d versions: want 2 and 3", runs, versions)
	}
}

// many is a version of so many findings, with odd names, that one request does not
// hold its metrics and a name does not fit.
func many(t testing.TB, r *registry.Registry) *registry.Version {
	t.Helper()
	v := add(t, r, "cxr", fit(t, 1, trainer.Options{Head: trainer.Logistic, C: 1}))
	one := v.Document.Metrics[0]
	for i := range 250 {
		m := one
		m.Finding = fmt.Sprintf("a very %s long finding (%d%%) ../%s", strings.Repeat("very ", i%60), i, "Ö:x")
		v.Document.Metrics = append(v.Document.Metrics, m)
		v.Document.Head.Classes = append(v.Document.Head.Classes, m.Finding)
	}
	return v
}

func TestPushKeepsToTheLimits(t *testing.T) {
	t.Parallel()
	r := open(t, t.TempDir())
	v := many(t, r)
	s := mlflowtest.Start(t)
	push(t, r, v, s, quickly())
	batches := 0
	for _, seen := range s.Seen() {
		if strings.HasSuffix(seen, "runs/log-batch") {
			batches++
		}
	}
	// 251 findings of 6 figures: two batches of metrics; one of parameters, one of tags.
	if batches != 4 {
		t.Errorf("%d batches: want 4", batches)
	}
	if n := strings.Count(s.State(), `"Key": "auc/`) + strings.Count(s.State(), `"key": "auc/`); n != 251 {
		t.Errorf("%d findings have an AUC: want 251, none lost to another's name", n)
	}
}

// Whatever request fails, and in whatever way: the push goes through if it passes,
// and if it does not, nothing is half to be seen and the next push ends where an
// undisturbed one would have.
func TestPushSurvivesEveryFault(t *testing.T) {
	t.Parallel()
	r := open(t, t.TempDir())
	v := add(t, r, "cxr", fit(t, 1, trainer.Options{Head: trainer.Logistic, C: 1}))
	whole := mlflowtest.Start(t)
	push(t, r, v, whole, quickly())
	want, files := whole.State(), len(contents(t, exported(t, r, v, "mlflow")))
	requests := whole.Requests()
	faults := map[string]mlflowtest.Fault{
		"busy":                 {Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"0"}}},
		"broken":               {Status: http.StatusInternalServerError},
		"broken afterwards":    {Status: http.StatusBadGateway, After: true},
		"cut off":              {Drop: true},
		"cut off afterwards":   {Drop: true, After: true},
		"refused":              {Status: http.StatusForbidden},
		"refused, yet it took": {Status: http.StatusBadRequest, After: true},
	}
	for name, fault := range faults {
		for at := range requests {
			s := mlflowtest.Start(t)
			passing := !strings.HasPrefix(name, "refused")
			if passing {
				once := func(n int, _ *http.Request) (f mlflowtest.Fault) {
					if n == at {
						f = fault
					}
					return f
				}
				s.Behave(func(b *mlflowtest.Behaviour) { b.Fault = once })
				if push(t, r, v, s, quickly()); s.State() != want {
					t.Errorf("%s at request %d: another end\n%s", name, at, s.State())
				}
				s = mlflowtest.Start(t)
			}
			var down atomic.Bool
			down.Store(true)
			fromThenOn := func(n int, _ *http.Request) (f mlflowtest.Fault) {
				if half := s.HalfVisibleNow(files); half != nil {
					t.Errorf("%s at request %d: %q", name, at, half)
				}
				if n >= at && down.Load() {
					f = fault
				}
				return f
			}
			s.Behave(func(b *mlflowtest.Behaviour) { b.Fault = fromThenOn })
			if _, err := r.PushMLflow(t.Context(), v, s.URL, quickly()); err == nil {
				t.Errorf("%s from request %d on: the push says it is well", name, at)
			}
			if runs, versions := s.Counts(); runs > 1 || versions > 1 {
				t.Errorf("%s from request %d on: %d runs, %d versions", name, at, runs, versions)
			}
			if s.Alias("cxr", "champion") != "" && !fault.After {
				t.Errorf("%s from request %d on: the alias is set", name, at)
			}
			down.Store(false)
			if push(t, r, v, s, quickly()); s.State() != want {
				t.Errorf("%s from request %d on, then pushed again: another end\n%s\nwant\n%s", name, at, s.State(), want)
			}
		}
	}
}

func TestPushEndsWhenItIsCancelled(t *testing.T) {
	t.Parallel()
	r := open(t, t.TempDir())
	v := add(t, r, "cxr", fit(t, 1, trainer.Options{Head: trainer.Logistic, C: 1}))
	s := mlflowtest.Start(t)
	ctx, cancel := context.WithCancel(t.Context())
	unavailable := func(n int, _ *http.Request) (f mlflowtest.Fault) {
		if n == 3 {
			f.Status = http.StatusServiceUnavailable
		}
		return f
	}
	s.Behave(func(b *mlflowtest.Behaviour) { b.Fault = unavailable })
	o := quickly()
	o.Backoff = time.Hour // only the end of the context ends it
	o.Note = func(string) { cancel() }
	if _, err := r.PushMLflow(ctx, v, s.URL, o); err == nil || ctx.Err() == nil {
		t.Errorf("a push that is cancelled ends with %v", err)
	}
	if _, versions := s.Counts(); versions != 0 {
		t.Error("and there is a version")
	}
}

// A name with its password goes before a token, as in MLflow's own client.
func TestPushCredentials(t *testing.T) {
	t.Parallel()
	r := open(t, t.TempDir())
	v := add(t, r, "cxr", fit(t, 1, trainer.Options{Head: trainer.Logistic, C: 1}))
	for want, o := range map[string]registry.MLflowOptions{
		"Bearer abc":         {Token: "abc"},
		"Basic YWRhOmxvdmU=": {Username: "ada", Password: "love", Token: "abc"},
		"Basic w6TDtjrDvA==": {Username: "äö", Password: "ü"},
		"":                   {},
	} {
		s := mlflowtest.Start(t)
		s.Behave(func(b *mlflowtest.Behaviour) { b.Authorization = want })
		push(t, r, v, s, o)
		s.Behave(func(b *mlflowtest.Behaviour) { b.Authorization = "Bearer another" })
		if _, err := r.PushMLflow(t.Context(), v, s.URL, o); err == nil {
			t.Errorf("%q is let in with another", want)
		}
	}
}

func TestPushRefusals(t *testing.T) {
	t.Parallel()
	r := open(t, t.TempDir())
	v := add(t, r, "cxr", fit(t, 1, trainer.Options{Head: trainer.Logistic, C: 1}))
	trees := add(t, r, "trees", fit(t, 1, trainer.Options{Head: trainer.GolearnTrees}))
	s := mlflowtest.Start(t)
	away := mlflowtest.Start(t)
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("<html>")) }))
	t.Cleanup(page.Close)
	moved := httptest.NewServer(http.RedirectHandler(away.URL+"/?token=x", http.StatusTemporaryRedirect))
	t.Cleanup(moved.Close)
	foreign := mlflowtest.Start(t)
	foreign.Behave(func(b *mlflowtest.Behaviour) { b.Artifacts = "foreign" })
	locked := mlflowtest.Start(t)
	locked.Behave(func(b *mlflowtest.Behaviour) { b.Authorization = "Bearer another" })
	o := quickly()
	with := func(change func(*registry.MLflowOptions)) registry.MLflowOptions {
		o := o
		change(&o)
		return o
	}
	for what, c := range map[string]struct {
		v       *registry.Version
		address string
		o       registry.MLflowOptions
		message string
	}{
		"no address":         {v, "mlflow", o, `address "mlflow": want that of a tracking server`},
		"another scheme":     {v, "ftp://x", o, "want that of a tracking server"},
		"a name in it":       {v, "https://ada:lovelace@x", o, "give it without"},
		"half a name":        {v, s.URL, with(func(o *registry.MLflowOptions) { o.Username = "ada" }), "set both or none"},
		"a broken token":     {v, s.URL, with(func(o *registry.MLflowOptions) { o.Token = "a\nb" }), "control character"},
		"a reserved alias":   {v, s.URL, with(func(o *registry.MLflowOptions) { o.Aliases = []string{"Latest"} }), `alias "Latest"`},
		"an alias of digits": {v, s.URL, with(func(o *registry.MLflowOptions) { o.Aliases = []string{"v3"} }), `alias "v3"`},
		"a path as model":    {v, s.URL, with(func(o *registry.MLflowOptions) { o.Model = "a/b" }), `registered model "a/b"`},
		"no ONNX":            {trees, s.URL, o, "golearn-forest head keeps"},
		"a web page":         {v, page.URL, o, "is this the address of a tracking server?"},
		"a redirect":         {v, moved.URL, o, "give the address that it has in the end"},
		"foreign artefacts":  {v, foreign.URL, o, `keeps artefacts at "elsewhere.example.org"`},
		"no credentials":     {v, locked.URL, o, "set MLFLOW_TRACKING_TOKEN"},
	} {
		_, err := r.PushMLflow(t.Context(), c.v, c.address, c.o)
		if err == nil || !strings.Contains(err.Error(), c.message) || strings.Contains(err.Error(), "lovelace") {
			t.Errorf("%s: %v: want an error with %q", what, err, c.message)
		}
	}
	if s.Requests() != 0 || away.Requests() != 0 {
		t.Errorf("%d requests for what cannot be, %d to where a redirect leads: want none", s.Requests(), away.Requests())
	}
}
