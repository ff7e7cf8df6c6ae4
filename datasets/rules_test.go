package datasets

import (
	"slices"
	"strings"
	"testing"

	"github.com/medprobe/medprobe/internal/yamlfile"
)

const fourValues = "path,Edema,Pneumonia,Mass,No Finding\na,1,,0,0\nb,-1,1,,\nc,0,0,-1,\nd,,,,1\ne,,1,,1\n"

// withRules opens the four-valued table with rules as a SPEC file has them.
func withRules(t *testing.T, rules string) (*Dataset, error) {
	t.Helper()
	var s Spec
	if err := yamlfile.Parse("spec.yaml", []byte("format: csv\npath: x\n"+rules), &s); err != nil {
		return nil, err
	}
	return openCSV(t, fourValues, s)
}

func TestLabelRules(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, rules string
		want        []string // by sample, in the order of the classes
		effects     []RuleEffect
	}{
		{"none", "", []string{"+.--", "?+..", "--?.", "...+", ".+.+"}, nil},
		{
			"uncertain for all and for one", "uncertain: {default: negative, Edema: positive}", []string{"+.--", "++..", "---.", "...+", ".+.+"},
			[]RuleEffect{{"uncertain: positive", "Edema", 1}, {"uncertain: negative", "Pneumonia", 0}, {"uncertain: negative", "Mass", 1}, {"uncertain: negative", "No Finding", 0}},
		},
		{
			"uncertain as missing", "uncertain: missing", []string{"+.--", ".+..", "--..", "...+", ".+.+"},
			[]RuleEffect{{"uncertain: missing", "Edema", 1}, {"uncertain: missing", "Pneumonia", 0}, {"uncertain: missing", "Mass", 1}, {"uncertain: missing", "No Finding", 0}},
		},
		{
			"uncertain as a finding of its own", "uncertain: {Edema: separate}", []string{"+.---", ".+..+", "--?.-", "...+.", ".+.+."},
			[]RuleEffect{{"uncertain: separate", "Edema", 1}},
		},
		{
			"missing is negative where it is said", "missing: {Pneumonia: negative}", []string{"+---", "?+..", "--?.", ".-.+", ".+.+"},
			[]RuleEffect{{"missing: negative", "Pneumonia", 2}},
		},
		{
			"no finding implies negatives", "no_finding_implies_negative: true", []string{"+.--", "?+..", "--?.", "---+", "-+-+"},
			[]RuleEffect{{"no_finding_implies_negative", "Edema", 2}, {"no_finding_implies_negative", "Pneumonia", 1}, {"no_finding_implies_negative", "Mass", 2}},
		},
		{
			"renamed and merged", "rename: {Edema: Opacity, Pneumonia: Opacity, Mass: Lump}", []string{"+--", "+..", "-?.", "..+", "+.+"},
			[]RuleEffect{{"from Edema, Pneumonia", "Opacity", 2}, {"from Mass", "Lump", 0}},
		},
		{
			"merged, and only that", "rename: {Edema: Opacity, Pneumonia: Opacity}\nlabels: [Opacity]", []string{"+", "+", "-", ".", "+"},
			[]RuleEffect{{"from Edema, Pneumonia", "Opacity", 2}},
		},
	} {
		d, err := withRules(t, tt.rules)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		var got []string
		for _, id := range ids(d) {
			got = append(got, labelsOf(t, d, id))
		}
		if !slices.Equal(got, tt.want) || !slices.Equal(d.Rules, tt.effects) {
			t.Errorf("%s: labels %q, rules %v\nwant %q, %v (classes %v)", tt.name, got, d.Rules, tt.want, tt.effects, d.Classes)
		}
	}
}

