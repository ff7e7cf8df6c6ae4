package datasets

import "image"

// Counts says how often each label value stands for one class.
type Counts struct {
	Positive  int `json:"positive"`
	Negative  int `json:"negative"`
	Uncertain int `json:"uncertain"`
	Missing   int `json:"missing"`
}

func (c *Counts) add(l Label) {
	switch l {
	case Positive:
		c.Positive++
	case Negative:
		c.Negative++
	case Uncertain:
		c.Uncertain++
	default:
		c.Missing++
	}
}

// Inspection is what can be said of a dataset without decoding an image.
type Inspection struct {
	Samples int `json:"samples"`
	// Images counts files, or images in an array; several regions may share
	// one.
	Images int `json:"images"`
	// Patients is nil where no sample names its patient.
	Patients *int `json:"patients"`
	// Unit is the word for what is counted in Patients.
	Unit     string            `json:"unit"`
	Task     Task              `json:"task"`
	Classes  []string          `json:"classes"`
	Labels   map[string]Counts `json:"labels"`
	Splits   map[string]int    `json:"splits"`
	Leakage  []Leak            `json:"leakage"`
	Excluded []Exclusion       `json:"excluded"`
	Problems []Problem         `json:"problems"`
}

// Inspect counts what the dataset holds and lists what is wrong with it.
func Inspect(d *Dataset) Inspection {
	in := Inspection{
		Samples:  len(d.Samples),
		Unit:     d.Unit,
		Task:     d.Task,
		Classes:  d.Classes,
		Labels:   map[string]Counts{},
		Splits:   map[string]int{},
		Excluded: append([]Exclusion{}, d.Excluded...),
		Problems: append([]Problem{}, d.Problems...),
	}
	images, patients := map[Source]bool{}, map[string]bool{}
	parts := make([]string, len(d.Samples))
	for i := range d.Samples {
		s := &d.Samples[i]
		whole := s.Source
		whole.Region = image.Rectangle{}
		images[whole] = true
		if s.Patient != "" {
			patients[s.Patient] = true
		}
		if s.Split != "" {
			in.Splits[s.Split]++
		}
		parts[i] = s.Split
		for c, label := range s.Labels {
			counts := in.Labels[d.Classes[c]]
			counts.add(label)
			in.Labels[d.Classes[c]] = counts
		}
	}
	in.Images = len(images)
	if len(patients) > 0 {
		n := len(patients)
		in.Patients = &n
	}
	in.Leakage = append([]Leak{}, Leaks(d, parts, nil)...)
	return in
}
