package experiment

import (
	"context"
	"errors"
	"fmt"
	"image"
	"slices"
	"strings"
	"testing"

	"github.com/medprobe/medprobe/encoder"
	"github.com/medprobe/medprobe/evaluate"
)

// nearSighted is quadrants that does not see the lower half, fails where it is
// told to, and reads no texts where it is mute.
type nearSighted struct {
	quadrants
	name  string
	mute  bool
	fails func(image.Image) bool
}

func (n *nearSighted) Name() string        { return n.name }
func (n *nearSighted) Fingerprint() string { return fmt.Sprintf("%064x", n.name) }

func (n *nearSighted) Preprocess(img image.Image) ([]float32, error) {
	if n.fails != nil && n.fails(img) {
		return nil, errors.New("too dark for me")
	}
	v, err := n.quadrants.Preprocess(img)
	v[2], v[3] = 0, 0
	return v, err
}

func (n *nearSighted) EncodeTexts(ctx context.Context, texts []string) ([][]float32, error) {
	if n.mute {
		return nil, fmt.Errorf("%s: %w", n.name, encoder.ErrNoText)
	}
	return n.quadrants.EncodeTexts(ctx, texts)
}

// another hands encoders out by name and counts how many are open at once.
func another(t *testing.T, all ...Encoder) func(string, string, func(Encoder) error) error {
	open := 0
	return func(name, profile string, do func(Encoder) error) error {
		if open++; open > 1 {
			t.Error("two other encoders open at once")
		}
		defer func() { open-- }()
		for _, e := range all {
			if e.Name() == name {
				return do(e)
			}
		}
		return fmt.Errorf("%q: no such encoder", name)
	}
}

const several = pairs + "encoders: [quadrants, dim, {name: mute, preprocess: padded}]\nheads: [linear-probe, clap]\n"

func TestSeveralEncodersSeeTheSameSamples(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o := w.options()
	// Some images are dark in the upper right.
	dark := func(img image.Image) bool {
		r, _, _, _ := img.At(6, 1).RGBA()
		return r>>8 < 12
	}
	o.Another = another(t, &nearSighted{name: "dim", fails: dark}, &nearSighted{name: "mute", mute: true})
	c := w.load(several + "max_failures: 50%\n")
	if c.Encoder != "quadrants" || len(c.Encoders) != 2 || c.Encoders[1] != (EncoderChoice{"mute", "padded"}) || c.Encoders[0].Preprocess != "hf" {
		t.Fatalf("encoders %q and %+v", c.Encoder, c.Encoders)
	}
	r, err := Run(t.Context(), c, o)
	if err != nil {
		t.Fatal(err)
	}
	e := r.Report.Encoders
	if e == nil || len(e.Encoders) != 3 {
		t.Fatalf("encoders %+v", e)
	}
	failures := e.Encoders[1].Failed
	if failures == 0 || e.Encoders[0].Failed+e.Encoders[2].Failed != 0 {
		t.Errorf("failed %d, %d, %d: want the second alone", e.Encoders[0].Failed, failures, e.Encoders[2].Failed)
	}
	want := []evaluate.Tally{{Reason: "could not be encoded, by encoder dim", N: failures}}
	if !slices.Equal(r.Report.Counts.Failed, want) {
		t.Errorf("failed %+v, want %+v", r.Report.Counts.Failed, want)
	}
	if e.Encoders[2].Label != "mute/padded" || e.Encoders[2].NoZeroShot == "" || !slices.Equal(e.Encoders[2].LeftOut, []string{"clap"}) {
		t.Errorf("the mute encoder: %+v", e.Encoders[2])
	}
	// dim has zero-shot, linear-probe and clap, mute the linear-probe alone.
	if len(e.Comparisons) != 8 || len(e.Means) != 4 {
		t.Fatalf("%d comparisons and %d means", len(e.Comparisons), len(e.Means))
	}
	byMethod := map[string]map[string]evaluate.Prediction{}
	for _, p := range r.predictions {
		key := p.Finding + " " + p.Method
		if byMethod[key] == nil {
			byMethod[key] = map[string]evaluate.Prediction{}
		}
		byMethod[key][p.ID] = p
	}
	for _, c := range e.Comparisons {
		ours, theirs := byMethod[c.Finding+" "+c.Method], byMethod[c.Finding+" "+evaluate.MethodOn(c.Method, c.Encoder)]
		if len(ours) == 0 || len(ours) != len(theirs) {
			t.Fatalf("%s of %s on %s: %d predictions, the first has %d", c.Method, c.Finding, c.Encoder, len(theirs), len(ours))
		}
		var a, b []float64
		var labels []bool
		var groups []string
		for id, p := range ours {
			if p.Label == nil {
				continue
			}
			q, ok := theirs[id]
			if !ok {
				t.Fatalf("%s is not in both", id)
			}
			a, b, labels, groups = append(a, q.Score), append(b, p.Score), append(labels, *p.Label == 1), append(groups, p.Patient)
		}
		got, err := evaluate.Compare(a, b, labels, groups)
		if err != nil {
			t.Fatal(err)
		}
		d := c.Difference
		if d == nil || d.Difference.Point != got.Difference.Point || d.Difference.Low != got.Difference.Low || d.P != got.P || d.Difference.Unit != "patient" {
			t.Errorf("%s of %s on %s: %+v, the predictions give %+v", c.Method, c.Finding, c.Encoder, d, got)
		}
		if c.Finding == "lower" && c.Method == "linear-probe" && (d == nil || d.Difference.High >= 0 || d.AdjustedP < d.P) {
			t.Errorf("lower on %s, which does not see it: %+v", c.Encoder, d)
		}
	}
}

