package report

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// colours returns the custom properties of one :root block of a stylesheet.
func colours(t *testing.T, block string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, m := range regexp.MustCompile(`--([a-z0-9-]+):(#[0-9a-f]{3,6})`).FindAllStringSubmatch(block, -1) {
		hex := m[2]
		if len(hex) == 4 {
			hex = "#" + strings.Repeat(hex[1:2], 2) + strings.Repeat(hex[2:3], 2) + strings.Repeat(hex[3:4], 2)
		}
		all[m[1]] = hex
	}
	return all
}

// rgb returns the channels of #rrggbb from 0 to 1.
func rgb(t *testing.T, hex string) (c [3]float64) {
	t.Helper()
	for k := range c {
		v, err := strconv.ParseUint(hex[1+2*k:3+2*k], 16, 8)
		if err != nil {
			t.Fatal(err)
		}
		c[k] = float64(v) / 255
	}
	return c
}

// luminance is the relative one of WCAG 2.2.
func luminance(c [3]float64) float64 {
	linear := func(v float64) float64 {
		if v <= 0.04045 {
			return v / 12.92
		}
		return math.Pow((v+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(c[0]) + 0.7152*linear(c[1]) + 0.0722*linear(c[2])
}

func contrast(a, b [3]float64) float64 {
	la, lb := luminance(a), luminance(b)
	return (max(la, lb) + 0.05) / (min(la, lb) + 0.05)
}

// schemes returns the colours in light, dark and print.
func schemes(t *testing.T) map[string]map[string]string {
	t.Helper()
	blocks := regexp.MustCompile(`:root\{([^}]*)\}`).FindAllStringSubmatch(stylesheet, -1)
	if len(blocks) != 3 {
		t.Fatalf("%d blocks of colours, want light, dark and print", len(blocks))
	}
	return map[string]map[string]string{"light": colours(t, blocks[0][1]), "dark": colours(t, blocks[1][1]), "print": colours(t, blocks[2][1])}
}

// Text has a contrast of 4.5 and what is drawn one of 3 (WCAG 2.2 AA, 1.4.3 and
// 1.4.11), on every ground that it stands on.
func TestContrast(t *testing.T) {
	t.Parallel()
	if c := contrast(rgb(t, "#ffffff"), rgb(t, "#767676")); math.Abs(c-4.54) > 0.005 {
		t.Fatalf("contrast of #767676 on white = %.3f, want 4.54", c)
	}
	for scheme, of := range schemes(t) {
		for _, pair := range []struct {
			ground string
			texts  string
			least  float64
		}{
			{"paper", "ink soft warn m0 m1 m2 m3 good bad", 4.5},
			{"tint", "ink soft", 4.5},
			{"warn-tint", "warn ink", 4.5},
		} {
			for name := range strings.FieldsSeq(pair.texts) {
				if of[name] == "" || of[pair.ground] == "" {
					t.Fatalf("%s: no colour %s or %s", scheme, name, pair.ground)
				}
				if c := contrast(rgb(t, of[name]), rgb(t, of[pair.ground])); c < pair.least {
					t.Errorf("%s: %s on %s: contrast %.2f, want %.1f", scheme, name, pair.ground, c, pair.least)
				}
			}
		}
		// The marks of thresholds and lines of chance are soft at .7 of their opacity.
		paper, soft := rgb(t, of["paper"]), rgb(t, of["soft"])
		var blended [3]float64
		for k := range blended {
			blended[k] = 0.7*soft[k] + 0.3*paper[k]
		}
		if c := contrast(blended, paper); c < 3 {
			t.Errorf("%s: the line of chance: contrast %.2f, want 3", scheme, c)
		}
	}
	// Every colour that the stylesheet uses is one of these.
	_, rules, _ := strings.Cut(stylesheet, "*{box-sizing")
	rules = regexp.MustCompile(`:root\{[^}]*\}`).ReplaceAllString(rules, "")
	if raw := regexp.MustCompile(`#[0-9a-fA-F]{3,8}\b|\brgba?\(`).FindAllString(rules, -1); raw != nil {
		t.Errorf("colours outside the measured ones: %v", raw)
	}
}

// The colours of the methods stay apart for those who see no red or no green
// (Machado, Oliveira and Fernandes, IEEE TVCG 15 (2009) 1291–1298, severity 1), by
// CIE 1976 difference; dashes and places tell them apart besides.
func TestMethodsStayApartForTheColourBlind(t *testing.T) {
	t.Parallel()
	seen := map[string][9]float64{
		"protanopia":   {0.152286, 1.052583, -0.204868, 0.114503, 0.786281, 0.099216, -0.003882, -0.048116, 1.051998},
		"deuteranopia": {0.367322, 0.860646, -0.227968, 0.280085, 0.672501, 0.047413, -0.011820, 0.042940, 0.968881},
	}
	for scheme, of := range schemes(t) {
		for sight, m := range seen {
			for a := range 3 { // m3 is for a fourth method, whose dashes are alone
				for b := a + 1; b < 3; b++ {
					x, y := simulate(rgb(t, of["m"+strconv.Itoa(a)]), m), simulate(rgb(t, of["m"+strconv.Itoa(b)]), m)
					if d := labDistance(x, y); d < 20 {
						t.Errorf("%s, %s: methods %d and %d differ by %.1f, want 20", scheme, sight, a, b, d)
					}
				}
			}
		}
	}
}

func toLinear(c [3]float64) (out [3]float64) {
	for k, v := range c {
		if v <= 0.04045 {
			out[k] = v / 12.92
		} else {
			out[k] = math.Pow((v+0.055)/1.055, 2.4)
		}
	}
	return out
}

// simulate returns linear RGB as it is seen.
func simulate(c [3]float64, m [9]float64) (out [3]float64) {
	l := toLinear(c)
	for k := range out {
		out[k] = min(1, max(0, m[3*k]*l[0]+m[3*k+1]*l[1]+m[3*k+2]*l[2]))
	}
	return out
}

func labDistance(a, b [3]float64) float64 {
	lab := func(c [3]float64) [3]float64 {
		f := func(v float64) float64 {
			if v > 216.0/24389 {
				return math.Cbrt(v)
			}
			return (24389.0/27*v + 16) / 116
		}
		x := f((0.4124*c[0] + 0.3576*c[1] + 0.1805*c[2]) / 0.9505)
		y := f(0.2126*c[0] + 0.7152*c[1] + 0.0722*c[2])
		z := f((0.0193*c[0] + 0.1192*c[1] + 0.9505*c[2]) / 1.089)
		return [3]float64{116*y - 16, 500 * (x - y), 200 * (y - z)}
	}
	p, q := lab(a), lab(b)
	return math.Sqrt((p[0]-q[0])*(p[0]-q[0]) + (p[1]-q[1])*(p[1]-q[1]) + (p[2]-q[2])*(p[2]-q[2]))
}
