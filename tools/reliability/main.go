// Command reliability runs the tests that answer each threat, at their full count, and writes
// docs/reliability.md with what they measured.
//
//	go run ./tools/reliability [-rows 1,5] [-package embedcache]
//
// Results are kept in bin/reliability.jsonl, so that some rows can be run again: the
// page has the last result of each test. A test says what it measured in a line of its
// log that begins with "measured: ".
package main

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

func main() {
	rows := flag.String("rows", "", "the rows to run, such as 1,5; all if empty; none: only write the page")
	only := flag.String("package", "", "run the tests of this package only")
	flag.Parse()
	if err := run(*rows, *only); err != nil {
		fmt.Fprintln(os.Stderr, "reliability:", err)
		os.Exit(1)
	}
}

const (
	page    = "docs/reliability.md"
	results = "bin/reliability.jsonl"
)

func run(rows, only string) error {
	chosen, err := choose(rows)
	if err != nil {
		return err
	}
	of := commit() // before the page is written
	for _, name := range packagesOf(chosen) {
		if only != "" && name != only {
			continue
		}
		if err := runPackage(name, of, chosen); err != nil {
			return err
		}
	}
	known, err := read(results)
	if err != nil {
		return err
	}
	return os.WriteFile(page, table(known), 0o644)
}

// choose returns the threats of the numbers.
func choose(rows string) ([]threat, error) {
	if rows == "" {
		return threats, nil
	}
	var chosen []threat
	for number := range strings.SplitSeq(rows, ",") {
		i := slices.IndexFunc(threats, func(t threat) bool { return strconv.Itoa(t.Number) == number })
		if i < 0 && number != "none" {
			return nil, fmt.Errorf("-rows %q: there is no row %q", rows, number)
		}
		if i >= 0 {
			chosen = append(chosen, threats[i])
		}
	}
	return chosen, nil
}

func packagesOf(chosen []threat) []string {
	var names []string
	for _, t := range chosen {
		for _, p := range t.Tests {
			names = append(names, p.Package)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// result is what a test came to.
type result struct {
	Package  string    `json:"package"`
	Test     string    `json:"test"`
	Outcome  string    `json:"outcome"` // pass, fail or skip
	Measured []string  `json:"measured,omitempty"`
	Seconds  float64   `json:"seconds"`
	Time     time.Time `json:"time"`
	Commit   string    `json:"commit"`
}

// runPackage runs a package's tests of the chosen threats one by one, and keeps what
// they came to.
func runPackage(name, of string, chosen []threat) error {
	binary, err := os.CreateTemp("", "reliability-*.test")
	if err != nil {
		return err
	}
	binary.Close()
	defer os.Remove(binary.Name())
	build := exec.Command("go", "test", "-c", "-o", binary.Name(), "./"+name)
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, out)
	}
	full, err := hasFaults(name)
	if err != nil {
		return err
	}
	var done []string
	for _, t := range chosen {
		for _, p := range t.Tests {
			if p.Package != name || slices.Contains(done, p.Test) {
				continue
			}
			done = append(done, p.Test)
			r, err := runTest(binary.Name(), p, full)
			if err != nil {
				return err
			}
			r.Commit = of
			fmt.Printf("%s %s %s %.0f s %s\n", r.Outcome, p.Package, p.Test, r.Seconds, strings.Join(r.Measured, "; "))
			if err := keep(results, r); err != nil {
				return err
			}
		}
	}
	return nil
}

// hasFaults reports whether a package's tests know the flag -faults, which asks for
// their full count.
func hasFaults(name string) (bool, error) {
	files, err := filepath.Glob(filepath.Join(filepath.FromSlash(name), "*_test.go"))
	if err != nil {
		return false, err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return false, err
		}
		if bytes.Contains(text, []byte(`flag.Bool("faults"`)) {
			return true, nil
		}
	}
	return false, nil
}