func TestBadRulesAreRefused(t *testing.T) {
	t.Parallel()
	for rules, want := range map[string]string{
		"uncertain: maybe":                   `unknown rule for uncertain labels "maybe"`,
		"uncertain: {Edem: positive}":        `unknown finding in a rule "Edem"; did you mean "Edema"?`,
		"missing: positive":                  `unknown rule for missing labels "positive"`,
		"rename: {Oedema: Edema}":            `unknown finding to rename "Oedema"; did you mean "Edema"?`,
		"consensus: [{of: [a]}]":             "want two or more",
		"consensus: [{of: [a, b], rule: x}]": `unknown consensus rule "x"`,
		"consensus: [{of: [a, b]}]":          `no column "a" for the annotator`,
		"patient_pattern: '('":               "patient_pattern",
		"box: {xmin: a}":                     "box: want the columns",
		"window: {center: 1, width: 0}":      "want a width of at least 2",
		"frame: last":                        "want all, middle or a number",
		"aggregate: {how: sum}":              "aggregate: by: is missing",
		"holdout: site":                      "want COLUMN=VALUE",
		"after: soon":                        "want a day",
		"fold: 2":                            "split_file",
		"separator: ab":                      "want one character",
		"unlisted: no":                       `unknown unlisted "no"`,
	} {
		if _, err := withRules(t, rules); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", rules, err, want)
		}
	}
}

func TestAnnotatorsWhoDisagree(t *testing.T) {
	t.Parallel()
	const findings = "path,r1,r2,r3\na,1,1,0\nb,1,0,\nc,0,0,0\nd,,,\ne,1,-1,\nf,0,,\n"
	for rule, want := range map[string][]string{
		majority:  {"+", "?", "-", ".", "?", "-"},
		unanimous: {"?", "?", "-", ".", "?", "-"},
		anyone:    {"+", "+", "-", ".", "+", "-"},
	} {
		d, err := openCSV(t, findings, Spec{Consensus: []Consensus{{Finding: "nodule", Of: []string{"r1", "r2", "r3"}, Rule: rule}}})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, id := range ids(d) {
			got = append(got, labelsOf(t, d, id))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", rule, got, want)
		}
	}
	d, err := openCSV(t, "path,r1,r2,r3\na,x,x,y\nb,x,y,z\nc,z,z,\nd,,,\ne,y,y,x\n", Spec{Consensus: []Consensus{{Of: []string{"r1", "r2", "r3"}}}})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(d.Classes, []string{"x", "y", "z"}) || labelsOf(t, d, "a") != "+--" || labelsOf(t, d, "b") != "..." || labelsOf(t, d, "c") != "--+" || labelsOf(t, d, "d") != "..." {
		t.Errorf("classes %v", d.Classes)
	}
}

