package phantom

import (
	"slices"
	"strings"
	"sync"
)

// Caption is a text and what it needs to be true.
type Caption struct {
	Text       string
	Subject    string // what the caption is about; captions of a subject compete for the same place in training
	Needs      []Fact // the caption is true of a phantom that has all of these
	Appearance bool   // words for the look of a finding that has no named caption
}

// Captions returns every caption there is, in a fixed order. No caption holds
// the clinical name of a finding for which [Finding.Named] is false.
func Captions() []Caption { return slices.Clone(allCaptions()) }

var allCaptions = sync.OnceValue(func() []Caption {
	var list captionList
	list.family(Chest, "a chest radiograph", "a chest x-ray", "a frontal radiograph of the chest", "an x-ray image of the chest", "chest x-ray")
	list.family(Blood, "a blood smear", "a microscope image of a blood smear", "stained blood under the microscope", "a photo of blood cells")
	list.family(Skin, "a photo of a skin lesion", "a skin lesion", "a dermoscopy image", "a mole on the skin")
	list.family(Fundus, "a fundus photograph", "a photo of the retina", "the back of the eye", "a retinal image")
	list.chest()
	list.blood()
	list.skin()
	list.fundus()
	return list.captions
})

type captionList struct{ captions []Caption }

func (l *captionList) add(subject, text string, needs ...Fact) {
	l.captions = append(l.captions, Caption{Text: text, Subject: subject, Needs: needs})
}

func (l *captionList) family(f Family, texts ...string) {
	for _, t := range texts {
		l.add("family", t, familyFact(f))
	}
}

// names is how captions call a finding, article included.
var names = map[Finding][]string{
	Cardiomegaly: {"an enlarged heart", "cardiomegaly"},
	Effusion:     {"an effusion", "a pleural effusion"},
	Opacity:      {"an opacity", "a lung opacity"},
	Nodule:       {"a nodule", "a lung nodule"},
}

// looks is how captions describe the findings they do not name.
var looks = map[Finding][]string{
	Pneumothorax: {"a dark upper zone", "a black area at the top of the lung"},
	Device:       {"a thin bright line", "a white wire"},
}

func (l *captionList) chest() {
	for _, f := range Findings() {
		from := len(l.captions)
		words := names[f]
		if !f.Named() {
			words = looks[f]
		}
		for _, name := range words {
			l.finding(f, name)
		}
		if f != Cardiomegaly && f != Device { // a heart has no side, a line has two ends
			for _, side := range []string{"left", "right"} {
				for _, name := range words {
					l.add(string(f), name+" on the "+side, detail(f, side))
					l.add(string(f), "a chest radiograph with "+name+" on the "+side, detail(f, side))
				}
			}
		}
		for i := from; i < len(l.captions); i++ {
			l.captions[i].Appearance = !f.Named()
		}
	}
	l.add(string(Cardiomegaly), "a normal heart size", absent(Cardiomegaly))
	l.add(string(Cardiomegaly), "a chest radiograph with a heart of normal size", absent(Cardiomegaly))
	for _, size := range []string{"large", "small"} {
		l.add(string(Effusion), "a "+size+" effusion", detail(Effusion, size))
	}
	l.add(string(Effusion), "effusions on both sides", detail(Effusion, "both"))
	l.pairs()
	l.add("exposure", "a bright radiograph", familyFact(Chest), "exposure: bright")
	l.add("exposure", "a dark radiograph", familyFact(Chest), "exposure: dark")
	l.add("exposure", "a noisy radiograph", familyFact(Chest), "noise: much")
	l.add("exposure", "a clean radiograph", familyFact(Chest), "noise: little")
	l.add("exposure", "a radiograph with a letter l", "marker: L")
	l.add("exposure", "a radiograph with a letter r", "marker: R")
}

// finding adds what is said of one finding under one name.
func (l *captionList) finding(f Finding, name string) {
	bare := strings.TrimPrefix(strings.TrimPrefix(name, "an "), "a ")
	s := string(f)
	for _, text := range []string{
		name, bare, "a chest radiograph with " + name, "a chest x-ray with " + name,
		"a chest x-ray showing " + bare, "there is " + name, bare + " is present",
	} {
		if text != name || name != bare {
			l.add(s, text, present(f))
		}
	}
	if name == bare {
		l.add(s, name, present(f))
	}
	for _, text := range []string{
		"no " + bare, "a chest radiograph without " + name, "a chest x-ray without " + bare,
		"a chest radiograph with no " + bare, "there is no " + bare, bare + " is absent", "without " + name,
	} {
		l.add(s, text, absent(f))
	}
}

// pairs adds captions about two named findings at once.
func (l *captionList) pairs() {
	for i, f := range Findings() {
		for _, g := range Findings()[i+1:] {
			if !f.Named() || !g.Named() {
				continue
			}
			a, b := names[f][0], names[g][0]
			l.add("pairs", a+" and "+b, present(f), present(g))
			l.add("pairs", a+" but no "+strings.TrimPrefix(strings.TrimPrefix(b, "an "), "a "), present(f), absent(g))
			l.add("pairs", "no "+strings.TrimPrefix(strings.TrimPrefix(a, "an "), "a ")+" but "+b, absent(f), present(g))
			l.add("pairs", "neither "+a+" nor "+b, absent(f), absent(g))
		}
	}
}

func (l *captionList) blood() {
	for _, k := range []struct {
		kind  string
		texts []string
	}{
		{"red", []string{"a red blood cell", "a red cell", "a pale red blood cell", "a microscope image of a red blood cell", "a photo of a red blood cell"}},
		{"white", []string{"a white blood cell", "a white cell", "a white blood cell with a purple nucleus", "a microscope image of a white blood cell", "a photo of a white blood cell"}},
		{"platelet", []string{"a platelet", "a small purple platelet", "a blood platelet", "a microscope image of a platelet", "a photo of a platelet"}},
	} {
		for _, t := range k.texts {
			l.add("cell", t, Fact("cell: "+k.kind))
		}
	}
	l.add("cell", "a single cell", "blood: crop")
	l.add("field", "a blood smear with many cells", "blood: many cells")
	l.add("field", "a blood smear with few cells", "blood: few cells")
	l.add("field", "a blood smear with a white cell among red cells", "blood: white cell in the field")
	l.add("field", "red cells without a white cell", "blood: no white cell in the field")
	l.add("field", "a field of cells", "blood: field")
	l.add("cell", "a nucleus of one piece", "lobes: 1")
	l.add("cell", "a nucleus of three lobes", "lobes: 3")
}

func (l *captionList) skin() {
	for _, what := range []string{"large", "small", "dark", "light"} {
		l.add("skin", "a "+what+" skin lesion", Fact("lesion: "+what))
	}
	l.add("skin", "a skin lesion with an irregular border", "border: irregular")
	l.add("skin", "a skin lesion with a smooth border", "border: smooth")
	l.add("skin", "a large dark skin lesion", "lesion: dark", "lesion: large")
	l.add("skin", "a small light skin lesion", "lesion: light", "lesion: small")
	l.add("skin", "skin with hair", "hair: yes")
	l.add("skin", "a skin lesion without hair", "hair: no")
}

func (l *captionList) fundus() {
	l.add("fundus", "a retina with the optic disc on the left", "disc: left")
	l.add("fundus", "a retina with the optic disc on the right", "disc: right")
	l.add("fundus", "a retina with bright spots", "bright spots: yes")
	l.add("fundus", "a retina without bright spots", "bright spots: no")
	l.add("fundus", "a retina with dark spots", "dark spots: yes")
	l.add("fundus", "a retina without dark spots", "dark spots: no")
}
