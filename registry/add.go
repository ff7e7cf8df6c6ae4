package registry

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/medprobe/medprobe/evaluate"
	"github.com/medprobe/medprobe/internal/runmanifest"
	"github.com/medprobe/medprobe/trainer"
)

// Origin says where a version comes from.
type Origin struct {
	// Run is the folder that an experiment left, Head the kind of one of its
	// heads; it may be empty where there is but one besides zero-shot.
	Run, Head string
	// By is who adds it; Code and Environment what program, on what machine.
	By, Code, Environment string
}

const (
	// maxFile bounds the files of a run that are read, in bytes.
	maxFile = 1 << 30
	headDir = "heads/"
	headExt = ".safetensors"
)

// Add takes a head out of a run and keeps it as the next version of a model. A
// head that is already there as a version is not kept twice: that version is
// returned, and added is false.
func (r *Registry) Add(ctx context.Context, model string, o Origin) (v *Version, added bool, err error) {
	if err := checkName("name", model); err != nil {
		return nil, false, err
	}
	run, err := readRun(o.Run, o.Head)
	if err == nil {
		err = run.complete()
	}
	if err != nil {
		return nil, false, fmt.Errorf("registry: add %s: run %s: %w", model, o.Run, err)
	}
	d, files, err := r.describe(run, o)
	if err != nil {
		return nil, false, fmt.Errorf("registry: add %s: run %s: %w", model, o.Run, err)
	}
	v, added, err = r.keep(ctx, model, d, files, o.By)
	if err != nil {
		return nil, false, fmt.Errorf("registry: add %s: %w", model, err)
	}
	return v, added, nil
}

// keep stores the files and the document of a version.
func (r *Registry) keep(ctx context.Context, model string, d *Document, files map[string][]byte, by string) (v *Version, added bool, err error) {
	err = r.write(ctx, func(tx *sql.Tx) error {
		// Files within the transaction: a sweep, which takes those that no version
		// names, waits for its end.
		for i := range d.Files {
			f := &d.Files[i]
			stored, err := r.objects.put(files[f.Path])
			if err != nil {
				return err
			}
			f.SHA256, f.Size = stored.SHA256, stored.Size
		}
		text, digest, err := d.encode()
		if err != nil {
			return err
		}
		var number int
		err = tx.QueryRowContext(ctx, "SELECT number FROM version WHERE model = ? AND digest = ?", model, digest).Scan(&number)
		if errors.Is(err, sql.ErrNoRows) {
			added = true
			number, err = r.insert(ctx, tx, model, digest, text, by)
		}
		if err != nil {
			return err
		}
		v, err = find(ctx, tx, Reference{Model: model, Number: number})
		return err
	})
	return v, added, err
}

func (r *Registry) insert(ctx context.Context, tx *sql.Tx, model, digest string, document []byte, by string) (number int, err error) {
	err = tx.QueryRowContext(ctx, `INSERT INTO model (name, last) VALUES (?, 1)
		ON CONFLICT DO UPDATE SET last = last + 1 RETURNING last`, model).Scan(&number)
	if err != nil {
		return 0, err
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO version (model, number, digest, document, added, added_by) VALUES (?, ?, ?, ?, ?, ?)",
		model, number, digest, document, r.now(), by)
	return number, err
}

// run is what is read of a run's folder, every file checked by its digest.
type run struct {
	manifest *runmanifest.Manifest
	head     *trainer.Head
	report   *evaluate.Report
	files    map[string][]byte
}

// readRun reads what the registry wants of a run.
func readRun(dir, kind string) (*run, error) {
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		return nil, errors.New("a file, and the folder of the run is wanted; which head of it says --head")
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	text, err := readAll(root, runmanifest.File)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("no manifest.json: want the folder that 'medprobe run' left, and the run to be whole")
	} else if err != nil {
		return nil, err
	}
	r := &run{files: map[string][]byte{}}
	if r.manifest, err = runmanifest.Parse(text); err != nil {
		return nil, err
	}
	head, err := r.headPath(kind)
	if err != nil {
		return nil, err
	}
	for name, as := range map[string]string{
		head: headFile, reportFile: reportFile, predictionsFile: predictionsFile, experimentFile: experimentFile, sampleFile: sampleFile,
	} {
		if _, listed := r.manifest.Files[name]; !listed && (name == experimentFile || name == sampleFile) {
			continue // a run of an earlier medprobe
		}
		b, err := readAll(root, name)
		if err != nil {
			return nil, err
		}
		if err := r.manifest.Check(name, b); err != nil {
			return nil, err
		}
		r.files[as] = b
	}
	if r.report, err = evaluate.ReadReport(bytes.NewReader(r.files[reportFile])); err != nil {
		return nil, fmt.Errorf("report.json: %w", err)
	}
	if r.report.ShowsImages() {
		// A version is shared and exported; images of patients stay with the run.
		var bare bytes.Buffer
		r.report = r.report.WithoutImages()
		if err := r.report.WriteJSON(&bare); err != nil {
			return nil, err
		}
		r.files[reportFile] = bare.Bytes()
	}
	if r.head, err = trainer.ReadHead(head, r.files[headFile]); err != nil {
		return nil, err
	}
	if r.head.GivesValues() {
		return nil, fmt.Errorf("head %q gives values, and a registry keeps classifiers: keep the folder of the run, whose head 'medprobe predict --head %s' uses as it is", r.head.Kind, filepath.Join(dir, filepath.FromSlash(head)))
	}
	return r, nil
}

