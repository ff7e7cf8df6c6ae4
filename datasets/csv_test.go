package datasets

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/medprobe/medprobe/internal/texttab"
)

// write puts a file into dir and returns its path.
func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t *testing.T, s Spec) *Dataset {
	t.Helper()
	d, err := Open(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func openCSV(t *testing.T, text string, s Spec) (*Dataset, error) {
	t.Helper()
	s.Format, s.Path = "csv", write(t, t.TempDir(), "labels.csv", text)
	d, err := Open(t.Context(), s)
	if err == nil {
		t.Cleanup(func() { d.Close() })
	}
	return d, err
}

func TestFindingColumnsKeepFourValues(t *testing.T) {
	t.Parallel()
	d, err := openCSV(t, "\ufeffpath,patient,effusion,nodule,age\r\na.png,p1,1,,61\r\nb.png,p1,0.0,-1,62\r\n", Spec{})
	if err != nil {
		t.Fatal(err)
	}
	if d.Task != Multilabel || !slices.Equal(d.Classes, []string{"effusion", "nodule"}) || d.Unit != "patient" {
		t.Fatalf("task %s, classes %v, unit %s", d.Task, d.Classes, d.Unit)
	}
	if got := d.Samples[0].Labels; !slices.Equal(got, []Label{Positive, Missing}) {
		t.Errorf("labels of a.png = %v, want positive and missing", got)
	}
	if got := d.Samples[1].Labels; !slices.Equal(got, []Label{Negative, Uncertain}) {
		t.Errorf("labels of b.png = %v, want negative and uncertain", got)
	}
	if d.Attr(0, "age") != "61" {
		t.Errorf("attributes of a.png = %v, want age 61", d.Samples[0].Attrs)
	}
}

func TestClassColumnOfTwoNamesIsBinary(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, text, positive, want string
		problems                   int
	}{
		{"a word for nothing found is the negative", "path,label\na,pneumonia\nb,normal\n", "", "pneumonia", 0},
		{"otherwise the second by name, and it is said", "path,label\na,red\nb,blue\n", "", "red", 1},
		{"asked for", "path,label\na,red\nb,blue\n", "blue", "blue", 0},
	} {
		d, err := openCSV(t, tt.text, Spec{Positive: tt.positive})
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if d.Task != Binary || !slices.Equal(d.Classes, []string{tt.want}) || len(d.Problems) != tt.problems {
			t.Errorf("%s: task %s, classes %v, problems %v", tt.name, d.Task, d.Classes, d.Problems)
		}
	}
}

func TestMulticlassRowWithoutClassIsMissing(t *testing.T) {
	t.Parallel()
	d, err := openCSV(t, "path,label\na,x\nb,y\nc,z\nd,\n", Spec{})
	if err != nil {
		t.Fatal(err)
	}
	if !d.Exclusive() || !slices.Equal(d.Samples[3].Labels, []Label{Missing, Missing, Missing}) {
		t.Errorf("task %s, labels of the row without a class %v", d.Task, d.Samples[3].Labels)
	}
	if !slices.Equal(d.Samples[1].Labels, []Label{Negative, Positive, Negative}) {
		t.Errorf("labels of b = %v", d.Samples[1].Labels)
	}
}

func TestBadTablesNameRowColumnAndRemedy(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, text string
		spec       Spec
		want       []string
	}{
		{"label outside the vocabulary", "path,effusion\na,1\nb,2\n", Spec{Labels: []string{"effusion"}}, []string{"labels.csv:3", `effusion = "2": want 1, 0, -1 or empty`}},
		{"no word for a label", "path,effusion\na,1\nb,n/a\n", Spec{Labels: []string{"effusion"}}, []string{"labels.csv:3", `effusion = "n/a"`}},
		{"misspelt column", "path,effusion\na,1\n", Spec{Labels: []string{"efusion"}}, []string{`no column "efusion"`, `did you mean "effusion"?`}},
		{"no image column", "bild,effusion\na,1\n", Spec{}, []string{"image:", "bild"}},
		{"nearly an image column", "note,pathh,effusion\nx,a,1\n", Spec{}, []string{`name it with image: "pathh", perhaps (columns: note, pathh, effusion)`}},
		{"an image column by what it holds", "note,bild,effusion\nx,a b.PNG,1\ny,c.dcm,\n", Spec{}, []string{`name it with image: "bild", perhaps (columns: note, bild, effusion)`}},
		{"a label column by what it holds", "path,age,note,befund\na,1.5,x,ja\nb,2.5,y,nein\nc,3.5,z,ja\nd,,u,nein\ne,4,v,ja\nf,5,w,ja\ng,6,q,ja\nh,7,r,ja\n", Spec{}, []string{`name one column of class names with label: "befund", perhaps, or`}},
		{"no label column", "path,note\na,hello\n", Spec{}, []string{"label:"}},
		{"ragged row", "path,effusion\na,1,2\n", Spec{}, []string{"labels.csv:2", "3 fields under a header of 2"}},
		{"a mistyped cell of the only finding", "path,effusion\na,1\nb,0\nc,1\nd,0\ne,0\nf,maybe\n", Spec{}, []string{`line 7 holds "maybe"`}},
		{"decimal commas", "path;effusion\na;1,0\nb;0,0\n", Spec{}, []string{`the column effusion is not taken for a finding: line 2 holds "1,0"; format its cells as numbers`}},
		{"percent, named", "path,effusion\na,100 %\nb,0 %\n", Spec{Labels: []string{"effusion"}}, []string{`labels.csv:2: effusion = "100 %"`, "format its cells as numbers"}},
		{"UTF-16", "\xff\xfep\x00a\x00t\x00h\x00", Spec{}, []string{"UTF-16", `save the table as "CSV UTF-8"`}},
		{"a workbook", "PK\x03\x04\x14\x00", Spec{}, []string{"a workbook"}},
		{"a place in R's words for nothing known", "path,effusion\na,1\nb,N/A\nc,NA\n", Spec{Labels: []string{"effusion"}}, []string{`labels.csv:3: effusion = "N/A"`}},
		{"lines of old", "path,effusion\ra,1\rb,0\r", Spec{}, []string{"CR alone"}},
		{"endless row", "path,effusion\na,\"" + strings.Repeat("z\n", maxRow), Spec{}, []string{"is a quote not closed?"}},
		{"what the format does not read", "path,effusion\na,1\n", Spec{Views: []string{"PA"}}, []string{"views: means nothing in csv; it is for chexpert"}},
		{"column twice", "path,effusion,effusion\na,1,1\n", Spec{}, []string{`"effusion" stands twice`}},
		{"empty file", "", Spec{}, []string{"empty"}},
		{"header only, no label named", "path,effusion\n", Spec{}, []string{"no row under the header"}},
		{"header only", "path,effusion\n", Spec{Labels: []string{"effusion"}}, []string{"no sample"}},
		{"id twice", "path,effusion\na,1\na,0\n", Spec{}, []string{`"a" stands twice, in lines 2 and 3`}},
		{"not UTF-8", "path,effusion\n\xff\xfe,1\n", Spec{}, []string{"line 2", "UTF-8"}},
		{"one class", "path,label\na,x\nb,x\n", Spec{}, []string{`the only class is "x", and telling apart takes two`}},
		{"class not asked for", "path,label\na,x\nb,y\n", Spec{Classes: []string{"x", "z"}}, []string{`unknown class "z"`}},
	} {
		_, err := openCSV(t, tt.text, tt.spec)
		if err == nil {
			t.Errorf("%s: no error", tt.name)
			continue
		}
		for _, want := range tt.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %q does not say %q", tt.name, err, want)
			}
		}
	}
}

