package experiment

import (
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/medprobe/medprobe/datasets"
	"github.com/medprobe/medprobe/evaluate"
)

// report says what is known before anything is trained.
func (w *work) report(l *lab) *evaluate.Report {
	d, e := l.data, w.options.Encoder
	digests := make([][sha256.Size]byte, 0, len(d.Samples))
	for _, i := range w.plan.used() {
		digests = append(digests, w.keys[i].Content)
	}
	in := datasets.Inspect(d)
	r := &evaluate.Report{
		Name: w.config.Name, Description: w.config.Description, Synthetic: w.config.Synthetic, Seed: w.config.Seed,
		Dataset: evaluate.DatasetFacts{
			Spec: w.config.Data.Format + ":" + filepath.Base(w.config.Data.Path), Digest: datasets.Digest(d, digests), Task: string(d.Task),
			Samples: in.Samples, Images: in.Images, Patients: in.Patients, Unit: d.Unit,
		},
		Counts:   w.plan.counts(w.data),
		Splits:   map[string]evaluate.Part{testPart: l.part(l.test)},
		Encoder:  factsOf(e, w.config.Preprocess),
		Warnings: w.warnings,
	}
	if len(l.train) > 0 {
		r.Splits[trainPart] = l.part(l.train)
	}
	if len(l.validation) > 0 {
		r.Splits[validationPart] = l.part(l.validation)
	}
	if name := w.data.Contaminated; name != "" {
		r.Warnings = append(r.Warnings, fmt.Sprintf("the data seems to be of %s, which MedSigLIP was pre-trained on: figures may be too good, zero-shot's above all", name))
	}
	if n := len(w.data.Problems); n == 1 {
		r.Warnings = append(r.Warnings, "'medprobe dataset inspect' lists one thing that is odd about the data")
	} else if n > 1 {
		r.Warnings = append(r.Warnings, fmt.Sprintf("'medprobe dataset inspect' lists %d things that are odd about the data", n))
	}
	if n := uncertain(d); n > 0 {
		r.Warnings = append(r.Warnings, fmt.Sprintf("%d labels are uncertain; they are neither trained nor tested on", n))
	}
	if !d.HasPatients() {
		r.Warnings = append(r.Warnings, fmt.Sprintf("the data names no patients: every %s counts as independent, and intervals are too narrow where a patient has several", d.Unit))
	}
	return r
}

func uncertain(d *datasets.Dataset) int {
	n := 0
	for i := range d.Samples {
		for _, label := range d.Samples[i].Labels {
			if label == datasets.Uncertain {
				n++
			}
		}
	}
	return n
}

// part counts one side of the split.
func (l *lab) part(rows []int) evaluate.Part {
	p := evaluate.Part{Samples: len(rows)}
	if !l.data.HasPatients() {
		return p
	}
	var groups []string
	for _, i := range rows {
		groups = append(groups, l.data.Samples[i].Group())
	}
	slices.Sort(groups)
	patients := len(slices.Compact(groups))
	p.Patients = &patients
	return p
}