// complete makes of the run's files what a version keeps of them: its reference
// distribution, where there can be one, and the sample with what the head gives it.
func (r *run) complete() error {
	if err := r.addReference(); err != nil {
		return err
	}
	sample, ok := r.files[sampleFile]
	switch {
	case !ok:
		return nil
	case r.head.Covariates != nil:
		delete(r.files, sampleFile) // vectors alone are not what it takes
		return nil
	}
	scored, err := scoreSample(sample, r.head)
	if err != nil {
		return fmt.Errorf("%s: %w", sampleFile, err)
	}
	r.files[sampleFile] = scored
	return nil
}

// headPath returns the path of the head of a kind, or of the only trained one.
func (r *run) headPath(kind string) (string, error) {
	var kinds []string
	for name := range r.manifest.Files {
		if k, ok := strings.CutPrefix(name, headDir); ok {
			kinds = append(kinds, strings.TrimSuffix(k, headExt))
		}
	}
	slices.Sort(kinds)
	trained := slices.DeleteFunc(slices.Clone(kinds), func(k string) bool { return k == zeroShot })
	switch {
	case kind == "" && len(trained) == 1:
		kind = trained[0]
	case kind == "":
		return "", fmt.Errorf("it has the heads %q: say which with --head", kinds)
	case !slices.Contains(kinds, kind):
		return "", fmt.Errorf("no head %q: it has %q", kind, kinds)
	}
	return path.Join(headDir, kind+headExt), nil
}

const zeroShot = "zero-shot"

func readAll(root *os.Root, name string) ([]byte, error) {
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = fmt.Errorf("%s has more than %d bytes", name, maxFile)
	}
	return b, err
}

// describe makes the document of a run's head and the files it lists.
func (r *Registry) describe(from *run, o Origin) (*Document, map[string][]byte, error) {
	h, report := from.head, from.report
	d := &Document{
		Schema: Schema, Identifiers: r.identifiers(), Metrics: metrics(report, h.Kind),
		Head: facts(h),
		Lineage: Lineage{
			Run: from.manifest.Name, Experiment: from.manifest.Experiment, Dataset: report.Dataset, Split: from.manifest.Split,
			Encoder: report.Encoder, Seed: from.manifest.Seed, Code: o.Code, Environment: o.Environment,
		},
	}
	if want := (trainer.Space{Encoder: report.Encoder.Fingerprint, Preprocess: report.Encoder.PreprocessFingerprint}); h.Check(want) != nil {
		return nil, nil, h.Check(want)
	}
	var err error
	if from.files[predictionsFile], err = r.hidePredictions(from.files[predictionsFile], h.Kind); err != nil {
		return nil, nil, fmt.Errorf("predictions.parquet: %w", err)
	}
	from.files[cardFile] = card(d, report)
	for name, b := range from.files {
		d.Files = append(d.Files, File{Path: name, SHA256: hexDigest(b), Size: int64(len(b))})
	}
	slices.SortFunc(d.Files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return d, from.files, nil
}

// metrics takes the head's figures out of a report.
func metrics(r *evaluate.Report, kind string) []Metric {
	list := []Metric{}
	for _, f := range r.Findings {
		m := Metric{Finding: f.Name}
		for _, method := range f.Methods {
			switch method.Method {
			case kind:
				m.AUC = method.AUC
			case zeroShot:
				m.ZeroShot = method.AUC
			}
		}
		for i, d := range f.Differences {
			if d.A == kind && d.B == zeroShot {
				m.Gain = &f.Differences[i]
			}
		}
		list = append(list, m)
	}
	return list
}
