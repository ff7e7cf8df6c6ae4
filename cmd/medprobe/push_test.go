package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	container "github.com/google/go-containerregistry/pkg/registry"
	"github.com/medprobe/medprobe/internal/mlflow/mlflowtest"
	"github.com/medprobe/medprobe/internal/needs"
	"github.com/medprobe/medprobe/registry"
)

// registered is a machine with one version, cxr@1, in its registry.
func registered(t *testing.T) *machine {
	t.Helper()
	m := newMachine(t)
	yaml := filepath.Join(m.home, "experiment.yaml")
	text := "data: {format: csv, path: " + filepath.Join(phantoms(t), "labels.csv") + ", labels: [effusion]}\nencoder: demo\nheads: [logistic]\n"
	if err := os.WriteFile(yaml, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	m.must("run", yaml, "--out", filepath.Join(m.home, "run"))
	m.must("registry", "add", "cxr", "--run", filepath.Join(m.home, "run"))
	return m
}

// A push whose process is killed at any request leaves nothing half to be seen, and
// pushing again ends where an undisturbed push does.
func TestKilledPushGoesOn(t *testing.T) {
	needs.Time(t)
	t.Parallel()
	m := registered(t)
	args := func(s *mlflowtest.Server) []string {
		return []string{"registry", "push", "cxr@1", "--to", "mlflow", s.URL, "--alias", "champion"}
	}
	whole := mlflowtest.Start(t)
	m.must(args(whole)...)
	files := strings.Count(strings.Join(whole.Seen(), "\n"), "PUT ")
	kills := 0
	for _, k := range killsAt(whole.Requests()) {
		s, process := mlflowtest.Start(t), make(chan *os.Process, 1)
		fault := func(n int, _ *http.Request) (f mlflowtest.Fault) {
			if n == k.at {
				f.Drop, f.After = true, k.after
				if err := (<-process).Kill(); err != nil {
					t.Error(err)
				}
			}
			return f
		}
		s.Behave(func(b *mlflowtest.Behaviour) { b.Fault = fault })
		if err := ends(m.command(args(s)...), process); err == nil {
			t.Errorf("killed at request %+v, and it ends well", k)
		}
		if half := s.HalfVisible(files); half != nil {
			t.Errorf("killed at request %+v: %q", k, half)
		}
		m.must(args(s)...)
		if s.State() != whole.State() {
			t.Errorf("killed at request %+v and pushed again: %s\nwant %s", k, s.State(), whole.State())
		}
		kills++
	}
	t.Logf("%d pushes to MLflow killed", kills)
}

// ends starts a command, hands its process to who is to kill it, and returns how it ends.
func ends(cmd *exec.Cmd, process chan<- *os.Process) error {
	if err := cmd.Start(); err != nil {
		return err
	}
	process <- cmd.Process
	return cmd.Wait()
}

// killAt is the request at which a push is killed, before or after it was answered.
type killAt struct {
	at    int
	after bool
}

// killsAt lists where to kill: some of the requests, or all of them, both ways.
func killsAt(requests int) (kills []killAt) {
	step := 2
	if *faults {
		step = 1
	}
	for at := 0; at < requests; at += step {
		kills = append(kills, killAt{at, at/step%2 == 1})
		if *faults {
			kills = append(kills, killAt{at, at/step%2 == 0})
		}
	}
	return kills
}

// A push to a container registry that is killed at any request shows no tag without
// all of its layers, and pushing again gives the digest of an undisturbed push.
func TestKilledPushToContainersGoesOn(t *testing.T) {
	needs.Time(t)
	t.Parallel()
	m := registered(t)
	args := func(host string) []string {
		return []string{"registry", "push", "cxr@1", host + "/a/cxr", "--to", "oci", "--plain-http", "--json"}
	}
	digest := func(out string) string {
		var a registry.OCIArtefact
		if err := json.Unmarshal([]byte(out), &a); err != nil {
			t.Fatal(err)
		}
		return a.Digest
	}
	var requests atomic.Int64
	whole := containersThat(t, func(answer func()) { requests.Add(1); answer() })
	want := digest(m.must(args(whole)...))
	kills := killsAt(int(requests.Load()))
	for _, k := range kills {
		var n atomic.Int64
		process := make(chan *os.Process, 1)
		host := containersThat(t, func(answer func()) {
			if n.Add(1)-1 != int64(k.at) {
				answer()
				return
			}
			if k.after {
				answer()
			}
			if err := (<-process).Kill(); err != nil {
				t.Error(err)
			}
			panic(http.ErrAbortHandler)
		})
		if err := ends(m.command(args(host)...), process); err == nil {
			t.Errorf("killed at request %+v, and it ends well", k)
		}
		wholeOrAbsent(t, "http://"+host+"/v2/a/cxr/")
		if got := digest(m.must(args(host)...)); got != want {
			t.Errorf("killed at request %+v and pushed again: %s, want %s", k, got, want)
		}
	}
	t.Logf("%d pushes to a container registry killed", len(kills))
}

// containersThat starts a container registry; let answers each request, or does not.
func containersThat(t *testing.T, let func(answer func())) (host string) {
	t.Helper()
	real := container.New(container.Logger(log.New(io.Discard, "", 0)))
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { let(func() { real.ServeHTTP(w, r) }) }))
	h.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(h.Close)
	return strings.TrimPrefix(h.URL, "http://")
}

