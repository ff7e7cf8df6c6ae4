package needs

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// NodeModules returns the folder node_modules that holds onnxruntime-node, for a
// test that asks Node's own ONNX Runtime: $MEDPROBE_NODE_MODULES, or that in the
// project's .ort/node, where the gate installs it.
func NodeModules(t testing.TB) string {
	t.Helper()
	if _, err := exec.LookPath("node"); err != nil {
		Opinion(t, "no Node (Debian: nodejs)")
	}
	dir := os.Getenv("MEDPROBE_NODE_MODULES")
	if dir == "" {
		dir = filepath.Join(Root(t), ".ort", "node", "node_modules")
	}
	if _, err := os.Stat(filepath.Join(dir, "onnxruntime-node", "package.json")); err != nil {
		Opinion(t, "no onnxruntime-node in "+dir+": npm install --prefix .ort/node --ignore-scripts --no-save onnxruntime-node")
	}
	return dir
}