func TestPathsThatLeaveTheFolderAreExcluded(t *testing.T) {
	t.Parallel()
	d, err := openCSV(t, "path,effusion\na.png,1\n../secret.png,0\n/etc/passwd,1\nfile:///etc/passwd,0\nhttp://host/x.png,0\n,1\n\"a\x00b\",1\n", Spec{})
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Samples) != 1 || len(d.Excluded) != 6 {
		t.Errorf("%d samples, excluded %v: want 1 and 6", len(d.Samples), d.Excluded)
	}
}

func TestSymbolicLinkOutOfTheFolderIsNotFollowed(t *testing.T) {
	t.Parallel()
	outside := write(t, t.TempDir(), "secret.png", "secret")
	dir := t.TempDir()
	if err := os.Symlink(outside, filepath.Join(dir, "a.png")); err != nil {
		t.Fatal(err)
	}
	d := open(t, Spec{Format: "csv", Path: write(t, dir, "labels.csv", "path,effusion\na.png,1\n")})
	if content, err := d.Content(d.Samples[0].Source); err == nil {
		t.Errorf("the link was followed: %q", content.data)
	}
}

func TestPathsMayBeOdd(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"with space.png", "ümlaut.png", "new\nline.png", "deep/er/x.png", "-dash.png"} {
		write(t, dir, name, "content of "+name)
	}
	d := open(t, Spec{Format: "csv", Path: write(t, dir, "labels.csv", "path,effusion\nwith space.png,1\nümlaut.png,0\n\"new\nline.png\",1\n./deep/../deep/er/x.png,1\n"+filepath.Join(dir, "-dash.png")+",1\n")})
	for _, s := range d.Samples {
		content, err := d.Content(s.Source)
		if err != nil || string(content.data) != "content of "+s.Source.Path {
			t.Errorf("%q: content %q, error %v", s.ID, content.data, err)
		}
	}
	if len(d.Samples) != 5 {
		t.Errorf("%d samples, want 5; excluded %v", len(d.Samples), d.Excluded)
	}
}

