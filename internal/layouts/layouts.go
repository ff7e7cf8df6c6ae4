// Package layouts writes, for the documentation's examples, a few samples of
// every layout that datasets reads: a dozen small drawn pictures, labelled by
// their shade.
package layouts

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/medprobe/medprobe/internal/needs"
	"github.com/medprobe/medprobe/internal/npy"
	"github.com/parquet-go/parquet-go"
)

// n is how many pictures there are, two of each patient.
const n = 12

// dim is the width of the demo encoder.
const dim = 128

func sick(i int) int    { return i / 2 % 2 }
func patient(i int) int { return i / 2 }

func part(i int) string {
	if i < n/2 {
		return "train"
	}
	return "test"
}

type folder struct {
	t   testing.TB
	dir string
}

func (f folder) write(name string, data []byte) {
	f.t.Helper()
	path := filepath.Join(f.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		f.t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		f.t.Fatal(err)
	}
}

func (f folder) picture(i int) []byte {
	f.t.Helper()
	img := image.NewGray(image.Rect(0, 0, 32, 24))
	for k := range img.Pix {
		img.Pix[k] = uint8(40 + 100*sick(i) + 7*i + k%13)
	}
	img.SetGray(i, 0, color.Gray{Y: 255})
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		f.t.Fatal(err)
	}
	return b.Bytes()
}

func zipped(text string) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write([]byte(text)) // to memory: it cannot fail
	w.Close()
	return b.Bytes()
}

// Write puts one folder for each layout into dir.
func Write(t testing.TB, dir string) {
	t.Helper()
	f := folder{t, dir}
	f.tables()
	f.chexpert()
	f.mimic()
	f.nih()
	f.scin()
	f.coco()
	f.voc()
	f.folders()
	f.webDataset()
	f.huggingFace()
	f.arrays()
	f.dicom()
}

func (f folder) tables() {
	var lines strings.Builder
	readers := "path,patient,reader_1,reader_2,reader_3,x,y,w,h\n"
	for i := range n {
		f.write(fmt.Sprintf("small/%02d.png", i), f.picture(i))
		fmt.Fprintf(&lines, `{"path": "%02d.png", "patient": "p%d", "findings": ["%s"], "age": %d}`+"\n", i, patient(i), []string{"clear", "nodule"}[sick(i)], 50+i)
		readers += fmt.Sprintf("%02d.png,p%d,%d,%d,%s,%d,2,10,10\n", i, patient(i), sick(i), sick(i), []string{"0", "1", ""}[i%3], i)
	}
	f.write("small/labels.jsonl", []byte(lines.String()))
	f.write("small/readers.csv", []byte(readers))
}

func (f folder) chexpert() {
	tables := map[string]string{}
	for i := range n {
		part := map[string]string{"train": "train", "test": "valid"}[part(i)]
		name := fmt.Sprintf("%s/patient%05d/study%d/view1_frontal.jpg", part, patient(i), i%2+1)
		f.write("chexpert/"+name, f.picture(i))
		tables[part] += fmt.Sprintf("CheXpert-v1.0-small/%s,Female,61,Frontal,AP,%s,%s,%s\n", name, []string{"1.0", ""}[sick(i)], []string{"", "1.0", "-1.0"}[(i+1)%3], []string{"0.0", "1.0"}[sick(i)])
	}
	for part, rows := range tables {
		f.write("chexpert/"+part+".csv", []byte("Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Edema,Pleural Effusion\n"+rows))
	}
}

func (f folder) mimic() {
	labels, meta, split := "subject_id,study_id,Edema,Pneumonia\n", "dicom_id,subject_id,study_id,ViewPosition\n", "dicom_id,study_id,subject_id,split\n"
	for i := range n {
		subject, study, id := 10000032+patient(i), 50414267+patient(i), fmt.Sprintf("%08x-4f1b", 77777*(i+1))
		f.write(fmt.Sprintf("mimic-cxr-jpg/files/p10/p%d/s%d/%s.jpg", subject, study, id), f.picture(i))
		meta += fmt.Sprintf("%s,%d,%d,%s\n", id, subject, study, []string{"PA", "LATERAL"}[i%2])
		split += fmt.Sprintf("%s,%d,%d,%s\n", id, study, subject, part(i))
		if i%2 == 0 {
			labels += fmt.Sprintf("%d,%d,%d.0,%s\n", subject, study, sick(i), []string{"", "-1.0"}[sick(i)])
		}
	}
	f.write("mimic-cxr-jpg/mimic-cxr-2.0.0-chexpert.csv.gz", zipped(labels))
	f.write("mimic-cxr-jpg/mimic-cxr-2.0.0-metadata.csv.gz", zipped(meta))
	f.write("mimic-cxr-jpg/mimic-cxr-2.0.0-split.csv.gz", zipped(split))
}