// Layouts seen in the wild.
func TestLayoutsInTheWild(t *testing.T) {
	t.Parallel()
	dir := writeAll(t, map[string]string{
		"COVID-00003a.png": picture(t, 1), "COVID-00003b.png": picture(t, 2), "COVID-00004.png": picture(t, 3),
		"index.csv":  ",Image,Category\n0,COVID-00003a,\"NEUTROPHIL, EOSINOPHIL\"\n1,COVID-00003b,NEUTROPHIL\n2,COVID-00004,\n",
		"list.txt":   "COVID-00003a.png 1 0 0\nCOVID-00003b.png 0 1 0\nCOVID-00004.png 0 0 1\n",
		"semi.csv":   "image;class\nCOVID-00003a.png;x\nCOVID-00003b.png;y\n",
		"boxes.tsv":  "image\tclass\tx\ty\tw\th\nCOVID-00003a.png\tx\t0\t0\t2\t2\nCOVID-00003a.png\ty\t1.5\t0\t2\t2\nCOVID-00003b.png\ty\t-1\t0\t2\t2\nCOVID-00003b.png\ty\t1\t0\t0\t2\nCOVID-00004.png\tx\t\t\t\t\nCOVID-00004.png\tx\t1\t\t\t\nCOVID-00003b.png\ty\t100\t0\t2\t2\n",
		"rows.jsonl": "{\"path\": \"COVID-00003a.png\", \"labels\": [\"edema\", \"mass\"], \"age\": 61}\n{\"path\": \"COVID-00003b.png\", \"labels\": [\"mass\"]}\n{\"labels\": [], \"path\": \"COVID-00004.png\"}\n",
		"names.csv":  "path,label\nCOVID-00003a.png,cat\nCOVID-00003b.png,dog\nCOVID-00004.png,cow\n",
		"quoted.csv": "path,note,y\nCOVID-00003a.png,\"two\nlines, \"\"quoted\"\"\",1\nCOVID-00004.png,x,0\n",
	})
	in := func(name string) string { return dir + "/" + name }

	d := open(t, Spec{Format: "csv", Path: in("index.csv"), Label: "Category", LabelSeparator: ",", PatientPattern: `COVID-(\d+)`})
	if !slices.Equal(d.Classes, []string{"EOSINOPHIL", "NEUTROPHIL"}) || labelsOf(t, d, "COVID-00003a.png") != "++" || labelsOf(t, d, "COVID-00004.png") != ".." || *Inspect(d).Patients != 2 {
		t.Errorf("names without an ending, quoted lists, an index without a name: %v, %+v", d.Classes, d.Samples)
	}
	decodes(t, d)

	d = open(t, Spec{Format: "csv", Path: in("list.txt"), Columns: []string{"path", "a", "b", "c"}})
	if !slices.Equal(d.Classes, []string{"a", "b", "c"}) || len(d.Samples) != 3 || labelsOf(t, d, "COVID-00003b.png") != "-+-" {
		t.Errorf("a list without a header: %v, %+v", d.Classes, d.Samples)
	}

	if d = open(t, Spec{Format: "csv", Path: in("semi.csv")}); len(d.Samples) != 2 {
		t.Errorf("semicolons: %v", ids(d))
	}

	d = open(t, Spec{Format: "tsv", Path: in("boxes.tsv"), Box: Box{XMin: "x", YMin: "y", Width: "w", Height: "h"}})
	if len(d.Samples) != 4 || len(d.Excluded) != 3 || d.Samples[0].Patient != d.Samples[1].Patient || d.Samples[0].Patient == "" {
		t.Errorf("boxes: %v, excluded %v", ids(d), d.Excluded)
	}
	outside := d.Samples[2]
	content, err := d.Content(outside.Source)
	if err != nil {
		t.Fatal(err)
	}
	img, err := content.Decode(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Crop(img, outside.Source.Region); err == nil || !strings.Contains(err.Error(), "does not lie within") {
		t.Errorf("a box outside the image: %v", err)
	}

	d = open(t, Spec{Format: "jsonl", Path: in("rows.jsonl")})
	if !slices.Equal(d.Classes, []string{"edema", "mass"}) || labelsOf(t, d, "COVID-00003b.png") != "-+" || labelsOf(t, d, "COVID-00004.png") != ".." || d.Attr(0, "age") != "61" {
		t.Errorf("JSON lines: %v, %+v", d.Classes, d.Samples)
	}

	d = open(t, Spec{Format: "csv", Path: in("names.csv"), Rename: map[string]string{"cat": "pet", "dog": "pet"}})
	if d.Task != Binary || len(d.Samples) != 3 {
		t.Errorf("renamed classes: %v", d.Classes)
	}

	if d = open(t, Spec{Format: "csv", Path: in("quoted.csv"), Labels: []string{"y"}}); len(d.Samples) != 2 || !strings.Contains(d.Attr(0, "note"), "two\nlines") {
		t.Errorf("quoted newlines: %+v", d.Samples)
	}
}

// One mistyped cell must not take a finding away in silence.
func TestNearlyAFindingIsAProblem(t *testing.T) {
	t.Parallel()
	d, err := openCSV(t, "path,a,b\n1,1,1\n2,0,0\n3,1,yes\n4,0,1\n5,1,0\n6,0,1\n", Spec{})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(d.Classes, []string{"a"}) || !slices.ContainsFunc(d.Problems, func(p Problem) bool { return strings.Contains(p.What, `line 4 holds "yes"`) }) {
		t.Errorf("classes %v, problems %v", d.Classes, d.Problems)
	}
}
