package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/medprobe/medprobe/internal/needs"
)

// hub serves a folder as the repository owner/model, and counts what is asked
// for.
type hub struct {
	dir   string
	mu    sync.Mutex
	asked map[string]int
}

func (h *hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	commit := strings.Repeat("a1", 20)
	if r.URL.Path == "/api/models/owner/model/revision/main" {
		var files []string
		_ = fs.WalkDir(os.DirFS(h.dir), ".", func(name string, e fs.DirEntry, err error) error {
			if err == nil && !e.IsDir() {
				files = append(files, name)
			}
			return err
		})
		siblings := []map[string]string{{"rfilename": "model-00002-of-00002.safetensors"}, {"rfilename": "README.md"}}
		for _, name := range files {
			siblings = append(siblings, map[string]string{"rfilename": name})
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"sha": commit, "siblings": siblings})
		return
	}
	name, ok := strings.CutPrefix(r.URL.Path, "/owner/model/resolve/"+commit+"/")
	if name == "README.md" {
		w.Header().Set("ETag", `"1"`)
		_, _ = io.WriteString(w, "---\nlicense: other\n---\n# A model\n")
		return
	}
	data, err := os.ReadFile(filepath.Join(h.dir, filepath.FromSlash(name)))
	h.mu.Lock()
	h.asked[name]++
	h.mu.Unlock()
	if !ok || err != nil {
		http.NotFound(w, r)
		return
	}
	sum := sha256.Sum256(data)
	w.Header().Set("ETag", `"`+hex.EncodeToString(sum[:])+`"`)
	http.ServeFile(w, r, filepath.Join(h.dir, name))
}

// export is a repository as transformers.js wants it.
func export(t *testing.T, root string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "onnx"), 0o700); err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{
		"onnx/siglip/vision_model.onnx":       "onnx/vision_model.onnx",
		"onnx/siglip/text_model.onnx":         "onnx/text_model.onnx",
		"onnx/tokens.onnx":                    "onnx/vision_model_fp16.onnx",
		"siglip-f32/config.json":              "config.json",
		"siglip-f32/preprocessor_config.json": "preprocessor_config.json",
		"siglip-f32/spiece.model":             "spiece.model",
	} {
		data, err := os.ReadFile(filepath.Join(root, "encoder", "testdata", from))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, to), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestCheckpointsAreFoundAndFetchedByName(t *testing.T) {
	t.Parallel()
	root := needs.Root(t)
	for folder, never := range map[string]string{
		export(t, root):                      "onnx/vision_model_fp16.onnx",
		"examples/demo/encoder":              "model-00002-of-00002.safetensors",
		"encoder/testdata/towers/medgemma":   "model-00002-of-00002.safetensors",
		"encoder/testdata/siglip-sharded":    "golden.npz",
		"encoder/testdata/towers/vision":     "golden.npz",
		"encoder/testdata/towers/paligemma/": "model-00002-of-00002.safetensors",
	} {
		if !filepath.IsAbs(folder) {
			folder = filepath.Join(root, folder)
		}
		h := &hub{dir: folder, asked: map[string]int{}}
		server := httptest.NewServer(h)
		t.Cleanup(server.Close)
		m := newMachine(t)
		medprobe := func(args ...string) (string, int) {
			cmd := m.command(args...)
			cmd.Env = append(cmd.Env, "HF_ENDPOINT="+server.URL, "HF_HOME="+filepath.Join(m.home, "hf"), "HF_TOKEN=x")
			return m.run(cmd)
		}
		if text, code := medprobe("encoder", "import", "owner/model"); code != exitError || !strings.Contains(text, "--download fetches it") || len(h.asked) > 0 {
			t.Errorf("%s: exit %d, %s; asked for %v: want nothing fetched without being told to", folder, code, text, h.asked)
		}
		text, code := medprobe("encoder", "import", "owner/model", "--download", "--json")
		if code != 0 {
			t.Fatalf("%s: exit %d: %s", folder, code, text)
		}
		var manifest struct{ Name, Source, License string }
		if err := json.Unmarshal([]byte(text), &manifest); err != nil || manifest.Name != "model" || manifest.Source != "owner/model" || manifest.License != "other" {
			t.Errorf("%s: %s, %v", folder, text, err)
		}
		if h.asked[never] > 0 {
			t.Errorf("%s: %s was asked for", folder, never)
		}
		// From the cache now, under another name, without the network.
		server.Close()
		if text, code := medprobe("encoder", "import", "owner/model", "--name", "again"); code != 0 {
			t.Errorf("%s: exit %d: %s", folder, code, text)
		}
	}
}