func FuzzCSV(f *testing.F) {
	f.Add("path,patient,effusion\na.png,p,1\n")
	f.Add("path\tlabel\n\"a\nb\"\tx\n")
	f.Add("{\"path\": \"a.png\", \"labels\": [\"x\", \"y\"]}\n{\"path\": \"b.png\", \"effusion\": 1}\n")
	f.Add("Path,Sex,Age,Frontal/Lateral,AP/PA,Edema\nCheXpert-v1.0/train/patient1/study1/a.jpg,F,1,Frontal,AP,-1.0\n")
	f.Add("Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,OriginalImage[Width,Height],\na.png,Mass|Nodule,0,1,058Y,M,PA,1,2,\n")
	f.Add("a.png 1 0 -1\nb.png 0 1 0\n")
	f.Fuzz(func(t *testing.T, text string) {
		for name, s := range map[string]Spec{
			"labels.csv": {Format: "csv"}, "labels.jsonl": {Format: "jsonl"}, "labels.tsv": {Format: "tsv"}, "list.txt": {Format: "csv", Columns: []string{"path", "a", "b", "c"}},
			"train.csv": {Format: "chexpert"}, "Data_Entry.csv": {Format: "nih"},
			"rules.csv": {Format: "csv", Uncertain: ByFinding{Default: "separate"}, Missing: ByFinding{Default: "negative"}, NoFindingImpliesNegative: true, LabelSeparator: ","},
		} {
			s.Path = write(t, t.TempDir(), name, text)
			d, err := Open(t.Context(), s)
			if err != nil {
				continue
			}
			for _, sample := range d.Samples {
				if len(sample.Labels) != len(d.Classes) || sample.ID == "" || !filepath.IsLocal(sample.Source.Path) {
					t.Errorf("%s: sample %+v of %d classes", name, sample, len(d.Classes))
				}
			}
			d.Close()
		}
	})
}

func TestClassesNotAskedForAreExcluded(t *testing.T) {
	t.Parallel()
	const text = "path,label\na,x\nb,y\nc,z\nd,\ne,x\n"
	d, err := openCSV(t, text, Spec{Classes: []string{"z", "x"}})
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Samples) != 4 || len(d.Excluded) != 1 || d.Excluded[0].ID != "b" || !strings.Contains(d.Excluded[0].Reason, `"y"`) {
		t.Errorf("%d samples, excluded %v: want b alone excluded", len(d.Samples), d.Excluded)
	}
	if _, err := openCSV(t, text, Spec{Classes: []string{"x", "yy"}}); err == nil || !strings.Contains(err.Error(), `did you mean "y"?`) {
		t.Errorf("error %v: want the class that was meant", err)
	}
}

