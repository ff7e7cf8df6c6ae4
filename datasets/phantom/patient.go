package phantom

import (
	"slices"
)

// Finding is a chest finding; its text is the column of labels.csv.
type Finding string

// The chest findings. The first four are named in captions; the last two are
// only ever described.
const (
	Cardiomegaly Finding = "cardiomegaly"
	Effusion     Finding = "effusion"
	Opacity      Finding = "opacity"
	Nodule       Finding = "nodule"
	Pneumothorax Finding = "pneumothorax"
	Device       Finding = "device"
)

// Findings lists the chest findings in the order of the columns of labels.csv.
func Findings() []Finding {
	return []Finding{Cardiomegaly, Effusion, Opacity, Nodule, Pneumothorax, Device}
}

// Named reports whether captions use the finding's clinical name.
func (f Finding) Named() bool { return f != Pneumothorax && f != Device }

// Patient is one chest anatomy with its findings. Radiographs of a patient
// share the anatomy, and mostly the findings: each finding of the patient is
// seen on an image with probability 0.9, and one that the patient lacks, with
// probability 0.04, as disease comes and goes between visits.
type Patient struct {
	seed, number uint64
	body         anatomy
	ill          map[Finding]bool
	sides        map[Finding]float64
}

// NewPatient returns patient number n of a seed. Patients of different seeds,
// or numbers, are different people.
func NewPatient(seed, n uint64) *Patient {
	d := newDice(seed, n, "patient")
	p := &Patient{seed: seed, number: n, ill: map[Finding]bool{}, sides: map[Finding]float64{}}
	p.body = newAnatomy(d)
	p.ill[Cardiomegaly] = d.chance(0.35)
	effusion, opacity := 0.25, 0.28
	if p.ill[Cardiomegaly] { // a failing heart: water beside the lung
		effusion = 0.5
	}
	p.ill[Effusion] = d.chance(effusion)
	if p.ill[Effusion] {
		opacity = 0.42
	}
	p.ill[Opacity] = d.chance(opacity)
	p.ill[Nodule] = d.chance(0.35)
	p.ill[Pneumothorax] = d.chance(0.38)
	p.ill[Device] = d.chance(0.38)
	for _, f := range Findings() {
		p.sides[f] = d.side()
	}
	return p
}

// Radiograph draws image i of the patient; the same i draws the same image.
func (p *Patient) Radiograph(i int) *Phantom {
	d := newDice(p.seed, p.number<<16|uint64(i)&0xffff, Chest)
	out := &Phantom{Family: Chest, Findings: map[Finding]bool{}}
	for _, f := range Findings() {
		seen := 0.04
		if p.ill[f] {
			seen = 0.9
		}
		out.Findings[f] = d.chance(seen)
	}
	out.Image, out.facts = drawChest(d, p.body, out.Findings, p.sides)
	for _, f := range Findings() {
		if out.Findings[f] {
			out.facts = append(out.facts, present(f))
		} else {
			out.facts = append(out.facts, absent(f))
		}
	}
	out.facts = append(out.facts, familyFact(Chest))
	out.Described = newDice(p.seed, p.number, "described").chance(0.6)
	slices.Sort(out.facts)
	return out
}

func present(f Finding) Fact             { return Fact(string(f) + ": yes") }
func absent(f Finding) Fact              { return Fact(string(f) + ": no") }
func detail(f Finding, what string) Fact { return Fact(string(f) + ": " + what) }
func sideOf(side float64) (patient string) { // a radiograph faces the reader: the image's left is the patient's right
	if side < 0 {
		return "right"
	}
	return "left"
}
