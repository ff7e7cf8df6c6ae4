package report

import (
	"encoding/xml"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A browser that parses the page as browsers do finds nothing in it that acts,
// whatever names and prompts try to be.
func TestBrowserFindsNothingThatActs(t *testing.T) {
	t.Parallel()
	browser, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("no chromium; TestPageHoldsNothingThatActs reads the same page without one")
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "report.html")
	if err := os.WriteFile(file, []byte(written(t, HTML, hostile(t))), 0o644); err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(dir, "net.json")
	cmd := exec.CommandContext(t.Context(), browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--user-data-dir="+filepath.Join(dir, "profile"),
		"--log-net-log="+log, "--virtual-time-budget=2000", "--dump-dom", "file://"+file)
	dom, err := cmd.Output()
	if err != nil {
		t.Fatalf("chromium: %v", err)
	}
	if !strings.Contains(string(dom), "medprobe report") {
		t.Fatalf("chromium shows %.200q", dom)
	}
	decoder := xml.NewDecoder(strings.NewReader(string(dom)))
	decoder.Strict, decoder.Entity = false, xml.HTMLEntity
	for {
		token, err := decoder.RawToken()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if element, ok := token.(xml.StartElement); ok {
			checkElement(t, element)
		}
	}
	requests, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	for _, url := range regexp.MustCompile(`"url":"([^"]*)"`).FindAllStringSubmatch(string(requests), -1) {
		if strings.HasPrefix(url[1], "http") && strings.Contains(url[1], "://x") {
			t.Errorf("chromium asked for %s", url[1])
		}
	}
}
