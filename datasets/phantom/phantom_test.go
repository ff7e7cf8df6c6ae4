package phantom_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/medprobe/medprobe/datasets/phantom"
	"github.com/medprobe/medprobe/internal/needs"
)

func Example() {
	p := phantom.NewPatient(2, 7).Radiograph(0)
	fmt.Println(p.Image.Bounds().Size(), p.Family)
	for _, f := range phantom.Findings() {
		fmt.Println(f, p.Findings[f])
	}
	// Output:
	// (128,128) chest
	// cardiomegaly true
	// effusion false
	// opacity false
	// nodule false
	// pneumothorax false
	// device false
}

var families = []phantom.Family{phantom.Chest, phantom.Blood, phantom.Skin, phantom.Fundus}

// captions are the texts that are true of p and that training may pair it with.
func captions(p *phantom.Phantom) []string {
	var texts []string
	for _, c := range phantom.Captions() {
		lacks := func(need phantom.Fact) bool { return !slices.Contains(p.Facts(), need) }
		if !slices.ContainsFunc(c.Needs, lacks) && (p.Described || !c.Appearance) {
			texts = append(texts, c.Text)
		}
	}
	return texts
}

func TestSameSeedDrawsTheSameBytes(t *testing.T) {
	t.Parallel()
	for _, f := range families {
		a, b := phantom.Draw(f, 5, 3), phantom.Draw(f, 5, 3)
		if !bytes.Equal(a.Image.Pix, b.Image.Pix) || !slices.Equal(a.Facts(), b.Facts()) {
			t.Errorf("%s: two draws of one seed differ", f)
		}
		if bytes.Equal(a.Image.Pix, phantom.Draw(f, 5, 4).Image.Pix) {
			t.Errorf("%s: numbers 3 and 4 draw the same picture", f)
		}
		if bytes.Equal(a.Image.Pix, phantom.Draw(f, 6, 3).Image.Pix) {
			t.Errorf("%s: seeds 5 and 6 draw the same picture", f)
		}
	}
}

// drawn is what several tests look at: many phantoms of every family.
var drawn = sync.OnceValue(func() []*phantom.Phantom {
	chests := uint64(400)
	if testing.Short() {
		chests = 250
	}
	var all []*phantom.Phantom
	for i := range chests {
		all = append(all, phantom.Draw(phantom.Chest, 21, i))
	}
	for _, f := range []phantom.Family{phantom.Blood, phantom.Skin, phantom.Fundus} {
		for i := range uint64(60) {
			all = append(all, phantom.Draw(f, 21, i))
		}
	}
	return all
})

func TestRadiographsOfAPatientMostlyShareFindings(t *testing.T) {
	t.Parallel()
	needs.Time(t)
	same, other, n := 0, 0, 0
	for i := range uint64(40) {
		p, q := phantom.NewPatient(9, i), phantom.NewPatient(9, i+1)
		a, b, c := p.Radiograph(0), p.Radiograph(1), q.Radiograph(0)
		if bytes.Equal(a.Image.Pix, b.Image.Pix) {
			t.Fatalf("patient %d: two radiographs are one picture", i)
		}
		for _, f := range phantom.Findings() {
			n++
			if a.Findings[f] == b.Findings[f] {
				same++
			}
			if a.Findings[f] == c.Findings[f] {
				other++
			}
		}
	}
	if s, o := float64(same)/float64(n), float64(other)/float64(n); s < 0.8 || o > 0.68 {
		t.Errorf("findings agree within patients for %.2f, between patients for %.2f: want over 0.8, under 0.68", s, o)
	}
}

func TestEveryFindingIsNeitherRareNorUsual(t *testing.T) {
	t.Parallel()
	needs.Time(t)
	count := map[phantom.Finding]int{}
	n := 0
	for _, p := range drawn() {
		if p.Family != phantom.Chest {
			continue
		}
		n++
		for f, there := range p.Findings {
			if there {
				count[f]++
			}
		}
	}
	for _, f := range phantom.Findings() {
		if share := float64(count[f]) / float64(n); share < 0.2 || share > 0.5 {
			t.Errorf("%s: in %.2f of the images, want 0.2 to 0.5", f, share)
		}
	}
}

