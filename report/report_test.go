package report

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/xml"
	"flag"
	"image"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/medprobe/medprobe/evaluate"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var writers = map[string]func(io.Writer, *evaluate.Report) error{
	"report.html": HTML, "report.txt": Text, "report.md": Markdown,
}

func written(t *testing.T, write func(io.Writer, *evaluate.Report) error, r *evaluate.Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// The golden files are for form; every number in them has its own witness in
// package evaluate.
func TestFormIsAsCommitted(t *testing.T) {
	t.Parallel()
	r := sample(t)
	for name, write := range writers {
		got := written(t, write, r)
		path := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			if err := os.WriteFile(path+".got", []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
			t.Errorf("%s is not as committed: compare %s.got; go test ./report -update rewrites it", path, path)
		}
		if again := written(t, write, r); again != got {
			t.Errorf("%s: the same report gives other bytes", name)
		}
	}
}

func TestPageHoldsNothingThatActs(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]*evaluate.Report{"sample": sample(t), "hostile": hostile(t), "empty": {}, "twins": withTwins(t)} {
		checkPage(t, name, written(t, HTML, r))
	}
}

func checkPage(t *testing.T, name, page string) {
	t.Helper()
	decoder := xml.NewDecoder(strings.NewReader(page))
	decoder.Strict, decoder.Entity = false, xml.HTMLEntity
	var open []string
	var style, acts string
	for {
		token, err := decoder.RawToken()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			checkElement(t, token)
			if tag := token.Name.Local; tag != "meta" && tag != "img" && tag != "input" {
				open = append(open, tag)
			}
		case xml.EndElement:
			if len(open) == 0 || open[len(open)-1] != token.Name.Local {
				t.Fatalf("%s: </%s> closes %v", name, token.Name.Local, open)
			}
			open = open[:len(open)-1]
		case xml.CharData:
			if len(open) > 0 && open[len(open)-1] == "style" {
				style += string(token)
			}
			if len(open) > 0 && open[len(open)-1] == "script" {
				acts += string(token)
			}
		}
	}
	if acts != "" && acts != script {
		t.Errorf("%s: a script that is not ours: %q", name, acts)
	}
	if named := strings.Contains(page, "script-src"); named != (acts != "") || named && !strings.Contains(strings.ReplaceAll(page, "&#43;", "+"), "; script-src &#39;sha256-"+sum64(script)+"&#39;") {
		t.Errorf("%s: the policy does not name the script, or names one that is not there", name)
	}
	if len(open) > 0 {
		t.Errorf("%s: %v never closed", name, open)
	}
	digest := sha256.Sum256([]byte(style))
	policy := "default-src &#39;none&#39;; style-src &#39;sha256-" + base64.StdEncoding.EncodeToString(digest[:]) + "&#39;"
	if page := strings.ReplaceAll(page, "&#43;", "+"); !strings.Contains(page, policy) {
		t.Errorf("%s: the policy does not name the stylesheet: want %s", name, policy)
	}
	if strings.Contains(page, "ZgotmplZ") || strings.Contains(page, "NaN") {
		t.Errorf("%s: the template filtered a value, or a figure is no number", name)
	}
}

// checkElement reports an element or an attribute that can act.
func checkElement(t *testing.T, e xml.StartElement) {
	t.Helper()
	if !slices.Contains(allowedTags, e.Name.Local) {
		t.Errorf("element <%s>", e.Name.Local)
	}
	for _, a := range e.Attr {
		if e.Name.Local == "img" && a.Name.Local == "src" && strings.HasPrefix(a.Value, "data:image/png;base64,iVBOR") {
			continue
		}
		if key := a.Name.Local; strings.HasPrefix(key, "on") || slices.Contains([]string{"src", "href", "style", "action", "srcset", "formaction"}, key) {
			t.Errorf("<%s %s=%q>", e.Name.Local, key, a.Value)
		}
	}
}

var allowedTags = strings.Fields(`html head meta title style body main header section footer h1 h2 h3 h4 p div span bdi b strong
	dl dt dd ul ol li table caption thead tbody tr th td figure figcaption details summary code svg path circle rect g text desc img label input select option script`)

