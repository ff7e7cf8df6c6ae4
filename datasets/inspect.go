package datasets

import (
	"crypto/sha256"
	"fmt"
	"hash/maphash"
	"image"
)

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
	Unit    string            `json:"unit"`
	Task    Task              `json:"task"`
	Classes []string          `json:"classes"`
	Labels  map[string]Counts `json:"labels"`
	// Values counts those of [Regression], whose Labels are empty.
	Values   map[string]ValueCounts `json:"values,omitempty"`
	Splits   map[string]int         `json:"splits"`
	Leakage  []Leak                 `json:"leakage"`
	Excluded []Exclusion            `json:"excluded"`
	Problems []Problem              `json:"problems"`
	// Rules says what each rule of the spec did to each finding.
	Rules []RuleEffect `json:"rules"`
}

// Inspect counts what the dataset holds and lists what is wrong with it.
func Inspect(d *Dataset) Inspection {
	in := Inspection{
		Samples:  len(d.Samples),
		Unit:     d.Unit,
		Task:     d.Task,
		Classes:  append([]string{}, d.Classes...),
		Labels:   map[string]Counts{},
		Splits:   map[string]int{},
		Excluded: append([]Exclusion{}, d.Excluded...),
		Problems: append([]Problem{}, d.Problems...),
		Rules:    append([]RuleEffect{}, d.Rules...),
	}
	// Of a large dataset the sources themselves would take more than the samples.
	images, patients := map[uint64]struct{}{}, map[string]bool{}
	seed := maphash.MakeSeed()
	for i := range d.Samples {
		s := &d.Samples[i]
		whole := s.Source
		whole.Region = image.Rectangle{}
		images[maphash.Comparable(seed, whole)] = struct{}{}
		if s.Patient != "" {
			patients[s.Patient] = true
		}
		if s.Split != "" {
			in.Splits[s.Split]++
		}
		in.count(s, d.Classes)
	}
	in.Images = len(images)
	if len(patients) > 0 {
		n := len(patients)
		in.Patients = &n
	}
	in.Leakage = append([]Leak{}, Leaks(d, d.Splits(), Contents{})...)
	return in
}

// count adds what is known of a sample.
func (in *Inspection) count(s *Sample, classes []string) {
	if s.Values == nil {
		for c, label := range s.Labels {
			counts := in.Labels[classes[c]]
			counts.add(label)
			in.Labels[classes[c]] = counts
		}
		return
	}
	if in.Values == nil {
		in.Values = map[string]ValueCounts{}
	}
	for c, v := range s.Values {
		counts := in.Values[classes[c]]
		counts.add(v)
		in.Values[classes[c]] = counts
	}
}

// SayTurned says of n samples, the first by its id, that they are shown as they are
// stored.
func SayTurned(n int, first string) string {
	if n == 1 {
		return fmt.Sprintf("by its EXIF data the image %q lies on a side, upside down or mirrored; it is taken as it is stored, as MedSigLIP's own preprocessing takes it; upright: true in the SPEC turns it", first)
	}
	return fmt.Sprintf("by their EXIF data %d images lie on a side, upside down or mirrored, the first: %q; they are taken as they are stored, as MedSigLIP's own preprocessing takes them; upright: true in the SPEC turns them", n, first)
}

// AddContents adds the leaks that the contents show, and how many images are
// there more than once.
func (in *Inspection) AddContents(d *Dataset, c Contents) {
	in.Leakage = append([]Leak{}, Leaks(d, d.Splits(), c)...)
	if n := len(c.OnTheirSide); n > 0 {
		in.Problems = append(in.Problems, Problem{Where: d.Spec, What: SayTurned(n, d.Samples[c.OnTheirSide[0]].ID)})
	}
	for _, kind := range []struct {
		what    string
		digests [][sha256.Size]byte
	}{{"the same bytes", c.Bytes}, {"the same pixels", c.Pixels}} {
		first, again, example := map[string]string{}, 0, ""
		for i, digest := range kind.digests {
			if digest == [sha256.Size]byte{} {
				continue
			}
			s := &d.Samples[i]
			key := fmt.Sprintf("%x %v %d", digest, s.Source.Region, s.Source.Frame)
			if other, twice := first[key]; !twice {
				first[key] = s.ID
			} else if again++; again == 1 {
				example = fmt.Sprintf("%q and %q", other, s.ID)
			}
		}
		if again > 0 {
			in.Problems = append(in.Problems, Problem{Where: d.Spec, What: fmt.Sprintf("%d images have %s as another, such as %s", again, kind.what, example)})
		}
	}
}
