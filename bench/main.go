// Command bench runs the benchmarks beside their peers and makes the page of
// their figures.
//
//	go run ./bench [-rounds N] [-rows N] [-again] [-write] [GROUP …]
//
// Without groups it runs all, and writes docs/benchmarks.md; a group that failed is
// named there as not measured. What a group took is kept in the folder .bench until
// the commit or the number of rounds is another one: after an interruption, the
// same command goes on where it was.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/medprobe/medprobe/internal/atomicfile"
	"github.com/medprobe/medprobe/internal/turns"
)

// group is a table of the page.
type group struct {
	name, title string
	rounds      int
	calls       []call
}

// call is one run of go test, in a process of its own.
type call struct{ pkg, run, rows string } // rows is the flag that -rows sets

var groups = []group{
	{"encoder", "Encoder: a tower of MedSigLIP's width with random weights, 448×448 pixels", 9, []call{{"./encoder", "Speed$", ""}}},
	{"trainer", "Training: vectors of 1152 numbers, as MedSigLIP gives", 3, []call{{"./trainer", "Speed$", ""}, {"./trainer", "MemoryOfFits$", ""}}},
	{"evaluate", "Evaluation", 9, []call{{"./evaluate", "Speed$", ""}}},
	{"cache", "Cache", 5, []call{{"./embedcache", "Speed$", "-speed-rows"}, {"./embedcache", "ExportMemory$", "-export-rows"}}},
	{"datasets", "Datasets", 5, []call{{"./datasets", "Speed$", ""}}},
	{"dicom", "DICOM", 25, []call{{"./internal/dicom", "Speed$", ""}}},
	{"session", sessionTitle, 3, []call{{"./cmd/medprobe", "SessionSpeed$", ""}}},
}

// options says how to measure.
type options struct {
	rounds, rows int  // 0: each group's own; the issues' size
	again        bool // also what is measured
	write        bool // the page only, of what is measured
	folder, page string
}

func main() {
	var o options
	flag.IntVar(&o.rounds, "rounds", 0, "rounds of every group, instead of its own number; 1 is for trying")
	flag.IntVar(&o.rows, "rows", 1_000_000, "vectors that the cache searches and exports")
	flag.BoolVar(&o.again, "again", false, "measure again what is measured at this commit")
	flag.BoolVar(&o.write, "write", false, "measure nothing; write the page of what is measured")
	flag.StringVar(&o.folder, "folder", ".bench", "folder of what is measured")
	flag.StringVar(&o.page, "page", filepath.Join("docs", "benchmarks.md"), "page to write")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

// run measures the named groups, or all and then writes the page. A group that
// fails does not keep the others from running.
func run(ctx context.Context, o options, names []string) error {
	for _, name := range names {
		if !slices.ContainsFunc(groups, func(g group) bool { return g.name == name }) {
			return fmt.Errorf("there is no group %q; there are %s", name, strings.Join(groupNames(), ", "))
		}
	}
	if err := os.MkdirAll(o.folder, 0o755); err != nil {
		return err
	}
	m, err := describe(ctx)
	if err != nil {
		return err
	}
	var failed error
	for _, g := range groups {
		if o.write || len(names) > 0 && !slices.Contains(names, g.name) {
			continue
		}
		if o.rounds > 0 {
			g.rounds = o.rounds
		}
		r, err := measure(ctx, g, m, o)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", g.name, err))
			continue
		}
		fmt.Printf("\n%s\n\n%s", g.title, table(r.Lines))
	}
	if len(names) == 0 && ctx.Err() == nil {
		failed = errors.Join(failed, writePage(o))
	}
	return failed
}

// writePage writes the page of what is measured.
func writePage(o options) error {
	results := make([]result, len(groups))
	for i, g := range groups {
		var err error
		if results[i], err = read(o.folder, g.name); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		results[i].Group = g.name
	}
	if err := atomicfile.WriteBytes(o.page, page(results)); err != nil {
		return err
	}
	fmt.Println("wrote", o.page)
	return nil
}

func groupNames() []string {
	var names []string
	for _, g := range groups {
		names = append(names, g.name)
	}
	return names
}

// measure runs one group, unless it is measured already in the same way.
func measure(ctx context.Context, g group, m machine, o options) (result, error) {
	r := result{Group: g.name, Rounds: g.rounds, Rows: o.rows, Machine: m}
	if old, err := read(o.folder, g.name); err == nil && old.same(r) && !o.again {
		fmt.Fprintf(os.Stderr, "%s: measured already; -again measures it anew\n", g.name)
		return old, nil
	}
	lines, err := filepath.Abs(filepath.Join(o.folder, g.name+".lines"))
	if err != nil {
		return result{}, err
	}
	for _, old := range []string{lines, filepath.Join(o.folder, g.name+".json")} {
		if err := os.Remove(old); err != nil && !errors.Is(err, os.ErrNotExist) {
			return result{}, err
		}
	}
	r.Load = load()
	start := time.Now()
	for _, c := range g.calls {
		args := []string{"test", "-count=1", "-v", "-timeout", "60m", c.pkg, "-run", c.run}
		if c.rows != "" {
			args = append(args, c.rows, strconv.Itoa(o.rows))
		}
		fmt.Fprintf(os.Stderr, "%s: go %s\n", g.name, strings.Join(args, " "))
		cmd := exec.CommandContext(ctx, "go", args...)
		cmd.Env = append(os.Environ(), "MEDPROBE_ROUNDS="+strconv.Itoa(g.rounds), "MEDPROBE_LINES="+lines)
		cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
		if err := cmd.Run(); err != nil {
			return result{}, fmt.Errorf("go test: %w", err)
		}
	}
	r.Minutes = time.Since(start).Minutes()
	if r.Lines, err = readLines(lines); err != nil {
		return result{}, err
	}
	if len(r.Lines) == 0 {
		return result{}, errors.New("the tests noted nothing; were they skipped?")
	}
	return r, errors.Join(r.write(o.folder), os.Remove(lines))
}

// result is what a group took, and on what.
type result struct {
	Group   string       `json:"group"`
	Rounds  int          `json:"rounds"`
	Rows    int          `json:"rows"`
	Load    string       `json:"load"` // processes that wanted a processor, before
	Minutes float64      `json:"minutes"`
	Machine machine      `json:"machine"`
	Lines   []turns.Line `json:"lines"`
}

// same says whether the other is measured on the same code and in the same way.
func (r result) same(other result) bool {
	return r.Machine == other.Machine && r.Rounds == other.Rounds && r.Rows == other.Rows
}
