// Package phantom draws the synthetic images that medprobe's demo runs on:
// radiograph-like chests, blood-smear-like cells, skin-lesion-like patches and
// fundus-like discs. Nothing here is, or is derived from, a picture of a
// person; everything is drawn from a seed, and the same seed draws the same
// bytes.
//
// A [Phantom] is one image with the truth about it, held as [Fact] values. A
// [Caption] names the facts it needs, so it is known of every caption whether
// it is true of every image. The demo encoder (tools/demo-encoder) is trained
// on such pairs, with [EncoderSeed]; the demo is evaluated on what
// [WriteDataset] draws from any other seed, so no patient is in both.
//
// Two findings, [Pneumothorax] and [Device], have no caption with their
// clinical name, only with what they look like ("a dark upper zone", "a thin
// bright line"), and those words describe only part of the encoder's patients.
// A zero-shot prompt by name must then fail where a probe on the vectors need
// not, as happens with real encoders and rarely named findings.
package phantom

import (
	"fmt"
	"image"
	"math/rand/v2"
	"slices"
)

// Size is the width and height of every phantom in pixels.
const Size = 128

// EncoderSeed is the seed of the patients that the demo encoder is trained on.
// [WriteDataset] refuses it.
const EncoderSeed = 1

// Family is a kind of phantom.
type Family string

// The four families.
const (
	Chest  Family = "chest"  // frontal radiograph of the chest
	Blood  Family = "blood"  // stained smear: a field of cells, or one cell cropped from it
	Skin   Family = "skin"   // pigmented lesion on skin
	Fundus Family = "fundus" // back of the eye
)

// Fact is one true statement about a phantom, such as "effusion: left".
// What is absent is a fact too ("effusion: no") where it can be looked for.
type Fact string

// Phantom is one drawn image and the truth about it.
type Phantom struct {
	Image    *image.RGBA
	Family   Family
	Findings map[Finding]bool // every chest finding, present or not; nil for other families

	// Described says whether the words for appearance ("a dark upper zone")
	// may be used of this phantom. Where it is false, nobody has said whether
	// they are true, and captions of that kind count neither way.
	Described bool

	facts []Fact // sorted
}

// Facts returns what is true of p, sorted.
func (p *Phantom) Facts() []Fact { return slices.Clone(p.facts) }

// Draw returns phantom number n of a family: for [Chest], the first radiograph
// of patient n of that seed. It panics for a family that does not exist.
func Draw(f Family, seed, n uint64) *Phantom {
	if f == Chest {
		return NewPatient(seed, n).Radiograph(0)
	}
	d := newDice(seed, n, f)
	var p *Phantom
	switch f {
	case Blood:
		p = drawBlood(d)
	case Skin:
		p = drawSkin(d)
	case Fundus:
		p = drawFundus(d)
	default:
		panic(fmt.Sprintf("phantom: no family %q", f))
	}
	p.Family = f
	p.facts = append(p.facts, familyFact(f))
	p.Described = true
	slices.Sort(p.facts)
	return p
}

func familyFact(f Family) Fact { return Fact("family: " + string(f)) }

// dice is the one source of chance of a phantom.
type dice struct{ *rand.Rand }

// newDice seeds the dice of one subject. Streams of different families, and of
// different purposes within one, never share a generator state.
func newDice(seed, n uint64, stream Family) dice {
	h := uint64(14695981039346656037) // FNV-1a over the stream's name
	for _, c := range []byte(stream) {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return dice{rand.New(rand.NewPCG(seed, n^h))}
}

// between draws uniformly from [low, high).
func (d dice) between(low, high float64) float64 { return low + (high-low)*d.Float64() }

// around draws from a normal distribution cut off at two deviations.
func (d dice) around(mean, deviation float64) float64 {
	return mean + deviation*max(-2, min(2, d.NormFloat64()))
}

// chance is true with probability p.
func (d dice) chance(p float64) bool { return d.Float64() < p }

// side is −1, the left of the image, or +1, its right, as likely as not.
func (d dice) side() float64 {
	if d.chance(0.5) {
		return -1
	}
	return 1
}