// wholeOrAbsent fails where version 1 is to be seen without all of its layers.
func wholeOrAbsent(t *testing.T, repository string) {
	t.Helper()
	get := func(path string) (int, []byte) {
		answer, err := http.Get(repository + path)
		if err != nil {
			t.Error(err)
			return 0, nil
		}
		defer answer.Body.Close()
		b, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Error(err)
		}
		return answer.StatusCode, b
	}
	status, text := get("manifests/1")
	if status == http.StatusNotFound {
		return
	}
	var manifest struct {
		Config struct{ Digest string }
		Layers []struct{ Digest string }
	}
	if err := json.Unmarshal(text, &manifest); err != nil || len(manifest.Layers) == 0 {
		t.Errorf("manifest: %d, %s (%v)", status, text, err)
	}
	for _, layer := range append(manifest.Layers, manifest.Config) {
		if status, _ := get("blobs/" + layer.Digest); status != http.StatusOK {
			t.Errorf("the tag is there, and blob %s is not: %d", layer.Digest, status)
		}
	}
}

// said runs commands and keeps all they say.
type said struct {
	*machine
	env []string
	all bytes.Buffer
}

func (s *said) say(want int, args ...string) string {
	s.Helper()
	cmd := s.command(args...)
	cmd.Env = append(cmd.Env, s.env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if code := cmd.ProcessState.ExitCode(); code != want {
		s.Fatalf("medprobe %s: exit %d, %v: want %d\n%s", strings.Join(args, " "), code, err, want, stderr.String())
	}
	s.all.Write(stdout.Bytes())
	s.all.Write(stderr.Bytes())
	return stdout.String() + stderr.String()
}

// Secrets of the environment, of docker's file and of a key are in nothing that is
// printed, written or sent as content, whatever goes wrong and however careless the
// server is.
func TestSecretsStaySecret(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("openssl"); err != nil {
		needs.Opinion(t, "no openssl (Debian: openssl)")
	}
	m := newMachine(t)
	const token, password, other = "TOKEN-recognisable-1", "PASSWORD-recognisable-2", "OTHER-recognisable-3"
	secrets := []string{token, password, other, base64.StdEncoding.EncodeToString([]byte("ada:" + password))}
	s := &said{machine: m, env: []string{
		"HF_TOKEN=" + other, "AWS_SECRET_ACCESS_KEY=" + other, "MEDPROBE_OCI_USERNAME=ada", "MEDPROBE_OCI_PASSWORD=" + password, "MLFLOW_TRACKING_TOKEN=" + token,
	}}
	keys := t.TempDir()
	key, public := filepath.Join(keys, "key.pem"), filepath.Join(keys, "public.pem")
	for _, args := range [][]string{{"ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key}, {"ec", "-in", key, "-pubout", "-out", public}} {
		if out, err := exec.Command("openssl", args...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	text, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	secrets = append(secrets, strings.Split(string(text), "\n")[1]) // a line of the key

	yaml := filepath.Join(m.home, "experiment.yaml")
	experiment := "data: {format: csv, path: " + filepath.Join(phantoms(t), "labels.csv") + ", labels: [effusion]}\nencoder: demo\nheads: [logistic]\n"
	if err := os.WriteFile(yaml, []byte(experiment), 0o600); err != nil {
		t.Fatal(err)
	}
	s.say(0, "run", yaml, "--out", filepath.Join(m.home, "run"))
	s.say(0, "registry", "add", "cxr", "--run", filepath.Join(m.home, "run"))
	s.say(0, "doctor", "--json")
	for _, format := range registry.Formats() {
		if format != "onnx-e2e" { // which needs a checkpoint
			s.say(0, "registry", "export", "cxr", "--format", format, "--out", filepath.Join(m.home, "as-"+format))
		}
	}
	signed := filepath.Join(m.home, "as-hf")
	if out := s.say(0, "registry", "sign", signed, "--key", key, "--json"); !strings.Contains(out, `"signature": "`+filepath.Join(signed, "model.sig")) {
		t.Errorf("signed: %s", out)
	}
	s.say(0, "registry", "verify-signature", signed, "--key", public, "--json")
	s.say(1, "registry", "verify-signature", signed, "--key", key)
	s.say(1, "registry", "sign", signed, "--key", public)

	server := mlflowtest.Start(t)
	once := map[int]int{2: http.StatusServiceUnavailable, 5: http.StatusTooManyRequests}
	server.Behave(func(b *mlflowtest.Behaviour) {
		b.Authorization = "Bearer " + token
		b.Fault = func(n int, _ *http.Request) mlflowtest.Fault { return mlflowtest.Fault{Status: once[n]} }
	})
	if out := s.say(0, "registry", "push", "cxr", server.URL, "--to", "mlflow", "--alias", "champion"); !strings.Contains(out, "[secret]") || !strings.Contains(out, "cxr@1 is version 1 of cxr") {
		t.Errorf("the push says %q: want the careless server's words without the token", out)
	}
	server.Behave(func(b *mlflowtest.Behaviour) {
		b.Fault = func(int, *http.Request) mlflowtest.Fault { return mlflowtest.Fault{Status: http.StatusForbidden} }
	})
	s.say(1, "registry", "push", "cxr", server.URL, "--to", "mlflow")
	s.say(1, "registry", "push", "cxr", strings.Replace(server.URL, "http://", "http://ada:"+password+"@", 1), "--to", "mlflow")
	s.say(1, "registry", "push", "cxr", strings.Replace(server.URL, "http://", "ada:"+password+"@", 1), "--to", "oci", "--plain-http")
	s.env = append(s.env, "MLFLOW_TRACKING_USERNAME=ada", "MLFLOW_TRACKING_PASSWORD="+password)
	s.say(1, "registry", "push", "cxr", server.URL, "--to", "mlflow")

	containers := careless(t)
	s.say(0, "registry", "push", "cxr", containers+"/open/cxr", "--to", "oci", "--plain-http")
	s.say(1, "registry", "push", "cxr", containers+"/locked/cxr", "--to", "oci", "--plain-http")

	s.all.WriteString(server.State())
	for _, secret := range secrets {
		if bytes.Contains(s.all.Bytes(), []byte(secret)) {
			t.Errorf("%q is printed or sent:\n%s", secret, s.all.String())
		}
	}
	files := 0
	err = filepath.WalkDir(m.home, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		files++
		b, err := os.ReadFile(path)
		for _, secret := range secrets {
			if bytes.Contains(b, []byte(secret)) {
				t.Errorf("%q is in %s", secret, path)
			}
		}
		return err
	})
	if err != nil || files < 40 {
		t.Errorf("%d files, %v: want all that was written", files, err)
	}
}

// careless starts a container registry that lets nobody write under "locked" and
// repeats the credentials it refuses.
func careless(t *testing.T) (host string) {
	t.Helper()
	real := container.New(container.Logger(log.New(io.Discard, "", 0)))
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch got := r.Header.Get("Authorization"); {
		case r.Method == http.MethodHead:
			real.ServeHTTP(w, r)
		case got == "":
			w.Header().Set("WWW-Authenticate", `Basic realm="here"`)
			w.WriteHeader(http.StatusUnauthorized)
		case strings.Contains(r.URL.Path, "locked"):
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprintf(w, `{"errors":[{"code":"DENIED","message":"%s may not"}]}`, got)
		default:
			real.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(h.Close)
	return strings.TrimPrefix(h.URL, "http://")
}

func TestPushAndSignCommands(t *testing.T) {
	t.Parallel()
	s := &said{machine: registered(t)}
	server := mlflowtest.Start(t)
	var pushed registry.MLflowVersion
	out := s.must("registry", "push", "cxr@1", "--to", "mlflow", server.URL, "--as", "lungs", "--experiment", "few shots", "--alias", "champion", "--alias", "b", "--json")
	if err := json.Unmarshal([]byte(out), &pushed); err != nil || pushed.Model != "lungs" || pushed.Experiment != "few shots" || !slices.Equal(pushed.Aliases, []string{"champion", "b"}) {
		t.Errorf("pushed %s, %v", out, err)
	}
	if server.Alias("lungs", "b") != "1" {
		t.Error("the second alias is not set")
	}
	host := careless(t)
	s.env = []string{"MEDPROBE_OCI_USERNAME=ada", "MEDPROBE_OCI_PASSWORD=lovelace"}
	if out := s.say(0, "registry", "push", "cxr@1", host+"/a/cxr", "--to", "oci", "--plain-http"); !strings.HasPrefix(out, "cxr@1 is "+host+"/a/cxr:1, sha256:") {
		t.Errorf("pushed: %q", out)
	}
	var artefact registry.OCIArtefact
	if out := s.say(0, "registry", "push", "cxr@1", host+"/a/cxr:best", "--to", "oci", "--plain-http", "--json"); json.Unmarshal([]byte(out), &artefact) != nil || !strings.HasSuffix(artefact.Reference, ":best") {
		t.Errorf("pushed: %q", out)
	}
	// Several at once do not disturb one another.
	var group sync.WaitGroup
	for range 3 {
		group.Go(func() {
			cmd := s.command("registry", "push", "cxr@1", host+"/b/cxr", "--to", "oci", "--plain-http")
			cmd.Env = append(cmd.Env, s.env...)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	group.Wait()
	for _, c := range []struct {
		code int
		want string
		args []string
	}{
		{2, "--to is missing", []string{"push", "cxr", server.URL}},
		{2, `unknown --to "mlfow"; did you mean "mlflow"?`, []string{"push", "cxr", server.URL, "--to", "mlfow"}},
		{2, "--alias means something with --to mlflow only", []string{"push", "cxr", host + "/a", "--to", "oci", "--alias", "x"}},
		{2, "--plain-http means something with --to oci only", []string{"push", "cxr", server.URL, "--to", "mlflow", "--plain-http"}},
		{2, "push needs NAME", []string{"push", "cxr"}},
		{1, "not in the registry", []string{"push", "cxr@9", server.URL, "--to", "mlflow"}},
		{2, "--key is missing", []string{"sign", "."}},
		{2, "--key is missing", []string{"verify-signature", "."}},
		{1, "no such file", []string{"sign", ".", "--key", "nothing.pem"}},
		{1, "no private key in PEM", []string{"sign", ".", "--key", "experiment.yaml"}},
	} {
		if out := s.say(c.code, append([]string{"registry"}, c.args...)...); !strings.Contains(out, c.want) {
			t.Errorf("%q says %q: want %q", c.args, out, c.want)
		}
	}
}

func TestInTheOpen(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		"http://mlflow.example.org": true, "http://10.0.0.1:5000/x": true, "https://mlflow.example.org": false,
		"http://localhost:5000": false, "http://127.0.0.2": false, "http://[::1]:5000": false, "%": false,
	} {
		if got := inTheOpen(address); got != want {
			t.Errorf("%s: %t", address, got)
		}
	}
}