// withTwins is a report with images of train and test that are nearly the same,
// and a pair whose pictures are none.
func withTwins(t *testing.T) *evaluate.Report {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 3, 2))); err != nil {
		t.Fatal(err)
	}
	r := sample(t)
	r.NearDuplicates = &evaluate.NearDuplicates{Cosine: 0.999, Pairs: 1200, TestSamples: 1, Shown: []evaluate.Pair{
		{Cosine: 0.99999, Train: b.Bytes(), Test: b.Bytes()}, {Cosine: 0.9991, Train: []byte("<svg onload=alert(1)>"), Test: []byte("x")},
	}}
	return r
}

func TestTwinsAreShown(t *testing.T) {
	t.Parallel()
	page := written(t, HTML, withTwins(t))
	for _, want := range []string{"1,200 pairs of test and train, 1 sample of test", "cosine 1.0000", "cosine 0.9991", "; img-src data:"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if n := strings.Count(page, "<img "); n != 2 {
		t.Errorf("%d pictures, want the 2 that are PNG", n)
	}
	if strings.Contains(written(t, HTML, sample(t)), "img-src") {
		t.Error("a page without pictures allows them")
	}
}

// badTexts try to be more than text.
var badTexts = []string{
	"<img src=x onerror=alert(1)>", "</script><script>alert(2)</script>", "javascript:alert(3)", "a|b`c`*d*[e](http://x)",
	"esc\x1b[2J\x00\x07 \u202eevil\u202c \u2066x", "</title></style><svg onload=alert(4)>", "@octocat #1 \n# heading \xff", "{{.}} ]]> --> \" ' =HYPERLINK(1)",
}

// hostile is a report in which every string tries to be more than text.
func hostile(t *testing.T) *evaluate.Report {
	t.Helper()
	r := withEverything(t)
	k := 0
	next := func(s *string) { *s = badTexts[k%len(badTexts)]; k++ }
	next(&r.Name)
	next(&r.Description)
	for i := range r.Findings {
		f := &r.Findings[i]
		name := f.Name
		next(&f.Name)
		f.Name += name
		next(&f.Note)
		f.Prompts = evaluate.Prompts{Positive: badTexts, Negative: badTexts}
		for j := range f.Methods {
			next(&f.Methods[j].Detail)
			f.Methods[j].Method = badTexts[j]
		}
		for j := range f.Differences {
			f.Differences[j].A, f.Differences[j].B = badTexts[j+1], badTexts[0]
		}
		for j := range r.Subgroups {
			if g := &r.Subgroups[j]; g.Label == name {
				g.Label, g.Score = f.Name, badTexts[1+slices.Index([]string{"linear-probe", "logistic"}, g.Score)]
				next(&g.By)
				next(&g.Group)
			}
		}
		r.Mistakes.Findings[i].Finding = f.Name
		next(&r.Mistakes.Findings[i].Rule)
		for j := range f.Methods[1].Cuts {
			next(&f.Methods[1].Cuts[j].Rule)
		}
		for j := range r.Curves {
			if r.Curves[j].Finding == name {
				r.Curves[j].Finding = f.Name
				next(&r.Curves[j].Method)
			}
		}
	}
	next(&r.Dataset.Spec)
	next(&r.Dataset.Unit)
	next(&r.Encoder.Name)
	next(&r.Counts.Excluded[0].Reason)
	next(&r.Counts.Failed[0].Reason)
	r.Warnings = badTexts
	r.Splits[badTexts[0]] = evaluate.Part{Samples: 1}
	r.External = badExternal(r)
	return r
}

func TestHostileNamesStayText(t *testing.T) {
	t.Parallel()
	r := hostile(t)
	for name, write := range writers {
		got := written(t, write, r)
		for _, c := range got {
			if c != '\n' && (unicode.IsControl(c) || unicode.Is(unicode.Bidi_Control, c)) {
				t.Errorf("%s: holds %U", name, c)
			}
		}
		if !utf8.ValidString(got) {
			t.Errorf("%s: not UTF-8", name)
		}
	}
	for k, line := range strings.Split(written(t, Text, r), "\n") {
		if n := utf8.RuneCountInString(line); n > textWidth {
			t.Errorf("report.txt:%d: %d columns: %s", k+1, n, line)
		}
	}
	markdown := written(t, Markdown, r)
	for _, raw := range []string{"<img", "<script", "](http", "@octocat", " #1", "\n# heading"} {
		if strings.Contains(markdown, raw) {
			t.Errorf("report.md: holds %q", raw)
		}
	}
	columns := 0
	for k, line := range strings.Split(markdown, "\n") {
		cells := strings.Count(strings.ReplaceAll(line, `\|`, ""), "|")
		if strings.HasPrefix(line, "|") {
			if columns > 0 && cells != columns {
				t.Errorf("report.md:%d: %d bars in a table of %d: %s", k+1, cells, columns, line)
			}
			columns = cells
		} else {
			columns = 0
		}
	}
}

func TestHeadlineSaysWhatTheFiguresSay(t *testing.T) {
	t.Parallel()
	finding := func(difference, p float64) evaluate.Finding {
		return evaluate.Finding{
			Methods:     []evaluate.MethodResult{{Method: "zero-shot"}, {Method: "linear-probe"}},
			Differences: []evaluate.Difference{{A: "linear-probe", B: "zero-shot", Difference: evaluate.Estimate{Point: difference}, AdjustedP: p}},
		}
	}
	better, worse, same := finding(0.1, 0.01), finding(-0.1, 0.01), finding(0.1, 0.05)
	// Of fewer than ten units of a class a figure counts as not estimable.
	few := finding(0.1, 0.01)
	few.Differences[0].Difference.Warnings = []evaluate.Warning{{Code: evaluate.WarnFewUnits, Text: "have 4"}}
	if row := newDifferenceRow(axis{}, "", few.Differences[0], "m1", ""); row.Mark != "undecided" {
		t.Errorf("of too few units it is said: %s", row.Mark)
	}
	oneClass := evaluate.Finding{Methods: better.Methods}
	for _, c := range []struct {
		findings []evaluate.Finding
		want     string
	}{
		{nil, "Nothing was measured."},
		{[]evaluate.Finding{better}, "The linear probe beats zero-shot."},
		{[]evaluate.Finding{worse}, "The linear probe is worse than zero-shot."},
		{[]evaluate.Finding{same}, "The linear probe and zero-shot cannot be told apart on this test set."},
		{[]evaluate.Finding{better, better}, "The linear probe beats zero-shot on all 2 findings."},
		{[]evaluate.Finding{better, worse, same, same}, "The linear probe beats zero-shot on 1 of 4 findings, is worse on 1 and cannot be told from it on 2."},
		{[]evaluate.Finding{few}, "The linear probe and zero-shot cannot be told apart on this test set."},
		{[]evaluate.Finding{better, few}, "The linear probe beats zero-shot on 1 of 2 findings and cannot be told from it on 1."},
		{[]evaluate.Finding{same, same}, "The linear probe beats zero-shot on none of 2 findings and cannot be told from it on 2."},
		{[]evaluate.Finding{oneClass}, "No finding has both positives and negatives in the test part, so nothing can be compared."},
		{[]evaluate.Finding{{Methods: better.Methods[:1]}}, "Zero-shot was measured on 1 finding."},
	} {
		if got := headline(&evaluate.Report{Findings: c.findings}); got != c.want {
			t.Errorf("headline = %q, want %q", got, c.want)
		}
	}
}

func TestEveryNumberOfSamplesIsAccountedFor(t *testing.T) {
	t.Parallel()
	r := sample(t)
	if err := r.Counts.Check(); err != nil {
		t.Fatal(err)
	}
	if text := written(t, Text, r); !strings.Contains(text, "Samples: 492 = 480 used + 11 excluded + 1 failed\n") {
		t.Error("the text does not add the samples up")
	}
}

func TestReportWithLittleInItIsWritten(t *testing.T) {
	t.Parallel()
	oneClass := evaluate.Finding{
		Name: "rare", N: 10, Units: 10, Unit: "image", Methods: []evaluate.MethodResult{{Method: "zero-shot"}, {Method: "linear-probe"}},
		Warnings: []evaluate.Warning{{Code: evaluate.WarnOneClass, Text: "not estimable"}},
	}
	r := &evaluate.Report{Name: "little", Findings: []evaluate.Finding{oneClass}, Dataset: evaluate.DatasetFacts{Unit: "image"}}
	for name, write := range writers {
		if got := written(t, write, r); !strings.Contains(got, "not estimable") {
			t.Errorf("%s does not say that a figure is not estimable", name)
		}
		written(t, write, &evaluate.Report{})
	}
}