// words that a caption may use of a finding only when it is there, and those
// that it uses when it is not.
var spoken = map[phantom.Finding][]string{
	phantom.Cardiomegaly: {"enlarged heart", "cardiomegaly"},
	phantom.Effusion:     {"effusion"},
	phantom.Opacity:      {"opacity"},
	phantom.Nodule:       {"nodule"},
	phantom.Pneumothorax: {"dark upper zone", "black area at the top of the lung"},
	phantom.Device:       {"thin bright line", "white wire"},
}

// claims reports whether a caption says that any of the words' things is
// there, and whether it says that it is not: what is read out of the text
// alone, by the few ways in which captions deny.
func claims(caption string, words []string) (there, absent bool) {
	for _, w := range words {
		before, after, ok := strings.Cut(caption, w)
		if !ok {
			continue
		}
		// The denial nearest before the words, unless a "but" or "and" ends it.
		clause := before[max(strings.LastIndex(before, " but ")+1, 0):]
		denied := strings.Contains(" "+clause, " no ") || strings.Contains(" "+clause, " without ") ||
			strings.Contains(" "+clause, "neither ") || strings.HasPrefix(strings.TrimLeft(after, "s"), " is absent")
		if denied {
			absent = true
		} else {
			there = true
		}
	}
	return there, absent
}

func TestACaptionIsTrueOfWhatItDescribes(t *testing.T) {
	needs.Time(t)
	t.Parallel()
	used := map[string]bool{}
	for i, p := range drawn() {
		for _, c := range captions(p) {
			used[c] = true
			for f, words := range spoken {
				there, absent := claims(c, words)
				switch {
				case p.Family != phantom.Chest && (there || absent):
					t.Fatalf("phantom %d, %s: caption %q speaks of %s", i, p.Family, c, f)
				case there && !p.Findings[f] || absent && p.Findings[f]:
					t.Fatalf("phantom %d: %s is %v, caption %q", i, f, p.Findings[f], c)
				}
			}
		}
	}
	for _, c := range phantom.Captions() {
		if !used[c.Text] {
			t.Errorf("caption %q is true of none of %d phantoms", c.Text, len(drawn()))
		}
	}
}

func TestUnnamedFindingsAreNeverNamed(t *testing.T) {
	t.Parallel()
	forbidden := []string{"pneumo", "thorax", "collapse", "free air", "device", "pacemaker", "catheter", "implant", "lead", "tube"}
	seen := map[string]bool{}
	for _, c := range phantom.Captions() {
		if seen[c.Text] {
			t.Errorf("caption %q is there twice", c.Text)
		}
		seen[c.Text] = true
		if c.Text != strings.ToLower(c.Text) || len(c.Needs) == 0 {
			t.Errorf("caption %q: want lower case and something that it needs", c.Text)
		}
		for _, word := range forbidden {
			if strings.Contains(c.Text, word) {
				t.Errorf("caption %q holds %q, a name of a finding that is only described", c.Text, word)
			}
		}
	}
}

func TestAppearanceIsSaidOfPartOfTheChests(t *testing.T) {
	t.Parallel()
	needs.Time(t)
	described, n := 0, 0
	for i, p := range drawn() {
		if p.Family != phantom.Chest {
			continue
		}
		n++
		if p.Described {
			described++
			continue
		}
		for _, c := range captions(p) {
			for _, f := range []phantom.Finding{phantom.Pneumothorax, phantom.Device} {
				if there, absent := claims(c, spoken[f]); there || absent {
					t.Fatalf("chest %d is not described, yet caption %q", i, c)
				}
			}
		}
	}
	if described < n*4/10 || described > n*8/10 {
		t.Errorf("%d of %d chests are described: want part of them", described, n)
	}
}

func TestEveryPixelIsOpaque(t *testing.T) {
	t.Parallel()
	for _, f := range families {
		img := phantom.Draw(f, 1, 1).Image
		if b := img.Bounds(); b.Dx() != phantom.Size || b.Dy() != phantom.Size {
			t.Errorf("%s: bounds %v", f, b)
		}
		for i := 3; i < len(img.Pix); i += 4 {
			if img.Pix[i] != 255 {
				t.Fatalf("%s: pixel %d has alpha %d", f, i/4, img.Pix[i])
			}
		}
	}
}
