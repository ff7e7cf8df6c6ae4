package experiment

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/medprobe/medprobe/evaluate"
	"github.com/medprobe/medprobe/internal/runmanifest"
	"github.com/medprobe/medprobe/trainer"
	"github.com/parquet-go/parquet-go"
)

func TestSameSeedSameBytes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	written := func(yaml string) map[string]string {
		dir := filepath.Join(t.TempDir(), "run")
		if err := w.run(yaml).Write(dir); err != nil {
			t.Fatal(err)
		}
		return files(t, dir)
	}
	first := written(pairs)
	if again := written(pairs); !maps.Equal(first, again) {
		t.Error("the same experiment leaves other bytes")
	}
	if other := written(pairs + "seed: 1\n"); other["report.json"] == first["report.json"] {
		t.Error("another seed draws the same shots")
	}
	want := []string{"experiment.json", "heads/linear-probe.safetensors", "heads/logistic.safetensors", "heads/zero-shot.safetensors", "manifest.json", "predictions.parquet", "report.html", "report.json", "sample.safetensors", "samples.parquet"}
	if got := slices.Sorted(maps.Keys(first)); !slices.Equal(got, want) {
		t.Errorf("files %q: want %q", got, want)
	}
	var m runmanifest.Manifest
	if err := json.Unmarshal([]byte(first["manifest.json"]), &m); err != nil {
		t.Fatal(err)
	}
	if got := m.Files["experiment.json"]; got != m.Experiment {
		t.Errorf("experiment.json has digest %s, the manifest says %s", got, m.Experiment)
	}
	if len(m.Files) != len(want)-1 || m.Schema != runmanifest.Schema {
		t.Errorf("manifest %+v: want every other file", m)
	}
	for name, digest := range m.Files {
		if sum := sha256.Sum256([]byte(first[name])); hex.EncodeToString(sum[:]) != digest {
			t.Errorf("%s has another digest than the manifest says", name)
		}
	}
}

func TestTablesAndHeadsAreReadBack(t *testing.T) {
	t.Parallel()
	r := newWorld(t).run(pairs)
	dir := filepath.Join(t.TempDir(), "run")
	if err := r.Write(dir); err != nil {
		t.Fatal(err)
	}
	predictions, err := parquet.ReadFile[evaluate.Prediction](filepath.Join(dir, "predictions.parquet"))
	if err != nil || !reflect.DeepEqual(predictions, r.predictions) {
		t.Errorf("predictions are read back otherwise, %v", err)
	}
	samples, err := parquet.ReadFile[SampleRow](filepath.Join(dir, "samples.parquet"))
	if err != nil || !slices.Equal(samples, r.samples) {
		t.Errorf("samples are read back otherwise, %v", err)
	}
	head, err := trainer.LoadHead(filepath.Join(dir, "heads", "linear-probe.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	if head.Space.Encoder != (&quadrants{}).Fingerprint() || !slices.Equal(head.Classes, []string{"upper", "lower"}) {
		t.Errorf("head of %q trained on %+v", head.Classes, head.Space)
	}
}

func TestReportNamesNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("scan-000-0.png", []byte("no picture"))
	w.rows = append(w.rows, "../scan-outside.png,Doe^Jane-903,train,1,0")
	dir := filepath.Join(t.TempDir(), "run")
	if err := w.run(pairs).Write(dir); err != nil {
		t.Fatal(err)
	}
	for name, data := range files(t, dir) {
		if strings.HasSuffix(name, ".parquet") {
			continue
		}
		for _, secret := range []string{"Doe", "Jane", "scan-", w.dir} {
			if strings.Contains(data, secret) {
				t.Errorf("%s holds %q", name, secret)
			}
		}
	}
}

func TestFolderOfAnotherIsRefused(t *testing.T) {
	t.Parallel()
	r := newWorld(t).run(pairs)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "thesis.docx"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := r.Write(dir); !errors.Is(err, ErrForeignFolder) {
		t.Errorf("error %v: want ErrForeignFolder", err)
	}
	if err := CheckFolder(dir); !errors.Is(err, ErrForeignFolder) {
		t.Errorf("before the run: error %v: want ErrForeignFolder", err)
	}
	if got := files(t, dir); len(got) != 1 {
		t.Errorf("a refused folder was written to: %q", slices.Sorted(maps.Keys(got)))
	}
}

func TestSecondRunReplacesTheFirst(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "run")
	w := newWorld(t)
	if err := w.run(pairs).Write(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, ".report.html.tmp-0badcafe"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := CheckFolder(dir); err != nil {
		t.Errorf("a folder with a run in it: %v", err)
	}
	if err := w.run(pairs + "heads: [logistic]\n").Write(dir); err != nil {
		t.Fatal(err)
	}
	all := files(t, dir)
	if _, stale := all["heads/linear-probe.safetensors"]; stale || len(all) != 9 {
		t.Errorf("files %q: want those of the second run alone", slices.Sorted(maps.Keys(all)))
	}
}

func TestUnfinishedRunHasNoManifest(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "run")
	w := newWorld(t)
	if err := w.run(pairs).Write(dir); err != nil {
		t.Fatal(err)
	}
	r := w.run(pairs)
	r.Heads[0].Kind = "no/such/folder" // as a full disk would end it
	if err := r.Write(dir); err == nil {
		t.Fatal("a head was written where there is no folder")
	}
	if _, err := os.Stat(filepath.Join(dir, "manifest.json")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("manifest.json is there, %v", err)
	}
}

func TestDigestOfTheExperimentKnowsNoPlace(t *testing.T) {
	t.Parallel()
	a, b := newWorld(t).load(pairs), newWorld(t).load(pairs)
	if a.digest() != b.digest() {
		t.Error("the same experiment elsewhere has another digest")
	}
	if c := newWorld(t).load(pairs + "train: {shots: 3}\n"); c.digest() == a.digest() {
		t.Error("another experiment has the same digest")
	}
}

func TestWriteTableIsStable(t *testing.T) {
	t.Parallel()
	rows := []SampleRow{{ID: "a", Outcome: used}, {ID: "=1+1", Outcome: failed, Reason: "x"}}
	var a, b bytes.Buffer
	if err := errors.Join(writeTable(&a, rows), writeTable(&b, rows)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a.Bytes(), b.Bytes()) || a.Len() == 0 {
		t.Error("the same rows give other bytes")
	}
}
