package experiment

import (
	"fmt"

	"github.com/medprobe/medprobe/datasets"
	"github.com/medprobe/medprobe/evaluate"
)

// report says what is known before anything is trained.
func (w *work) report(l *lab) *evaluate.Report {
	d, e := l.data, w.options.Encoder
	digests := contentsOf(pick(w.keys, w.plan.used()))
	in := datasets.Inspect(d)
	r := &evaluate.Report{
		Name: w.config.Name, Description: w.config.Description, Synthetic: w.config.Synthetic, Seed: w.config.Seed,
		Dataset: evaluate.DatasetFacts{
			Spec: w.config.Data.Name(), Digest: datasets.Digest(d, digests), Task: string(d.Task),
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
	r.Warnings = append(r.Warnings, warnOfNoPatients(d)...)
	return r
}

// warnOfNoPatients says what it means that the data names no patients, if it does not.
func warnOfNoPatients(d *datasets.Dataset) []string {
	if d.HasPatients() {
		return nil
	}
	return []string{fmt.Sprintf("the data names no patients: every %s counts as independent, and intervals are too narrow where a patient has several", d.Unit)}
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
	patients := l.patients(rows)
	p.Patients = &patients
	return p
}