func (f folder) nih() {
	table := "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],\n"
	lists := map[string]string{}
	for i := range n {
		name := fmt.Sprintf("%08d_%03d.png", patient(i), i%2)
		f.write(fmt.Sprintf("nih/images_%03d/images/%s", 1+i%2, name), f.picture(i))
		table += fmt.Sprintf("%s,%s,%d,%d,058Y,M,PA,2682,2749,0.143,0.143,\n", name, []string{"No Finding", "Effusion|Mass", "No Finding", "Mass"}[patient(i)%4], i%2, patient(i))
		lists[part(i)] += name + "\n"
	}
	f.write("nih/Data_Entry_2017.csv", []byte(table))
	f.write("nih/train_val_list.txt", []byte(lists["train"]))
	f.write("nih/test_list.txt", []byte(lists["test"]))
}

func (f folder) scin() {
	cases, labels := "case_id,image_1_path,image_2_path,image_3_path,sex_at_birth\n", "case_id,dermatologist_skin_condition_on_label_name,dermatologist_skin_condition_confidence\n"
	for i := 0; i < n; i += 2 {
		for k := range 2 {
			f.write(fmt.Sprintf("scin/dataset/images/%03d.png", i+k), f.picture(i+k))
		}
		cases += fmt.Sprintf("%d,dataset/images/%03d.png,dataset/images/%03d.png,,FEMALE\n", 1000+i, i, i+1)
		labels += fmt.Sprintf("%d,\"['%s', 'Tinea']\",\"[4, 2]\"\n", 1000+i, []string{"Eczema", "Psoriasis"}[sick(i)])
	}
	f.write("scin/dataset/scin_cases.csv", []byte(cases))
	f.write("scin/dataset/scin_labels.csv", []byte(labels))
}

func (f folder) coco() {
	var images, boxes []string
	for i := range n / 2 {
		f.write(fmt.Sprintf("coco/images/%02d.png", i), f.picture(i))
		images = append(images, fmt.Sprintf(`{"id": %d, "file_name": "%02d.png", "width": 32, "height": 24}`, i, i))
		for k := range 2 {
			boxes = append(boxes, fmt.Sprintf(`{"id": %d, "image_id": %d, "category_id": %d, "bbox": [%d, 4, 10, 12]}`, 2*i+k, i, 1+k, 3+15*k))
		}
	}
	f.write("coco/annotations/instances.json", fmt.Appendf(nil, `{"images": [%s], "annotations": [%s], "categories": [{"id": 1, "name": "RBC"}, {"id": 2, "name": "WBC"}]}`, strings.Join(images, ", "), strings.Join(boxes, ", ")))
}

func (f folder) voc() {
	for i := range n / 2 {
		f.write(fmt.Sprintf("voc/JPEGImages/slide%d_%02d.png", i/2, i), f.picture(i))
		boxes := ""
		for k, name := range []string{"RBC", "WBC"} {
			boxes += fmt.Sprintf("<object><name>%s</name><bndbox><xmin>%d</xmin><ymin>5</ymin><xmax>%d</xmax><ymax>16</ymax></bndbox></object>", name, 4+15*k, 13+15*k)
		}
		f.write(fmt.Sprintf("voc/Annotations/slide%d_%02d.xml", i/2, i), fmt.Appendf(nil, "<annotation><filename>slide%d_%02d.png</filename><size><width>32</width><height>24</height></size>%s</annotation>", i/2, i, boxes))
	}
}

func (f folder) folders() {
	meta := "file_name,patient\n"
	for i := range n {
		name := fmt.Sprintf("%s/%s/%02d.png", part(i), []string{"normal", "pneumonia"}[sick(i)], i)
		f.write("folders/"+name, f.picture(i))
		meta += fmt.Sprintf("%s,p%d\n", name, patient(i))
	}
	f.write("folders/metadata.csv", []byte(meta))
}