func runTest(binary string, p proof, full bool) (result, error) {
	pattern := "^" + strings.ReplaceAll(p.Test, "/", "$/^") + "$"
	args := []string{"tool", "test2json", binary, "-test.v=test2json", "-test.run", pattern, "-test.timeout", "60m"}
	if full {
		args = append(args, "-faults")
	}
	cmd := exec.Command("go", args...)
	cmd.Dir = filepath.FromSlash(p.Package)
	start := time.Now()
	out, err := cmd.Output()
	if exit, failed := errors.AsType[*exec.ExitError](err); err != nil && !failed {
		return result{}, err
	} else if failed && exit.ExitCode() < 0 {
		return result{}, fmt.Errorf("%s: %w", p.Test, err)
	}
	r := result{Package: p.Package, Test: p.Test, Outcome: "fail", Time: start.UTC().Truncate(time.Second)}
	r.fill(out)
	r.Seconds = time.Since(start).Seconds()
	if r.Outcome == "fail" {
		os.Stderr.Write(out)
	}
	return r, nil
}

// mark begins what a test measured, in its log.
const mark = "measured: "

// fill takes the outcome and the figures out of test2json's lines.
func (r *result) fill(out []byte) {
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var e struct{ Action, Test, Output string }
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			continue
		}
		if e.Test == r.Test && slices.Contains([]string{"pass", "fail", "skip"}, e.Action) {
			r.Outcome = e.Action
		}
		if _, said, ok := strings.Cut(e.Output, mark); ok {
			r.Measured = append(r.Measured, strings.TrimSpace(said))
		}
	}
}

func keep(path string, r result) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	return errors.Join(json.NewEncoder(f).Encode(r), f.Close())
}

// read returns the last result of each test.
func read(path string) (map[proof]result, error) {
	last := map[proof]result{}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return last, nil
	} else if err != nil {
		return nil, err
	}
	for line := range bytes.Lines(text) {
		var r result
		if err := json.Unmarshal(line, &r); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		last[proof{r.Package, r.Test}] = r
	}
	return last, nil
}

// table is the page.
func table(known map[proof]result) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, `# What goes wrong, and what happens then

Written by `+"`make reliability`"+`; do not edit. Each row is something that went wrong in programs like this one, what
medprobe promises instead, and the tests that show it, with what they measured at full count in their last run. A
test without a figure passed, and its name says what that means. `+"`make test`"+` runs all of them at a smaller count, and
`+"`make fuzz`"+` looks for more in every parser.

%s
| # | threat | promise | test and its last run |
|---:|---|---|---|
`, where(known))
	for _, t := range threats {
		var shown []string
		for _, p := range t.Tests {
			shown = append(shown, cell(p, known[p]))
		}
		if t.Short != "" {
			shown = append(shown, "not yet: "+t.Short)
		}
		fmt.Fprintf(&b, "| %d | %s | %s | %s |\n", t.Number, t.Name, t.Goal, strings.Join(shown, "<br>"))
	}
	return b.Bytes()
}

func cell(p proof, r result) string {
	name := fmt.Sprintf("`%s` in `%s`", p.Test, p.Package)
	said := strings.ReplaceAll(strings.Join(r.Measured, "; "), "|", `\|`)
	switch r.Outcome {
	case "pass":
		return name + ": " + cmp.Or(said, "passed")
	case "skip":
		return name + ": **skipped on this machine**"
	case "":
		return name + ": **not run**"
	}
	return name + ": **FAILED** " + said
}

// where says when, of what and on which machine the results are.
func where(known map[proof]result) string {
	var days, commits []string
	for _, r := range known {
		days, commits = append(days, r.Time.Format(time.DateOnly)), append(commits, r.Commit)
	}
	slices.Sort(days)
	slices.Sort(commits)
	if len(days) == 0 {
		return "Nothing was run yet.\n"
	}
	day := days[0]
	if last := days[len(days)-1]; last != day {
		day += " to " + last
	}
	return fmt.Sprintf("%s, commit %s; %s, %d processors, %s/%s, %s.\n", day, strings.Join(slices.Compact(commits), ", "), processor(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, strings.Join(versions(), ", "))
}

func commit() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

func processor() string {
	text, _ := os.ReadFile("/proc/cpuinfo") // elsewhere it has no such name
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "an unnamed processor"
}

// versions are those of what the tests run on.
func versions() []string {
	all := []string{runtime.Version()}
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Path}} {{.Version}}", "github.com/yalue/onnxruntime_go", "github.com/mattn/go-sqlite3").Output()
	if err == nil {
		for line := range strings.Lines(string(out)) {
			all = append(all, strings.TrimSpace(filepath.Base(strings.TrimSpace(line))))
		}
	}
	return all
}
