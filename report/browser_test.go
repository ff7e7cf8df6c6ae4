package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/medprobe/medprobe/internal/needs"
)

// A browser that parses the page as browsers do finds nothing in it that acts,
// whatever names and prompts try to be.
func TestBrowserFindsNothingThatActs(t *testing.T) {
	t.Parallel()
	browser, err := exec.LookPath("chromium")
	if err != nil {
		needs.Opinion(t, "no chromium; TestPageHoldsNothingThatActs reads the same page without one")
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

// On paper the layout is that of a wide screen, smaller: with everything in it, a
// report takes at most half of the sheets that it takes without any style.
func TestReportPrintsOnFewSheets(t *testing.T) {
	t.Parallel()
	browser, err := exec.LookPath("chromium")
	if err != nil {
		needs.Opinion(t, "no chromium to print with")
	}
	dir := t.TempDir()
	page := written(t, HTML, withEverything(t))
	sheets := func(name, page string) int {
		file, paper := filepath.Join(dir, name+".html"), filepath.Join(dir, name+".pdf")
		if err := os.WriteFile(file, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
			"--disable-background-networking", "--user-data-dir="+filepath.Join(dir, "profile"), "--print-to-pdf="+paper, "file://"+file)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("chromium: %v\n%s", err, out)
		}
		pdf, err := os.ReadFile(paper)
		if err != nil {
			t.Fatal(err)
		}
		return len(regexp.MustCompile(`/Type /Page\b`).FindAll(pdf, -1))
	}
	// A page whose style is another than its policy names is shown without one.
	small, plain := sheets("small", page), sheets("plain", strings.Replace(page, "@media print{", "@media speech{", 1))
	t.Logf("%d sheets, %d without a style", small, plain)
	if small == 0 || 2*small > plain {
		t.Errorf("%d sheets, and %d without a style: want half of them at most", small, plain)
	}
}

// The page's own script runs under the page's policy, a moved threshold counts as
// [evaluate.Histogram.At] does, nothing is said on the console, and nothing is
// wider than a phone of 360 pixels.
func TestBrowserMovesThresholds(t *testing.T) {
	t.Parallel()
	browser, err := exec.LookPath("chromium")
	if err != nil {
		needs.Opinion(t, "no chromium; the counts of thresholds are tested in package evaluate")
	}
	r := withEverything(t)
	page := written(t, HTML, r)
	driver := script + `
const pick = document.querySelector(".filters select"), away = document.querySelector(".filters input[value='2']");
pick.value = "effusion";
away.checked = false;
pick.dispatchEvent(new Event("change", { bubbles: true }));
const seen = (selector) => [...document.querySelectorAll(selector)].filter((e) => e.getClientRects().length > 0).length;
const plot = document.querySelector("figure[data-finding=effusion] svg.read");
plot.focus();
for (const key of ["ArrowRight", "ArrowRight", "ArrowLeft"]) plot.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
const reached = document.activeElement === plot;
plot.dispatchEvent(new PointerEvent("pointermove", { clientX: plot.getBoundingClientRect().right, clientY: plot.getBoundingClientRect().top }));
document.title = ["seen", seen("figure[data-finding]"), seen("[data-points].by1"), seen("[data-points].by2"), reached, plot.querySelectorAll(".ring").length,
  performance.getEntriesByType("resource").filter((e) => !e.name.startsWith("data:")).length].join(" ");
const moved = document.querySelector("figure[data-positives] input");
moved.value = 12;
moved.dispatchEvent(new Event("input"));
`
	// The policy names scripts by their digest: another script needs another one.
	encoded := strings.NewReplacer("+", "&#43;")
	page = strings.Replace(page, encoded.Replace(sum64(script)), encoded.Replace(sum64(driver)), 1)
	page = strings.Replace(page, "<script>"+script+"</script>", "<script>"+driver+"</script>", 1)
	dir := t.TempDir()
	file := filepath.Join(dir, "report.html")
	frame := filepath.Join(dir, "phone.html")
	if err := os.WriteFile(file, []byte(page), 0o644); err != nil {
		t.Fatal(err)
	}
	// A window is at least 500 pixels wide, a frame is not.
	if err := os.WriteFile(frame, []byte(`<iframe src="report.html" width="360" height="800"></iframe><script>onload = () => { document.title = frames[0].document.documentElement.scrollWidth }</script>`), 0o644); err != nil {
		t.Fatal(err)
	}
	dump := func(address string) (string, string) {
		var log strings.Builder
		cmd := exec.CommandContext(t.Context(), browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
			"--disable-component-update", "--disable-sync", "--allow-file-access-from-files", "--enable-logging=stderr", "--user-data-dir="+filepath.Join(dir, "profile"),
			"--virtual-time-budget=2000", "--dump-dom", "file://"+address)
		cmd.Stderr = &log
		dom, err := cmd.Output()
		if err != nil {
			t.Fatalf("chromium: %v", err)
		}
		return string(dom), log.String()
	}
	dom, log := dump(file)
	for _, line := range strings.Split(log, "\n") {
		if strings.Contains(line, "CONSOLE") {
			t.Errorf("on the console: %s", line)
		}
	}
	h := *r.Findings[0].Methods[1].Histogram
	c := h.At(12)
	for _, want := range []string{
		`<span data-cell="at">0.24</span>`, fmt.Sprintf(`data-cell="tp">%d<`, c.TruePositives), fmt.Sprintf(`data-cell="fp">%d<`, c.FalsePositives),
		fmt.Sprintf(`data-cell="fn">%d<`, c.FalseNegatives), fmt.Sprintf(`data-cell="tn">%d<`, c.TrueNegatives),
		`data-cell="sensitivity">` + newConfusionRow(0, c).Sensitivity + "<", `<label>Threshold`,
	} {
		if !strings.Contains(dom, want) {
			t.Errorf("after the slider moved the page does not say %s", want)
		}
	}
	// The learning curve, ROC, precision and recall, reliability and histogram of one
	// finding; three of them have points to read, and of three methods the third is gone.
	// Nothing but the pictures within the page was loaded.
	if want := "<title>seen 5 3 0 true 1 0</title>"; !strings.Contains(dom, want) {
		t.Errorf("with a finding and a method chosen the page says %s, want %s", regexp.MustCompile("<title>[^<]*").FindString(dom), want)
	}
	for _, want := range []string{"Showing effusion, 2 of 3 methods; the summary is of everything.", `class="reading" aria-live="polite">zero-shot: false positive rate `} {
		if !strings.Contains(dom, want) {
			t.Errorf("the page does not say %s", want)
		}
	}
	if strings.Contains(dom, "<label hidden") {
		t.Error("a slider is still hidden: the script did not run")
	}
	narrow, _ := dump(frame)
	if width := regexp.MustCompile(`<title>(\d{3})</title>`).FindStringSubmatch(narrow); width == nil || width[1] > "360" {
		t.Errorf("in a frame of 360 pixels, less its scroll bar, the page is %v wide", width)
	}
}
