package dicom

import (
	"bufio"
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

var speed = flag.Int("speed", 0, "measure against pydicom this many times, in turns (make bench-dicom)")

// TestSpeed prints how long a 16-bit radiograph of 2048×2048 takes from the file
// to pixels, here and with pydicom and numpy.
func TestSpeed(t *testing.T) {
	if *speed == 0 {
		t.Skip("measures only when asked: make bench-dicom")
	}
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
	cmd := exec.Command("/usr/bin/python3", "-W", "ignore", filepath.Join("..", "..", "tools", "reference", "dicom_speed.py"))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Skip("no python3: ", err)
	}
	defer cmd.Wait()
	defer in.Close()
	answers := bufio.NewScanner(out)
	var values, ours, theirs, shown []float64
	for range *speed {
		values = append(values, timed(t, path, stored))
		ours = append(ours, timed(t, path, func(f *File) error {
			_, err := f.Image(t.Context(), Options{})
			return err
		}))
		fmt.Fprintln(in, path)
		if !answers.Scan() {
			t.Skip("python3 has no pydicom")
		}
		var a, b float64
		if _, err := fmt.Sscan(answers.Text(), &a, &b); err != nil {
			t.Fatal(err)
		}
		theirs, shown = append(theirs, a), append(shown, b)
	}
	median := func(s []float64) float64 { slices.Sort(s); return s[len(s)/2] }
	m := 0.0
	fmt.Printf("\n16-bit DICOM of 2048×2048, file to pixels, median of %d in turns\n\n| what | ms | spread | against medprobe |\n|---|---|---|---|\n", *speed)
	for i, row := range []struct {
		what    string
		seconds []float64
	}{
		{"medprobe, to stored values", values}, {"pydicom and numpy, to stored values", theirs},
		{"medprobe, to what is shown", ours}, {"pydicom and numpy, to what is shown", shown},
	} {
		v := median(row.seconds)
		if i%2 == 0 {
			m = v
		}
		fmt.Printf("| %s | %.1f | %.1f–%.1f | %.2f× |\n", row.what, 1000*v, 1000*row.seconds[0], 1000*row.seconds[len(row.seconds)-1], v/m)
	}
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
