package evaluate

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

func TestExactSumsAreThoseOfBigIntegers(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var got exact
		want := new(big.Int)
		limit := int64(1) << (1 + random.IntN(58))
		for range 1 + random.IntN(50) {
			x, y := random.Int64N(2*limit)-limit, random.Int64N(2*limit)-limit
			got.add(x, y)
			want.Add(want, new(big.Int).Mul(big.NewInt(x), big.NewInt(y)))
		}
		float, _ := new(big.Float).SetInt(want).Float64()
		if math.Abs(got.float()-float) > 4e-16*math.Abs(float) {
			t.Fatalf("sum = %v, want %v", got.float(), float)
		}
	}
}

func TestTooManySamplesAreRefused(t *testing.T) {
	t.Parallel()
	c := &contrast{n1: 3_000_000, n0: 3_000_000, columns: 1}
	if err := c.add(nil, 1); err == nil {
		t.Error("no error, but sums would overflow")
	}
}

func TestRadixSortEqualsSort(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 2))
	scores, labels := make([]float64, 5000), make([]bool, 5000)
	for i := range scores {
		scores[i] = math.Round(random.NormFloat64()*1e3) * math.Pow(10, float64(random.IntN(40)-20))
		labels[i] = random.IntN(2) == 0
	}
	for i := 3000; i < len(scores); i++ { // apart in their last bits only, and ties among them
		scores[i] = 0.5 + float64(random.IntN(1000))*0x1p-50
	}
	scores[7], scores[8], scores[9], scores[10] = math.Inf(1), math.Inf(-1), 0, math.Copysign(0, -1)
	order, err := ascending(scores, labels)
	if err != nil {
		t.Fatal(err)
	}
	for k := 1; k < len(order); k++ {
		a, b := order[k-1], order[k]
		if a.score > b.score || a.score == b.score && labels[a.sample] && !labels[b.sample] {
			t.Fatalf("place %d: %v before %v", k, a, b)
		}
	}
}
