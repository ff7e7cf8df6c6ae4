package registry_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	container "github.com/google/go-containerregistry/pkg/registry"
	"github.com/medprobe/medprobe/registry"
	"github.com/medprobe/medprobe/trainer"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content/memory"
	"oras.land/oras-go/v2/registry/remote"
)

// containers is a real container registry, which can fail from some request on.
type containers struct {
	host string

	mu       sync.Mutex
	requests int
	// fault, if not nil, says whether the n-th request fails, and whether after it
	// took effect.
	fault func(n int) (fails, after bool)
	// authorization, if not empty, is what a request must carry.
	authorization string
}

func startContainers(t *testing.T) *containers {
	t.Helper()
	c := &containers{}
	real := container.New(container.Logger(log.New(io.Discard, "", 0)))
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		n := c.requests
		c.requests++
		var fails, after bool
		if c.fault != nil {
			fails, after = c.fault(n)
		}
		want := c.authorization
		c.mu.Unlock()
		// Who asks with HEAD gets no text that could repeat anything.
		if got := r.Header.Get("Authorization"); want != "" && got != want && r.Method != http.MethodHead {
			w.Header().Set("WWW-Authenticate", `Basic realm="here"`)
			w.WriteHeader(http.StatusUnauthorized)
			// A careless registry repeats what it was sent.
			fmt.Fprintf(w, `{"errors":[{"code":"UNAUTHORIZED","message":"%s"}]}`, got)
			return
		}
		if fails && !after {
			panic(http.ErrAbortHandler)
		}
		if fails {
			real.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		}
		real.ServeHTTP(w, r)
	}))
	h.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(h.Close)
	c.host = strings.TrimPrefix(h.URL, "http://")
	return c
}

func (c *containers) set(fault func(int) (bool, bool)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests, c.fault = 0, fault
}

func (c *containers) tags(t *testing.T, repository string) []string {
	t.Helper()
	response, err := http.Get("http://" + c.host + "/v2/" + repository + "/tags/list")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	defer http.DefaultClient.CloseIdleConnections()
	var list struct{ Tags []string }
	if response.StatusCode != http.StatusNotFound {
		if err := json.NewDecoder(response.Body).Decode(&list); err != nil {
			t.Fatal(err)
		}
	}
	return list.Tags
}

// locally are the options of pushes in tests.
func locally() registry.OCIOptions {
	return registry.OCIOptions{PlainHTTP: true, Backoff: time.Nanosecond}
}

// pulled returns the files of an artefact, as oras pulls them.
func pulled(t *testing.T, reference string) map[string][]byte {
	t.Helper()
	repo, err := remote.NewRepository(reference)
	if err != nil {
		t.Fatal(err)
	}
	repo.PlainHTTP = true
	defer http.DefaultClient.CloseIdleConnections()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	repo.Client = &http.Client{Transport: transport}
	to := memory.New()
	root, err := oras.Copy(t.Context(), repo, repo.Reference.Reference, to, "", oras.DefaultCopyOptions)
	if err != nil {
		t.Fatal(err)
	}
	read := func(d any, into any) []byte {
		t.Helper()
		var descriptor = root
		text, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, &descriptor); err != nil {
			t.Fatal(err)
		}
		r, err := to.Fetch(t.Context(), descriptor)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if into != nil {
			if err := json.Unmarshal(b, into); err != nil {
				t.Fatal(err)
			}
		}
		return b
	}
	var manifest struct {
		ArtifactType string
		Layers       []map[string]any
	}
	read(root, &manifest)
	if manifest.ArtifactType != "application/vnd.cncf.model.manifest.v1+json" {
		t.Errorf("pulled an artefact of type %q", manifest.ArtifactType)
	}
	files := map[string][]byte{}
	for _, layer := range manifest.Layers {
		name := layer["annotations"].(map[string]any)["org.cncf.model.filepath"].(string)
		files[name] = read(layer, nil)
	}
	return files
}

func TestPushToAContainerRegistry(t *testing.T) {
	t.Parallel()
	r := open(t, t.TempDir())
	v := add(t, r, "cxr", fit(t, 1, trainer.Options{Head: trainer.Logistic, C: 1}))
	c := startContainers(t)
	p, err := r.PushOCI(t.Context(), v, c.host+"/hospital/cxr", locally())
	if err != nil {
		t.Fatal(err)
	}
	if want := c.host + "/hospital/cxr:1"; p.Reference != want {
		t.Errorf("pushed to %s: want %s", p.Reference, want)
	}
	// The layout has the same digest, and the registry gives the files of the folder.
	if index := contents(t, exported(t, r, v, "oci"))["index.json"]; !bytes.Contains(index, []byte(p.Digest)) {
		t.Errorf("pushed %s, but the layout holds %s", p.Digest, index)
	}
	want, got := contents(t, exported(t, r, v, "hf")), pulled(t, p.Reference)
	if len(got) != len(want) {
		t.Errorf("pulled %d files: want %d", len(got), len(want))
	}
	for name, b := range want {
		if !bytes.Equal(got[name], b) {
			t.Errorf("pulled %s is not what the folder holds", name)
		}
	}
	c.set(nil)
	again, err := r.PushOCI(t.Context(), v, c.host+"/hospital/cxr:1", locally())
	if err != nil || *again != *p || c.requests != 1 {
		t.Errorf("pushed again: %+v, %v, %d requests: want the same, and one", again, err, c.requests)
	}
	// A number is not given to another artefact; a tag of one's own is moved.
	other := add(t, open(t, t.TempDir()), "cxr", fit(t, 2, trainer.Options{Head: trainer.Logistic, C: 1}))
	if _, err := r.PushOCI(t.Context(), v, c.host+"/hospital/cxr:champion", locally()); err != nil {
		t.Fatal(err)
	}
	second := add(t, r, "cxr", fit(t, 2, trainer.Options{Head: trainer.Logistic, C: 1}))
	moved, err := r.PushOCI(t.Context(), second, c.host+"/hospital/cxr:champion", locally())
	if err != nil || moved.Digest == p.Digest {
		t.Errorf("moved to %+v, %v: want another digest", moved, err)
	}
	second.Number = other.Number
	if _, err := r.PushOCI(t.Context(), second, c.host+"/hospital/cxr", locally()); err == nil || !strings.Contains(err.Error(), "tag 1 is there already") {
		t.Errorf("another artefact under the number 1: %v", err)
	}
}