// The first encoder's figures are those that it has alone, as long as none of
// the others fails.
func TestOthersDoNotMoveTheFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	alone := w.run(pairs)
	o := w.options()
	o.Another = another(t, &quadrants{})
	beside, err := Run(t.Context(), w.load(pairs+"encoders: [{name: quadrants, preprocess: padded}]\n"), o)
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprintf("%+v", alone.Report.Findings[0].Methods[1].AUC) != fmt.Sprintf("%+v", beside.Report.Findings[0].Methods[1].AUC) {
		t.Error("another encoder moved the first one's figure")
	}
	for _, c := range beside.Report.Encoders.Comparisons {
		if c.Encoder != "quadrants/padded" || c.Difference == nil || c.Difference.P != 1 || c.Difference.Difference.Point != 0 {
			t.Errorf("the same encoder beside itself: %+v", c)
		}
	}
	if got := alone.config.text(); strings.Contains(string(got), "Encoders") {
		t.Errorf("one encoder's experiment names Encoders: %s", got)
	}
}

func TestSeveralEncodersAreChecked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o := w.options()
	o.Another = another(t)
	if _, err := Run(t.Context(), w.load(pairs+"encoders: [nobody]\n"), o); err == nil || !strings.Contains(err.Error(), `encoder nobody: "nobody": no such encoder`) {
		t.Errorf("error %v", err)
	}
	if q := o.Encoder.(*quadrants); q.encoded > 0 {
		t.Errorf("%d images encoded before the missing encoder was named", q.encoded)
	}
	for yaml, want := range map[string]string{
		"encoders: [a, a]":                           `"a" with "hf" twice`,
		"encoders: [a, {preprocess: hf}]":            "one without a name",
		"encoders: [{name: a, preprocess: paddded}]": `did you mean "padded"`,
		"encoders: [{nme: a}]":                       "nme",
		"encoders: []":                               "encoder: missing",
	} {
		if _, err := load(t, "data: csv:labels.csv\n"+yaml+"\n"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", yaml, err, want)
		}
	}
	c, err := load(t, "data: csv:labels.csv\nencoders: [{name: a, preprocess: padded}, a]\n")
	if err != nil || c.Encoder != "a" || c.Preprocess != "padded" || len(c.Encoders) != 1 || c.Encoders[0] != (EncoderChoice{"a", "hf"}) {
		t.Errorf("%+v, %v: want a with padded and then with hf", c, err)
	}
}