func TestParquetTablesSayWhatCSVSays(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "labels.parquet")
	err := texttab.Write(path, []texttab.Column{
		{Name: "path", Texts: []string{"a.png", "b.png", "c.png"}},
		{Name: "patient", Texts: []string{"p1", "p1", "p2"}},
		{Name: "effusion", Numbers: []float64{1, 0, -1}},
	})
	if err != nil {
		t.Fatal(err)
	}
	d, err := Open(t.Context(), Spec{Format: "csv", Path: path, Labels: []string{"effusion"}})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if len(d.Samples) != 3 || d.Samples[1].Patient != "p1" || d.Samples[0].Labels[0] != Positive || d.Samples[1].Labels[0] != Negative || d.Samples[2].Labels[0] != Uncertain {
		t.Errorf("samples %+v", d.Samples)
	}
}

func TestEmptyLinesOfOneColumnAreEmptyValues(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"as R writes it":      "effusion\n1\n\n\n0\n1\n",
		"as Python writes it": "effusion\n1\n\"\"\n\"\"\n0\n1\n",
		"on Windows":          "\ufeffeffusion\r\n1\r\n\r\n\r\n0\r\n1\r\n",
	} {
		path := filepath.Join(t.TempDir(), "y.csv")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		d, err := ReadLabels(t.Context(), Spec{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		var got []Label
		for _, s := range d.Samples {
			got = append(got, s.Labels[0])
		}
		if want := []Label{Positive, Missing, Missing, Negative, Positive}; !slices.Equal(got, want) {
			t.Errorf("%s: labels %v, want %v", name, got, want)
		}
	}
	// Of several columns they mean nothing.
	if d, err := openCSV(t, "path,effusion\na,1\n\nb,0\n\n", Spec{}); err != nil || len(d.Samples) != 2 {
		t.Errorf("%v", err)
	}
}

// Who a patient is decides what may be divided: a column that may be meant is
// named, and never taken unasked.
func TestAColumnThatMayBeThePatientIsNamed(t *testing.T) {
	t.Parallel()
	for header, said := range map[string]bool{"PatID": true, "Patient No.": true, "MRN": true, "patient_age": false, "site": false, "patient": false} {
		d, err := openCSV(t, "path,"+header+",effusion\na,p,1\nb,q,0\n", Spec{Labels: []string{"effusion"}})
		if err != nil {
			t.Fatal(err)
		}
		got := slices.ContainsFunc(d.Problems, func(p Problem) bool { return strings.Contains(p.What, "write patient: "+header) })
		if got != said {
			t.Errorf("%q: said %v, want %v; problems %v", header, got, said, d.Problems)
		}
	}
}

// A folder in place of a table, a table in place of a folder.
func TestTheOtherKindIsNamed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	table := filepath.Join(dir, "labels.csv")
	if err := os.WriteFile(table, []byte("path,effusion\na,1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for spec, want := range map[string]string{"csv:" + dir: "say imagefolder:" + dir, "imagefolder:" + table: "say csv:" + table} {
		s, err := ParseSpec(spec)
		if err == nil {
			_, err = Open(t.Context(), s)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", spec, err, want)
		}
	}
}

func TestWindowsPathsAreToldApart(t *testing.T) {
	t.Parallel()
	d, err := openCSV(t, "path,effusion\n"+`images\a.png,1`+"\n", Spec{})
	if err != nil {
		t.Fatal(err)
	}
	if p := d.LookForFiles(); len(p) != 1 || filepath.Separator == '/' && !strings.Contains(p[0].What, `put / for each \`) {
		t.Errorf("problems %v: want one that names the backslash", p)
	}
}