// At whatever request a push is interrupted: no tag until all is there, and the next
// push ends where an undisturbed one does.
func TestPushToAContainerRegistrySurvivesEveryFault(t *testing.T) {
	t.Parallel()
	r := open(t, t.TempDir())
	v := add(t, r, "cxr", fit(t, 1, trainer.Options{Head: trainer.Logistic, C: 1}))
	whole := startContainers(t)
	p, err := r.PushOCI(t.Context(), v, whole.host+"/cxr", locally())
	if err != nil {
		t.Fatal(err)
	}
	requests := whole.requests
	for _, after := range []bool{false, true} {
		for at := range requests {
			c := startContainers(t)
			c.set(func(n int) (bool, bool) { return n == at, after }) // once
			if got, err := r.PushOCI(t.Context(), v, c.host+"/cxr", locally()); err != nil || got.Digest != p.Digest {
				t.Errorf("cut off at request %d: %+v, %v", at, got, err)
			}
			c = startContainers(t)
			c.set(func(n int) (bool, bool) { return n >= at, after }) // from then on
			if _, err := r.PushOCI(t.Context(), v, c.host+"/cxr", locally()); err == nil {
				t.Errorf("cut off from request %d on: the push says it is well", at)
			}
			c.set(nil)
			if tags := c.tags(t, "cxr"); len(tags) > 0 && !after {
				t.Errorf("cut off from request %d on: tags %q", at, tags)
			} else if len(tags) > 0 {
				pulled(t, c.host+"/cxr:1") // whole, if it is there
			}
			if got, err := r.PushOCI(t.Context(), v, c.host+"/cxr", locally()); err != nil || got.Digest != p.Digest {
				t.Errorf("pushed again after request %d: %+v, %v", at, got, err)
			}
			if got := pulled(t, c.host+"/cxr:1"); len(got) < 5 {
				t.Errorf("pulled %d files after request %d", len(got), at)
			}
		}
	}
}

func TestContainerRegistryCredentials(t *testing.T) {
	r := open(t, t.TempDir())
	v := add(t, r, "cxr", fit(t, 1, trainer.Options{Head: trainer.Logistic, C: 1}))
	pair := base64.StdEncoding.EncodeToString([]byte("ada:lovelace"))
	c := startContainers(t)
	c.authorization = "Basic " + pair
	dir := t.TempDir()
	t.Setenv("DOCKER_CONFIG", dir)
	config := fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, c.host, pair)
	if _, err := r.PushOCI(t.Context(), v, c.host+"/cxr", locally()); err == nil || !strings.Contains(err.Error(), "docker login") {
		t.Errorf("without credentials: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := r.PushOCI(t.Context(), v, c.host+"/cxr", locally()); err != nil {
		t.Errorf("with docker's: %v", err)
	}
	o := locally()
	o.Username, o.Password = "ada", "lovelace"
	if err := os.Remove(filepath.Join(dir, "config.json")); err != nil {
		t.Fatal(err)
	}
	if _, err := r.PushOCI(t.Context(), v, c.host+"/other", o); err != nil {
		t.Errorf("with the environment's: %v", err)
	}
	o.Password = "turing-is-a-secret"
	wrong := base64.StdEncoding.EncodeToString([]byte("ada:" + o.Password))
	if _, err := r.PushOCI(t.Context(), v, c.host+"/third", o); err == nil || strings.Contains(err.Error(), o.Password) || strings.Contains(err.Error(), wrong) || !strings.Contains(err.Error(), "[secret]") {
		t.Errorf("with a wrong password: %v: want an error without it", err)
	}
}

func TestContainerRegistryRefusals(t *testing.T) {
	t.Parallel()
	r := open(t, t.TempDir())
	v := add(t, r, "cxr", fit(t, 1, trainer.Options{Head: trainer.Logistic, C: 1}))
	c := startContainers(t)
	for what, w := range map[string]struct {
		reference string
		o         registry.OCIOptions
		message   string
	}{
		"no repository": {"registry.example.org", locally(), `reference "registry.example.org": want HOST/REPOSITORY[:TAG]`},
		"an address":    {"https://registry.example.org/a/b", locally(), "want HOST/REPOSITORY[:TAG]"},
		"a digest":      {"registry.example.org/a/b@sha256:00", locally(), "without digest"},
		"a secret":      {"ada:lovelace@registry.example.org/a/b", locally(), "without digest, name and password"},
		"half a name":   {c.host + "/a", registry.OCIOptions{Username: "ada"}, "set both or none"},
		"no TLS":        {c.host + "/a", registry.OCIOptions{}, "--plain-http"},
	} {
		if _, err := r.PushOCI(t.Context(), v, w.reference, w.o); err == nil || !strings.Contains(err.Error(), w.message) || strings.Contains(err.Error(), "lovelace") {
			t.Errorf("%s: %v: want an error with %q", what, err, w.message)
		}
	}
}
