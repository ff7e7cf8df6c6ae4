package datasets

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// writeCheXpert writes a table as large as CheXpert's train.csv: 223,414 images
// and 14 findings.
func writeCheXpert(b *testing.B) Spec {
	dir := b.TempDir()
	f, err := os.Create(filepath.Join(dir, "train.csv"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	w := bufio.NewWriter(f)
	fmt.Fprintln(w, "Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Enlarged Cardiomediastinum,Cardiomegaly,Lung Opacity,Lung Lesion,Edema,Consolidation,Pneumonia,Atelectasis,Pneumothorax,Pleural Effusion,Pleural Other,Fracture,Support Devices")
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 223_414 {
		fmt.Fprintf(w, "CheXpert-v1.0-small/train/patient%05d/study%d/view1_frontal.jpg,Male,%d,Frontal,AP", i*64_540/223_414, i%4+1, 18+random.IntN(72))
		for range 14 {
			w.WriteString([]string{",", ",", ",", ",0.0", ",1.0", ",-1.0"}[random.IntN(6)])
		}
		w.WriteByte('\n')
	}
	if err := w.Flush(); err != nil {
		b.Fatal(err)
	}
	return Spec{Format: "chexpert", Path: dir}
}

func BenchmarkCheXpertInspected(b *testing.B) {
	spec := writeCheXpert(b)
	b.ReportAllocs()
	for b.Loop() {
		d, err := Open(b.Context(), spec)
		if err != nil {
			b.Fatal(err)
		}
		Inspect(d)
		d.LookForFiles()
		d.Close()
	}
}

func BenchmarkCheXpertSplit(b *testing.B) {
	d, err := Open(b.Context(), writeCheXpert(b))
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	for b.Loop() {
		if _, err := Split(d, []Part{{"train", .7}, {"validation", .1}, {"test", .2}}, 0); err != nil {
			b.Fatal(err)
		}
	}
}
