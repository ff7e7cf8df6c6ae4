package dicom

import (
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/medprobe/medprobe/internal/turns"
)

// TestSpeed notes how long a 16-bit radiograph of 2048×2048 takes from the file
// to pixels, here and with pydicom and numpy.
func TestSpeed(t *testing.T) {
	rounds := turns.Rounds(t)
	r := rand.New(rand.NewPCG(1, 2))
	pixels := make([]byte, 0, 2*2048*2048)
	for range 2048 * 2048 {
		pixels = binary.LittleEndian.AppendUint16(pixels, uint16(r.IntN(4000)+100))
	}
	data := file(explicitLittle, picture(2048, 2048, explicit(windowCenter, "DS", []byte("2000")), explicit(windowWidth, "DS", []byte("3000")), explicit(pixelData, "OW", pixels))...)
	path := filepath.Join(t.TempDir(), "cr.dcm")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	ask := turns.Peer(t, "pydicom", filepath.Join("..", "..", "tools", "reference", "dicom_speed.py"))
	var shownBy []float64
	var peer func() float64
	if ask != nil {
		peer = func() float64 { // both figures come in one answer
			answer := ask(path)
			shownBy = append(shownBy, 1000*answer[1])
			return 1000 * answer[0]
		}
	}
	took := turns.Take(rounds,
		func() float64 { return 1000 * timed(t, path, stored) },
		func() float64 {
			return 1000 * timed(t, path, func(f *File) error {
				_, err := f.Image(t.Context(), Options{})
				return err
			})
		}, peer)
	if ask != nil {
		shownBy = shownBy[1:] // the first round does not count
	}
	const work, who = "16-bit DICOM of 2048×2048, from the file to ", "pydicom and NumPy"
	turns.Note(t,
		turns.Line{Work: work + "stored values", Unit: "ms", Ours: took[0], Peer: who, Theirs: took[2], Goal: turns.Goal{Ratio: 1}},
		turns.Line{Work: work + "what is shown", Unit: "ms", Ours: took[1], Peer: who, Theirs: shownBy, Goal: turns.Goal{Ratio: 1}})
}

// timed returns the seconds from the file to what work makes of it.
func timed(t *testing.T, path string, work func(*File) error) float64 {
	t.Helper()
	start := time.Now()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := Parse(data)
	if err == nil {
		err = work(f)
	}
	if err != nil {
		t.Fatal(err)
	}
	return time.Since(start).Seconds()
}

// stored lays hands on the stored values, which native pixels are in the file.
func stored(f *File) error {
	s, err := f.shape()
	if err != nil {
		return err
	}
	_, err = f.nativeFrame(s, 0)
	return err
}
