// Command demo-encoder draws what the demo encoder is trained on: phantom
// images as NumPy arrays, and captions.json with every caption and the facts
// that decide of which images it is true. See README.md.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"

	"github.com/medprobe/medprobe/datasets/phantom"
	"github.com/medprobe/medprobe/internal/atomicfile"
	"github.com/medprobe/medprobe/internal/npy"
)

// shard is the number of images in one file.
const shard = 2000

func main() {
	out := flag.String("out", "", "folder to write to")
	n := flag.Int("n", 40000, "number of images")
	evaluation := flag.String("evaluation", "", "instead, write an evaluation set to this folder")
	seed := flag.Uint64("seed", 2, "seed of the evaluation set")
	flag.Parse()
	if (*out == "") == (*evaluation == "") || *n < 1 || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	var err error
	if *evaluation != "" {
		err = phantom.WriteDataset(context.Background(), *evaluation, phantom.Options{Seed: *seed})
	} else {
		err = write(*out, *n)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo-encoder:", err)
		os.Exit(1)
	}
}

// truth is captions.json. Facts are named once; images and captions give
// their places in that list.
type truth struct {
	Facts     []phantom.Fact `json:"facts"`
	Captions  []caption      `json:"captions"`
	Images    [][]int        `json:"images"`    // the facts of every image
	Described []bool         `json:"described"` // whether appearance captions count for it
	Findings  []finding      `json:"findings"`
}

type caption struct {
	Text       string `json:"text"`
	Subject    string `json:"subject"`
	Needs      []int  `json:"needs"`
	Appearance bool   `json:"appearance"`
}

type finding struct {
	Name  string `json:"name"`
	Named bool   `json:"named"`
}

// family is the family of image i: six tenths chests, as the findings are
// what takes longest to learn.
func family(i int) phantom.Family {
	switch i % 10 {
	case 0, 1:
		return phantom.Blood
	case 2:
		return phantom.Skin
	case 3:
		return phantom.Fundus
	default:
		return phantom.Chest
	}
}

func write(out string, n int) error {
	if err := os.MkdirAll(out, 0o777); err != nil {
		return err
	}
	facts := make([][]phantom.Fact, n)
	t := truth{Described: make([]bool, n)}
	for first := 0; first < n; first += shard {
		count := min(shard, n-first)
		pixels := make([]uint8, count*phantom.Size*phantom.Size*3)
		each(count, func(k int) {
			i := first + k
			p := phantom.Draw(family(i), phantom.EncoderSeed, uint64(i))
			facts[i], t.Described[i] = p.Facts(), p.Described
			rgb := pixels[k*phantom.Size*phantom.Size*3:]
			for j := range phantom.Size * phantom.Size {
				copy(rgb[3*j:3*j+3], p.Image.Pix[4*j:])
			}
		})
		name := filepath.Join(out, fmt.Sprintf("images-%03d.npy", first/shard))
		err := atomicfile.Write(name, func(w io.Writer) error {
			return npy.Write(w, []int{count, phantom.Size, phantom.Size, 3}, pixels)
		})
		if err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "\r%d of %d", first+count, n)
	}
	fmt.Fprintln(os.Stderr)
	t.describe(facts)
	data, err := json.Marshal(t)
	if err != nil {
		return err
	}
	return atomicfile.WriteBytes(filepath.Join(out, "captions.json"), data)
}

// each calls f for 0…n−1 on every core.
func each(n int, f func(i int)) {
	var wait sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	for w := range workers {
		wait.Go(func() {
			for i := w; i < n; i += workers {
				f(i)
			}
		})
	}
	wait.Wait()
}

// describe fills in the facts, the captions and which image has which.
func (t *truth) describe(facts [][]phantom.Fact) {
	place := map[phantom.Fact]int{}
	index := func(list []phantom.Fact) []int {
		places := []int{}
		for _, f := range list {
			k, ok := place[f]
			if !ok {
				k = len(t.Facts)
				place[f] = k
				t.Facts = append(t.Facts, f)
			}
			places = append(places, k)
		}
		slices.Sort(places)
		return places
	}
	for _, list := range facts {
		t.Images = append(t.Images, index(list))
	}
	for _, c := range phantom.Captions() {
		t.Captions = append(t.Captions, caption{c.Text, c.Subject, index(c.Needs), c.Appearance})
	}
	for _, f := range phantom.Findings() {
		t.Findings = append(t.Findings, finding{string(f), f.Named()})
	}
}
