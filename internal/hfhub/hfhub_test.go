package hfhub

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // git names its blobs by it
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

var noTime time.Time

const commit = "0123456789abcdef0123456789abcdef01234567"

// server is a hub with one repository, whose large files lie on another host,
// as the real one's do.
type server struct {
	t     *testing.T
	files map[string][]byte
	// token opens the repository; "" opens it to all.
	token string
	// breakAfter ends the first answers of the store after so many bytes.
	breakAfter int
	breaks     atomic.Int64
	bytes      atomic.Int64 // sent by the store
	wrong      bool         // the store sends other bytes
	listing    []string     // instead of the names of files
}

// start starts the hub and its store, and points the environment to them.
func (s *server) start() {
	s.t.Helper()
	store := httptest.NewServer(http.HandlerFunc(s.store))
	s.t.Cleanup(store.Close)
	hub := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.token != "" && r.Header.Get("Authorization") != "Bearer "+s.token {
			status := http.StatusUnauthorized
			if r.Header.Get("Authorization") != "" {
				status = http.StatusForbidden
			}
			http.Error(w, "gated", status)
			return
		}
		switch name, isFile := strings.CutPrefix(r.URL.Path, "/google/small/resolve/"+commit+"/"); {
		case r.URL.Path == "/api/models/google/small/revision/main":
			s.list(w)
		case isFile && s.files[name] != nil:
			s.head(w, r, store.URL, name)
		default:
			http.NotFound(w, r)
		}
	}))
	s.t.Cleanup(hub.Close)
	home := s.t.TempDir()
	for name, value := range map[string]string{"HF_ENDPOINT": hub.URL, "HF_HOME": home, "HF_HUB_CACHE": "", "HF_TOKEN": "", "HF_TOKEN_PATH": "", "HF_HUB_OFFLINE": ""} {
		s.t.Setenv(name, value)
	}
}

func (s *server) list(w http.ResponseWriter) {
	type sibling struct {
		Name string `json:"rfilename"`
	}
	var siblings []sibling
	for name := range s.files {
		siblings = append(siblings, sibling{name})
	}
	for _, name := range s.listing {
		siblings = append(siblings, sibling{name})
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"sha": commit, "siblings": siblings})
}

func (s *server) head(w http.ResponseWriter, r *http.Request, store, name string) {
	data := s.files[name]
	if len(data) < 100 { // small files are sent by the hub itself
		w.Header().Set("ETag", `"`+gitBlob(data)+`"`)
		http.ServeContent(w, r, "", noTime, bytes.NewReader(data))
		return
	}
	sum := sha256.Sum256(data)
	w.Header().Set("X-Linked-Etag", `"`+hex.EncodeToString(sum[:])+`"`)
	w.Header().Set("X-Linked-Size", strconv.Itoa(len(data)))
	http.Redirect(w, r, store+"/"+name, http.StatusFound)
}

func (s *server) store(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "" {
		s.t.Error("the token was sent to another host")
	}
	data := s.files[strings.TrimPrefix(r.URL.Path, "/")]
	if s.wrong {
		data = bytes.Repeat([]byte{7}, len(data))
	}
	if s.breakAfter > 0 && s.breaks.Add(-1) >= 0 {
		from := 0
		fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from)
		w.Header().Set("Content-Length", strconv.Itoa(len(data)-from))
		if from > 0 {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(data)-1, len(data)))
			w.WriteHeader(http.StatusPartialContent)
		}
		n, _ := w.Write(data[from:min(from+s.breakAfter, len(data))])
		s.bytes.Add(int64(n))
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	out := &counting{ResponseWriter: w, n: &s.bytes}
	http.ServeContent(out, r, "", noTime, bytes.NewReader(data))
}

type counting struct {
	http.ResponseWriter
	n *atomic.Int64
}

func (c *counting) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.n.Add(int64(n))
	return n, err
}

func gitBlob(data []byte) string {
	h := sha1.New() //nolint:gosec // as above
	fmt.Fprintf(h, "blob %d\x00", len(data))
	h.Write(data)
	return hex.EncodeToString(h.Sum(nil))
}

func small(t *testing.T) *server {
	return &server{t: t, files: map[string][]byte{
		"config.json":       []byte(`{"model_type": "siglip"}`),
		"model.safetensors": bytes.Repeat([]byte("weights "), 10_000),
		"onnx/big.onnx":     bytes.Repeat([]byte("x"), 500),
		"deep/er/note.txt":  []byte("a note"),
	}}
}

func TestDownloadFillsTheCacheThatFindLooksIn(t *testing.T) {
	s := small(t)
	s.start()
	if _, err := Find("google/small", ""); !errors.Is(err, ErrAbsent) {
		t.Fatalf("error %v: want ErrAbsent", err)
	}
	folder, err := Download(t.Context(), "google/small", Options{Want: func(name string) bool { return !strings.HasPrefix(name, "onnx/") }})
	if err != nil {
		t.Fatal(err)
	}
	found, err := Find("google/small", "main")
	if err != nil || found != folder {
		t.Errorf("found %q, %v: want %q", found, err, folder)
	}
	for name, want := range s.files {
		got, err := os.ReadFile(filepath.Join(folder, filepath.FromSlash(name)))
		if strings.HasPrefix(name, "onnx/") {
			if !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s was fetched though it was not wanted, %v", name, err)
			}
		} else if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	sent := s.bytes.Load()
	if _, err := Download(t.Context(), "google/small", Options{Want: func(name string) bool { return name == "model.safetensors" }}); err != nil || s.bytes.Load() != sent {
		t.Errorf("a file that is there was fetched again, %v", err)
	}
}