func (f folder) webDataset() {
	shards := map[string]*bytes.Buffer{"train": {}, "test": {}}
	for i := range n {
		w := tar.NewWriter(shards[part(i)])
		for ending, data := range map[string][]byte{"png": f.picture(i), "cls": fmt.Append(nil, sick(i)), "json": fmt.Appendf(nil, `{"patient": "p%d"}`, patient(i))} {
			if err := w.WriteHeader(&tar.Header{Name: fmt.Sprintf("%06d.%s", i, ending), Mode: 0o644, Size: int64(len(data))}); err != nil {
				f.t.Fatal(err)
			}
			w.Write(data)
		}
		w.Flush() // without the end of the archive: more follows
	}
	for part, b := range shards {
		if err := tar.NewWriter(b).Close(); err != nil {
			f.t.Fatal(err)
		}
		f.write("shards/"+part+"-000000.tar", b.Bytes())
	}
}

func (f folder) huggingFace() {
	type picture struct {
		Bytes []byte `parquet:"bytes"`
		Path  string `parquet:"path,optional"`
	}
	type row struct {
		Image   picture `parquet:"image"`
		Label   int64   `parquet:"label"`
		Patient string  `parquet:"patient"`
	}
	rows := map[string][]row{}
	for i := range n {
		rows[part(i)] = append(rows[part(i)], row{picture{f.picture(i), fmt.Sprintf("%02d.png", i)}, int64(sick(i)), fmt.Sprint("p", patient(i))})
	}
	for part, some := range rows {
		var b bytes.Buffer
		w := parquet.NewGenericWriter[row](&b, parquet.KeyValueMetadata("huggingface", `{"info": {"features": {"label": {"names": ["normal", "pneumonia"], "_type": "ClassLabel"}}}}`))
		if _, err := w.Write(some); err != nil {
			f.t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			f.t.Fatal(err)
		}
		f.write("hub/data/"+part+"-00000-of-00001.parquet", b.Bytes())
	}
}

func (f folder) arrays() {
	voxels, vectors, labels, patients := make([]uint8, n*8*16*16), make([]float32, n*dim), make([]int64, n), make([]int64, n)
	for i := range n {
		labels[i], patients[i] = int64(sick(i)), int64(patient(i))
		for k := range 8 * 16 * 16 {
			voxels[i*8*16*16+k] = uint8(50*sick(i) + 3*i + k%31)
		}
		for k := range dim {
			vectors[i*dim+k] = float32((k*(i+3))%17) + float32(5*sick(i)*(k%2))
		}
	}
	f.npz("nodulemnist3d.npz", map[string]func(io.Writer) error{
		"train_images": func(w io.Writer) error { return npy.Write(w, []int{n, 8, 16, 16}, voxels) },
		"train_labels": func(w io.Writer) error { return npy.Write(w, []int{n, 1}, labels) },
	})
	f.npz("vectors.npz", map[string]func(io.Writer) error{
		"embeddings": func(w io.Writer) error { return npy.Write(w, []int{n, dim}, vectors) },
		"labels":     func(w io.Writer) error { return npy.Write(w, []int{n}, labels) },
		"patients":   func(w io.Writer) error { return npy.Write(w, []int{n}, patients) },
	})
}

func (f folder) npz(name string, arrays map[string]func(io.Writer) error) {
	f.t.Helper()
	var b bytes.Buffer
	if err := npy.WriteArchive(&b, arrays); err != nil {
		f.t.Fatal(err)
	}
	f.write(name, b.Bytes())
}

func (f folder) dicom() {
	table := "path,effusion\n"
	for i, name := range []string{"cr12", "cr12_window", "dx_signed", "mr_frames"} {
		data, err := os.ReadFile(filepath.Join(needs.Root(f.t), "internal", "dicom", "testdata", name+".dcm"))
		if err != nil {
			f.t.Fatal(err)
		}
		f.write("scans/"+name+".dcm", data)
		table += fmt.Sprintf("%s.dcm,%d\n", name, i%2)
	}
	f.write("scans/labels.csv", []byte(table))
}
