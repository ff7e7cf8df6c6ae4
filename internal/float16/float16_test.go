package float16

import (
	"math"
	"math/rand/v2"
	"testing"
)

// Every float16 is its own nearest one, and lies between its neighbours' middles.
func TestEveryNumberThereAndBack(t *testing.T) {
	for bits := range 1 << 16 {
		h := uint16(bits)
		v := To(h)
		if v != v {
			if back := From(v); back&0x7c00 != 0x7c00 || back&0x3ff == 0 {
				t.Fatalf("From(NaN) = %#x", back)
			}
			continue
		}
		if back := From(v); back != h {
			t.Fatalf("From(To(%#x)) = %#x", h, back)
		}
	}
}

func TestKnownNumbers(t *testing.T) {
	for v, want := range map[float32]uint16{
		0: 0, 1: 0x3c00, -2: 0xc000, 65504: 0x7bff, 1.0 / (1 << 14): 0x0400, 1.0 / (1 << 24): 1, 1.0 / (1 << 26): 0,
		0.1: 0x2e66, 1 + 1.0/2048: 0x3c00, 1 + 3.0/2048: 0x3c02, 1.99999: 0x4000, 1023.0 / (1 << 24): 0x03ff, 1023.7 / (1 << 24): 0x0400,
	} {
		if got := From(v); got != want {
			t.Errorf("%v is %#04x: want %#04x", v, got, want)
		}
	}
	if got := From(float32(math.Copysign(0, -1))); got != 0x8000 {
		t.Errorf("-0 is %#04x", got)
	}
}

func TestRoundingIsToTheNearestAndToEven(t *testing.T) {
	for h := uint16(0); h < 0x7bff; h++ {
		low, high := float64(To(h)), float64(To(h+1))
		middle := (low + high) / 2
		even := h
		if h&1 == 1 {
			even = h + 1
		}
		for _, c := range []struct {
			v    float64
			want uint16
		}{{middle, even}, {math.Nextafter(middle, low), h}, {math.Nextafter(middle, high), h + 1}} {
			v := float32(c.v)
			if float64(v) != c.v { // the middle is a float32, its neighbours in float64 are not
				v = math.Nextafter32(float32(middle), float32(2*c.v-middle))
				if v == float32(middle) {
					continue
				}
			}
			if got := From(v); got != c.want {
				t.Fatalf("From(%v) = %#x, want %#x between %v and %v", v, got, c.want, low, high)
			}
		}
	}
	for v, want := range map[float32]uint16{65519.9: 0x7bff, 65520: 0x7c00, -65520: 0xfc00, float32(math.Inf(1)): 0x7c00, 1e-9: 0} {
		if got := From(v); got != want {
			t.Errorf("From(%v) = %#x, want %#x", v, got, want)
		}
	}
}

func TestCheckNamesTheValue(t *testing.T) {
	if err := Check([]float32{1, -65504}); err != nil {
		t.Error(err)
	}
	for _, v := range []float32{65505, float32(math.NaN()), float32(math.Inf(-1))} {
		if err := Check([]float32{1, v}); err == nil {
			t.Errorf("Check([1 %v]) = nil", v)
		}
	}
}

func TestDotOfAllLengths(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for n := range 200 {
		h, q := make([]uint16, n), make([]float32, n)
		want, size := 0.0, 0.0
		for i := range h {
			h[i], q[i] = From(float32(random.NormFloat64())), float32(random.NormFloat64())
			want += float64(To(h[i])) * float64(q[i])
			size += math.Abs(float64(To(h[i])) * float64(q[i]))
		}
		if got := float64(Dot(h, q)); math.Abs(got-want) > float64(n)*size/(1<<24) {
			t.Errorf("Dot of %d = %v, want %v", n, got, want)
		}
	}
}

func BenchmarkDot(b *testing.B) {
	h, q := make([]uint16, 1152), make([]float32, 1152)
	b.SetBytes(2 * 1152)
	for b.Loop() {
		Dot(h, q)
	}
}