func TestBrokenConnectionsAreResumed(t *testing.T) {
	s := small(t)
	s.breakAfter = 30_000
	s.breaks.Store(2)
	s.start()
	var last int64
	folder, err := Download(t.Context(), "google/small", Options{Progress: func(name string, done, total int64) {
		if name == "model.safetensors" {
			if done < last || done > total {
				t.Errorf("progress from %d to %d of %d", last, done, total)
			}
			last = done
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(folder, "model.safetensors"))
	if err != nil || !bytes.Equal(got, s.files["model.safetensors"]) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if sent, most := s.bytes.Load(), int64(len(got)+500); sent > most+30_000 {
		t.Errorf("%d bytes were sent for %d: nothing was resumed", sent, most)
	}
	// What an earlier process began is resumed too, and gives up in the end.
	s2 := small(t)
	s2.breakAfter = 1000
	s2.breaks.Store(1 << 30)
	s2.start()
	if _, err := Download(t.Context(), "google/small", Options{}); err == nil || !strings.Contains(err.Error(), "connection broke") {
		t.Errorf("error %v: want that the connection broke", err)
	}
	s2.breaks.Store(0)
	before := s2.bytes.Load()
	if _, err := Download(t.Context(), "google/small", Options{Want: func(name string) bool { return name == "model.safetensors" }}); err != nil || s2.bytes.Load()-before > 76_000 {
		t.Errorf("%d bytes were sent, %v: want the rest alone", s2.bytes.Load()-before, err)
	}
}

func TestWrongBytesAreRefusedAndLeaveNothing(t *testing.T) {
	s := small(t)
	s.wrong = true
	s.start()
	_, err := Download(t.Context(), "google/small", Options{})
	if err == nil || !strings.Contains(err.Error(), "digest") {
		t.Fatalf("error %v: want another digest", err)
	}
	if _, err := Find("google/small", ""); !errors.Is(err, ErrAbsent) {
		t.Errorf("error %v: want ErrAbsent", err)
	}
	s.wrong = false
	if _, err := Download(t.Context(), "google/small", Options{}); err != nil {
		t.Errorf("the fault was kept: %v", err)
	}
}

func TestTheGateIsExplained(t *testing.T) {
	s := small(t)
	s.token = "hf_right"
	s.start()
	for token, want := range map[string][]string{
		"":         {"401", "accept its terms at http://127.0.0.1:", "/google/small", "set HF_TOKEN"},
		"hf_wrong": {"403", "the token does not open it", "/google/small"},
	} {
		t.Setenv("HF_TOKEN", token)
		_, err := Download(t.Context(), "google/small", Options{})
		for _, part := range want {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("token %q: error %v: want %q", token, err, part)
			}
		}
		if err != nil && token != "" && strings.Contains(err.Error(), token) {
			t.Errorf("the token stands in the error: %v", err)
		}
	}
	t.Setenv("HF_TOKEN", "")
	if err := os.WriteFile(filepath.Join(os.Getenv("HF_HOME"), "token"), []byte("hf_right\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Download(t.Context(), "google/small", Options{}); err != nil {
		t.Errorf("with the token that huggingface-cli keeps: %v", err)
	}
}

func TestWhatMustNotBeFetched(t *testing.T) {
	for _, c := range []struct {
		repo, want string
		change     func(*server)
		env        [2]string
	}{
		{repo: "google/other", want: "no such repository"},
		{repo: "../small", want: "want OWNER/NAME"},
		{repo: "google/small", env: [2]string{"HF_HUB_OFFLINE", "1"}, want: "HF_HUB_OFFLINE is set"},
		{repo: "google/small", env: [2]string{"HF_ENDPOINT", "ftp://x"}, want: `HF_ENDPOINT "ftp://x"`},
		{repo: "google/small", change: func(s *server) { s.listing = []string{"../../etc/passwd"} }, want: "want a path within"},
		{repo: "google/small", change: func(s *server) { s.listing = []string{`a\b`} }, want: "want a path within"},
	} {
		t.Run(c.want, func(t *testing.T) {
			s := small(t)
			if c.change != nil {
				c.change(s)
			}
			s.start()
			if c.env[0] != "" {
				t.Setenv(c.env[0], c.env[1])
			}
			if _, err := Download(t.Context(), c.repo, Options{}); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v: want %q", err, c.want)
			}
		})
	}
}

func TestFindRefusesWhatIsNoCommit(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("HF_HUB_CACHE", dir)
	refs := filepath.Join(dir, "models--a--b", "refs")
	if err := os.MkdirAll(refs, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(refs, "main"), []byte("../../../etc"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Find("a/b", ""); err == nil || !strings.Contains(err.Error(), "want a commit") {
		t.Errorf("error %v", err)
	}
}
