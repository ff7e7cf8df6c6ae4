package datasets

import (
	"bytes"
	"compress/gzip"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
)

// files writes texts by their names and returns the folder.
func writeAll(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		write(t, dir, name, text)
	}
	return dir
}

// picture is a small PNG that is unlike any other of another shade.
func picture(t *testing.T, shade uint8) string {
	t.Helper()
	img := image.NewGray(image.Rect(0, 0, 6, 4))
	for i := range img.Pix {
		img.Pix[i] = shade + uint8(i)
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func labelsOf(t *testing.T, d *Dataset, id string) string {
	t.Helper()
	for _, s := range d.Samples {
		if s.ID == id {
			var words []string
			for _, l := range s.Labels {
				words = append(words, map[Label]string{Positive: "+", Negative: "-", Uncertain: "?", Missing: "."}[l])
			}
			return strings.Join(words, "")
		}
	}
	t.Errorf("no sample %q among %v", id, ids(d))
	return ""
}

func ids(d *Dataset) []string {
	var all []string
	for _, s := range d.Samples {
		all = append(all, s.ID)
	}
	return all
}

// decodes fails if the image of a sample cannot be decoded.
func decodes(t *testing.T, d *Dataset) {
	t.Helper()
	for _, s := range d.Samples {
		content, err := d.Content(s.Source)
		if err == nil {
			_, err = content.Decode(t.Context(), 0)
		}
		if err != nil {
			t.Errorf("%s: %v", s.ID, err)
		}
	}
}

const chexpertHead = "Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Edema,Fracture\n"

func TestCheXpert(t *testing.T) {
	t.Parallel()
	for name, prefix := range map[string]string{"as it is on the disk": "CheXpert-v1.0-small/", "without the first folder": ""} {
		dir := writeAll(t, map[string]string{
			"train.csv": chexpertHead + "CheXpert-v1.0-small/train/patient00001/study1/view1_frontal.jpg,Female,68,Frontal,AP,1.0,,\n" +
				"CheXpert-v1.0-small/train/patient00001/study2/view1_lateral.jpg,Female,68,Lateral,,,-1.0,0.0\n",
			"valid.csv": chexpertHead + "CheXpert-v1.0-small/valid/patient64541/study1/view1_frontal.jpg,Male,73,Frontal,AP,0.0,1.0,0.0\n",
			prefix + "train/patient00001/study1/view1_frontal.jpg": picture(t, 1),
			prefix + "train/patient00001/study2/view1_lateral.jpg": picture(t, 2),
			prefix + "valid/patient64541/study1/view1_frontal.jpg": picture(t, 3),
		})
		d := open(t, Spec{Format: "chexpert", Path: dir})
		in := Inspect(d)
		if *in.Patients != 2 || in.Splits["train"] != 2 || in.Splits["validation"] != 1 || len(in.Leakage) != 0 {
			t.Errorf("%s: %+v", name, in)
		}
		if got := labelsOf(t, d, "train/patient00001/study1/view1_frontal.jpg"); got != "+.." {
			t.Errorf("%s: labels %s", name, got)
		}
		if got := labelsOf(t, d, "train/patient00001/study2/view1_lateral.jpg"); got != ".?-" {
			t.Errorf("%s: labels %s", name, got)
		}
		if d.Samples[0].Study != "patient00001/study1" || d.Attr(2, "Age") != "73" {
			t.Errorf("%s: %+v", name, d.Samples)
		}
		decodes(t, d)
		frontal := open(t, Spec{Format: "chexpert", Path: dir, Views: []string{"frontal"}})
		if len(frontal.Samples) != 2 || len(frontal.Excluded) != 1 {
			t.Errorf("%s: %d frontal, excluded %v", name, len(frontal.Samples), frontal.Excluded)
		}
	}
}

func gz(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write([]byte(text))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestMIMIC(t *testing.T) {
	t.Parallel()
	dir := writeAll(t, map[string]string{
		"mimic-cxr-2.0.0-chexpert.csv.gz": gz(t, "subject_id,study_id,Atelectasis,Edema\n10000032,50414267,1.0,\n10000764,57375967,-1.0,0.0\n"),
		"mimic-cxr-2.0.0-metadata.csv": "dicom_id,subject_id,study_id,ViewPosition,Rows\n" +
			"02aa804e,10000032,50414267,PA,3056\n174413ec,10000032,50414267,LATERAL,3056\nabc,10000764,57375967,AP,20\nlone,10000764,1,AP,20\n../x,10000764,1,AP,20\n",
		"mimic-cxr-2.0.0-split.csv.gz":               gz(t, "dicom_id,study_id,subject_id,split\n02aa804e,50414267,10000032,train\n174413ec,50414267,10000032,train\nabc,57375967,10000764,validate\n"),
		"files/p10/p10000032/s50414267/02aa804e.jpg": picture(t, 1),
	})
	d := open(t, Spec{Format: "mimic", Path: dir})
	in := Inspect(d)
	if len(d.Samples) != 4 || *in.Patients != 2 || in.Splits["train"] != 2 || in.Splits["validation"] != 1 || len(d.Excluded) != 1 {
		t.Errorf("%+v, excluded %v", in, d.Excluded)
	}
	if a, b, c, l := labelsOf(t, d, "02aa804e"), labelsOf(t, d, "174413ec"), labelsOf(t, d, "abc"), labelsOf(t, d, "lone"); a != "+." || b != "+." || c != "?-" || l != ".." {
		t.Errorf("labels %s %s %s %s", a, b, c, l)
	}
	if d.Contaminated != "MIMIC-CXR" {
		t.Errorf("contaminated by %q", d.Contaminated)
	}
	frontal := open(t, Spec{Format: "mimic", Path: dir, Views: []string{"PA", "AP"}})
	if len(frontal.Samples) != 3 {
		t.Errorf("%v", ids(frontal))
	}
	if content, err := d.Content(d.Samples[0].Source); err != nil || len(content.data) == 0 {
		t.Error(err)
	}
}

func TestNIHHeaderWithUnquotedCommas(t *testing.T) {
	t.Parallel()
	head := "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
	for name, table := range map[string]string{
		"2020":                     head + "\na.png,Mass|Effusion,0,1,058,M,PA,1,2,0.1,0.1\nb.png,No Finding,1,1,59,M,AP,1,2,0.1,0.1\nc.png,,0,2,60,F,PA,1,2,0.1,0.1\n",
		"2017, with one more":      head + ",\na.png,Mass|Effusion,0,1,058Y,M,PA,1,2,0.1,0.1,\nb.png,No Finding,1,1,059Y,M,AP,1,2,0.1,0.1,\nc.png,,0,2,010M,F,PA,1,2,0.1,0.1,\n",
		"with fields but no name":  head + "\na.png,Mass|Effusion,0,1,058Y,M,PA,1,2,0.1,0.1,\nb.png,No Finding,1,1,059Y,M,AP,1,2,0.1,0.1,\nc.png,,0,2,010M,F,PA,1,2,0.1,0.1,\n",
		"with a name and no field": head + ",\na.png,Mass|Effusion,0,1,058Y,M,PA,1,2,0.1,0.1\nb.png,No Finding,1,1,059Y,M,AP,1,2,0.1,0.1\nc.png,,0,2,010M,F,PA,1,2,0.1,0.1\n",
	} {
		dir := writeAll(t, map[string]string{
			"Data_Entry_2017.csv": table, "train_val_list.txt": "a.png\nb.png\n", "test_list.txt": "c.png\n",
			"images_001/images/a.png": picture(t, 1), "images_002/images/b.png": picture(t, 2), "images/c.png": picture(t, 3),
		})
		d := open(t, Spec{Format: "nih", Path: dir})
		in := Inspect(d)
		if !slices.Equal(d.Classes, []string{"Effusion", "Mass", "No Finding"}) || *in.Patients != 2 || in.Splits["train"] != 2 || in.Splits["test"] != 1 {
			t.Errorf("%s: %v, %+v", name, d.Classes, in)
		}
		if a, b, c := labelsOf(t, d, "a.png"), labelsOf(t, d, "b.png"), labelsOf(t, d, "c.png"); a != "++-" || b != "--+" || c != "..." {
			t.Errorf("%s: labels %s %s %s", name, a, b, c)
		}
		if age := d.Attr(0, "Patient Age"); strings.TrimLeft(age, "0") != "58" {
			t.Errorf("%s: age %q", name, age)
		}
		decodes(t, d)
	}
}

func TestSCINKeepsCasesTogether(t *testing.T) {
	t.Parallel()
	dir := writeAll(t, map[string]string{
		"dataset/scin_cases.csv": "case_id,source,image_1_path,image_2_path,image_3_path,sex_at_birth\n" +
			"1,x,dataset/images/1.png,dataset/images/2.png,,FEMALE\n2,x,dataset/images/3.png,,,MALE\n3,x,dataset/images/4.png,,,\n",
		"dataset/scin_labels.csv": "case_id," + scinConditions + "," + scinConfidences + "\n" +
			"1,\"['Eczema', \"\"Tinea's\"\"]\",\"[4, 2]\"\n2,['Psoriasis'],[3]\n3,[],[]\n",
		"dataset/images/1.png": picture(t, 1), "dataset/images/2.png": picture(t, 2), "dataset/images/3.png": picture(t, 3), "dataset/images/4.png": picture(t, 4),
	})
	d := open(t, Spec{Format: "scin", Path: dir, MinConfidence: 3})
	if !slices.Equal(d.Classes, []string{"Eczema", "Psoriasis", "Tinea's"}) || d.Unit != "case" || len(d.Samples) != 4 || d.Contaminated != "SCIN" {
		t.Fatalf("%v, %s, %v, %q", d.Classes, d.Unit, ids(d), d.Contaminated)
	}
	if a, b, c, e := labelsOf(t, d, "dataset/images/1.png"), labelsOf(t, d, "dataset/images/2.png"), labelsOf(t, d, "dataset/images/3.png"), labelsOf(t, d, "dataset/images/4.png"); a != "+-?" || b != a || c != "-+-" || e != "..." {
		t.Errorf("labels %s %s %s %s", a, b, c, e)
	}
	decodes(t, d)
	// The split that Google's notebook makes, by image: it divides cases.
	parts := []string{"train", "test", "train", "train"}
	if leaks := Leaks(d, parts, Contents{}); len(leaks) != 1 || leaks[0].What != "1" {
		t.Errorf("a split by image: leaks %v", leaks)
	}
}

func TestCOCO(t *testing.T) {
	t.Parallel()
	dir := writeAll(t, map[string]string{
		"annotations/instances.json": `{"info": {"x": [1, {"y": 2}]}, "annotations": [
			{"id": 1, "image_id": 7, "category_id": 2, "bbox": [1, 0, 2.5, 3], "segmentation": [[1,2]], "area": 3},
			{"id": 2, "image_id": 7, "category_id": 3, "bbox": [4, 1, 9, 9]},
			{"id": 3, "image_id": 7, "category_id": 3, "bbox": [-1, 1, 2, 2]},
			{"id": 4, "image_id": 7, "category_id": 3, "bbox": [1, 1, 0, 2]},
			{"id": 5, "image_id": 9, "category_id": 3, "bbox": [1, 1, 2, 2]},
			{"id": 6, "image_id": 7, "category_id": 3, "bbox": [50, 1, 2, 2]}],
			"images": [{"id": 7, "file_name": "a.png", "width": 6, "height": 4}, {"id": 8, "file_name": "b.png", "width": 6, "height": 4}],
			"categories": [{"id": 2, "name": "WBC"}, {"id": 3, "name": "RBC"}]}`,
		"images/a.png": picture(t, 1),
	})
	d := open(t, Spec{Format: "coco", Path: filepath.Join(dir, "annotations", "instances.json"), Positive: "WBC"})
	if len(d.Samples) != 2 || len(d.Excluded) != 4 || d.Unit != "photograph" {
		t.Fatalf("%v, excluded %v", ids(d), d.Excluded)
	}
	if r := d.Samples[0].Source.Region; r != image.Rect(1, 0, 4, 3) {
		t.Errorf("region %v", r)
	}
	if r := d.Samples[1].Source.Region; r != image.Rect(4, 1, 6, 4) {
		t.Errorf("cut region %v", r)
	}
	if a := labelsOf(t, d, "a.png#1"); a != "+" {
		t.Errorf("label %s", a)
	}
	decodes(t, d)
}

func TestImageFolderMetadata(t *testing.T) {
	t.Parallel()
	images := func(files map[string]string) map[string]string {
		for i, name := range []string{"train/a.png", "train/b.png", "test/c.png"} {
			files[name] = picture(t, uint8(10*i))
		}
		return files
	}
	for name, dir := range map[string]string{
		"labels in one table": writeAll(t, images(map[string]string{"metadata.csv": "file_name,effusion,patient\ntrain/a.png,1,p\ntrain/b.png,0,p\ntest/c.png,,q\n"})),
		"labels in a table for each part": writeAll(t, images(map[string]string{
			"train/metadata.jsonl": "{\"file_name\": \"a.png\", \"effusion\": 1, \"patient\": \"p\"}\n{\"file_name\": \"b.png\", \"effusion\": 0, \"patient\": \"p\"}\n",
			"test/metadata.jsonl":  "{\"file_name\": \"c.png\", \"effusion\": null, \"patient\": \"q\"}\n",
		})),
	} {
		d := open(t, Spec{Format: "imagefolder", Path: dir, Labels: []string{"effusion"}})
		if in := Inspect(d); in.Splits["train"] != 2 || in.Splits["test"] != 1 || *in.Patients != 2 {
			t.Errorf("%s: %+v", name, in)
		}
		if a, b, c := labelsOf(t, d, "train/a.png"), labelsOf(t, d, "train/b.png"), labelsOf(t, d, "test/c.png"); a+b+c != "+-." {
			t.Errorf("%s: labels %s %s %s", name, a, b, c)
		}
		decodes(t, d)
	}
	// Class folders whose files share patients: the table says whose they are.
	dir := writeAll(t, map[string]string{
		"normal/1.png": picture(t, 1), "effusion/2.png": picture(t, 2), "effusion/3.png": picture(t, 3), "effusion/x.txt": "note",
		"metadata.csv": "file_name,patient,scanner\nnormal/1.png,p1,A\neffusion/2.png,p1,B\neffusion/3.png,p2,B\n",
	})
	d := open(t, Spec{Format: "imagefolder", Path: dir})
	if in := Inspect(d); *in.Patients != 2 || in.Labels["effusion"].Positive != 2 || len(d.Excluded) != 1 || d.Attr(0, "scanner") != "B" {
		t.Errorf("%+v, excluded %v", in, d.Excluded)
	}
}

type hfImage struct {
	Bytes []byte `parquet:"bytes"`
	Path  string `parquet:"path,optional"`
}

type hfRow struct {
	Image   hfImage `parquet:"image"`
	Label   int64   `parquet:"label"`
	Patient string  `parquet:"patient"`
	Tags    []int64 `parquet:"tags,list"`
}

func TestHuggingFaceParquet(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var rows []hfRow
	for i := range 30 {
		rows = append(rows, hfRow{Image: hfImage{Bytes: []byte(picture(t, uint8(i))), Path: "x.png"}, Label: int64(i % 3), Patient: string(rune('a' + i/2)), Tags: []int64{int64(i % 2), 2}[:1+i%2]})
	}
	info := `{"info": {"features": {"label": {"names": ["x", "y", "z"], "_type": "ClassLabel"}, "tags": {"feature": {"names": ["no", "edema", "mass"], "_type": "ClassLabel"}, "_type": "Sequence"}, "image": {"_type": "Image"}}}}`
	for k, part := range []string{"data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet", "data/test-00000-of-00001.parquet"} {
		path := write(t, dir, part, "")
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		w := parquet.NewGenericWriter[hfRow](f, parquet.KeyValueMetadata("huggingface", info), parquet.MaxRowsPerRowGroup(4), parquet.PageBufferSize(200))
		if _, err := w.Write(rows[10*k : 10*k+10]); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	d := open(t, Spec{Format: "hf", Path: dir})
	in := Inspect(d)
	if in.Splits["train"] != 20 || in.Splits["test"] != 10 || *in.Patients != 15 || !slices.Equal(d.Classes, []string{"x", "y", "z"}) {
		t.Fatalf("%+v", in)
	}
	// In order, backwards, and across files.
	for _, i := range append(upToN(30), 29, 3, 17, 4, 0, 28) {
		content, err := d.Content(d.Samples[i].Source)
		if err != nil {
			t.Fatal(err)
		}
		want := (i + 20) % 30 // ids put test before train
		if string(content.data) != picture(t, uint8(want)) {
			t.Errorf("sample %s holds another image than row %d", d.Samples[i].ID, want)
		}
	}
	lists := open(t, Spec{Format: "hf", Path: dir, Label: "tags"})
	if !slices.Equal(lists.Classes, []string{"edema", "mass", "no"}) || lists.Task != Multilabel || labelsOf(t, lists, lists.Samples[1].ID) != "++-" {
		t.Errorf("%v, %s", lists.Classes, lists.Task)
	}
}
