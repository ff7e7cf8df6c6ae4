package medprobe_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/medprobe/medprobe/datasets"
	"github.com/medprobe/medprobe/datasets/phantom"
	"github.com/medprobe/medprobe/encoder"
	"github.com/medprobe/medprobe/experiment"
	"github.com/medprobe/medprobe/internal/layouts"
	"github.com/medprobe/medprobe/internal/needs"
	"github.com/medprobe/medprobe/registry"
	"github.com/medprobe/medprobe/trainer"
)

var update = flag.Bool("update", false, "rewrite what the pages say that commands print")

// The pages hold two kinds of blocks that are executed, one after the other, in
// a folder of the page's own that holds drawn radiographs as labels.csv and
// images, a few samples of every layout, and the real data where there is any:
//
//   - a block whose first line is "# NAME.yaml" is written to that file, and
//     must load if it is an experiment;
//   - in a "console" block, each line that begins with "$ " is run by a shell,
//     together with lines right below that begin with "> ", and what it writes to standard output must be the lines that follow. "…"
//     in a line stands for any text. A line with jq, which a machine need not
//     have, is passed over where there is none.
//
// Fields of report.json that a page names are looked up in the run that the page
// leaves behind.
func TestPagesSayWhatTheCommandsDo(t *testing.T) {
	needs.Time(t)
	stage := newStage(t)
	for _, page := range pages(t) {
		t.Run(page, func(t *testing.T) { newPageTest(t, page, stage).run() })
	}
}

// stage is what every page begins with, made once: the program, the library that
// it runs on, and drawn radiographs.
type stage struct{ bin, library, drawn string }

func newStage(t *testing.T) stage {
	t.Helper()
	rt, _, err := encoder.FindRuntime("")
	if err != nil {
		needs.Skip(t, err.Error())
	}
	s := stage{t.TempDir(), rt.Path, t.TempDir()}
	if out, err := exec.Command("go", "build", "-o", filepath.Join(s.bin, "medprobe"), "./cmd/medprobe").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := phantom.WriteDataset(t.Context(), s.drawn, phantom.Options{Seed: 7, Train: 40, Test: 40}); err != nil {
		t.Fatal(err)
	}
	return s
}

// pages lists the pages for users.
func pages(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, pattern := range []string{"*.md", "docs/*.md", "examples/*/README.md"} {
		some, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, some...)
	}
	return all
}

type pageTest struct {
	*testing.T
	page, dir string
	home      string
	env       []string
}

func newPageTest(t *testing.T, page string, s stage) *pageTest {
	t.Helper()
	dir, home := t.TempDir(), t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(s.drawn)); err != nil {
		t.Fatal(err)
	}
	layouts.Write(t, dir)
	env := append(os.Environ(), "PATH="+s.bin+string(os.PathListSeparator)+os.Getenv("PATH"), "HOME="+home, "XDG_CACHE_HOME="+home, "XDG_CONFIG_HOME=", "MEDPROBE_REGISTRY=",
		"MEDPROBE_CACHE=", "MEDPROBE_ENCODERS=", "MEDPROBE_ORT_LIB="+s.library)
	return &pageTest{T: t, page: page, dir: dir, home: home, env: env}
}

func (p *pageTest) run() {
	text, err := os.ReadFile(p.page)
	if err != nil {
		p.Fatal(err)
	}
	if _, err := exec.LookPath("openssl"); err != nil && bytes.Contains(text, []byte("\n$ openssl ")) {
		needs.Opinion(p, "the page makes keys with openssl, which is not here")
	}
	if folder := filepath.Dir(p.page); strings.HasPrefix(folder, "examples") && bytes.Contains(text, []byte("```console")) {
		p.copyExample(folder)
	}
	lines := strings.Split(string(text), "\n")
	var out []string
	for i := 0; i < len(lines); i++ {
		out = append(out, lines[i])
		kind, fenced := strings.CutPrefix(lines[i], "```")
		if !fenced || kind == "" {
			continue
		}
		end := i + 1 + slices.Index(lines[i+1:], "```")
		block := lines[i+1 : end]
		switch {
		case kind == "console":
			block = p.console(i+2, block)
		case !p.file(i+2, block) && !slices.Contains(forHeirs, p.page) && kind != "text" && !notRun.MatchString(lines[max(i-1, 0)]):
			p.Errorf("%s:%d: nothing in this block is executed; make it a file or a console, or say why above it: <!-- not run: … -->", p.page, i+1)
		}
		if kind == "sh" {
			p.understood(i+2, block)
		}
		out = append(append(out, block...), "```")
		i = end
	}
	p.fields(string(text))
	if *update {
		if err := os.WriteFile(p.page, []byte(strings.Join(out, "\n")), 0o644); err != nil {
			p.Fatal(err)
		}
	}
}

// copyExample puts the example's experiment where the page is run, with the
// data at its place.
func (p *pageTest) copyExample(folder string) {
	text, err := os.ReadFile(filepath.Join(folder, "experiment.yaml"))
	if err != nil {
		p.Fatal(err)
	}
	const shared = "../../../shared/data/"
	if name, found := bytes.CutPrefix(regexp.MustCompile(regexp.QuoteMeta(shared)+`[a-z-]+`).Find(text), []byte(shared)); found {
		text = bytes.ReplaceAll(text, []byte(shared+string(name)), []byte(needs.Data(p, string(name))))
	}
	p.write("experiment.yaml", text)
}

func (p *pageTest) write(name string, data []byte) {
	if err := os.WriteFile(filepath.Join(p.dir, name), data, 0o644); err != nil {
		p.Fatal(err)
	}
}

var field = regexp.MustCompile("`((?:counts|dataset|encoder|macro|findings\\[\\]|curves\\[\\])\\.[a-z_.\\[\\]]+)`")

// fields looks up what the page says of report.json.
func (p *pageTest) fields(page string) {
	named := field.FindAllStringSubmatch(page, -1)
	if named == nil {
		return
	}
	text, err := os.ReadFile(filepath.Join(p.dir, "run", "report.json"))
	if err != nil {
		p.Fatal(err)
	}
	var report any
	if err := json.Unmarshal(text, &report); err != nil {
		p.Fatal(err)
	}
	for _, name := range named {
		if !holds(report, strings.Split(strings.ReplaceAll(name[1], "[]", ".[]"), ".")) {
			p.Errorf("%s: report.json holds no %s", p.page, name[1])
		}
	}
}

// holds reports whether a path of names and "[]", any element, leads somewhere.
func holds(document any, path []string) bool {
	if len(path) == 0 {
		return true
	}
	if list, ok := document.([]any); ok && path[0] == "[]" {
		return slices.ContainsFunc(list, func(element any) bool { return holds(element, path[1:]) })
	}
	object, _ := document.(map[string]any)
	value, ok := object[path[0]]
	return ok && holds(value, path[1:])
}

var fileName = regexp.MustCompile(`^# ([a-z-]+\.yaml)$`)

// forHeirs are for those who work on medprobe.
var forHeirs = []string{"ARCHITECTURE.md", "CONTRIBUTING.md"}

// notRun is the line above a block that nothing executes, with the reason. Those
// that messages are in (text) are held by TestMistakesAreExplained.
var notRun = regexp.MustCompile(`^<!-- not run: .{20,} -->$`)

// understood sees to it that commands that cannot be run here are there, and have
// the flags that the page gives them.
func (p *pageTest) understood(line int, block []string) {
	for i, text := range block {
		_, command, found := strings.Cut(" "+text, " medprobe ")
		if !found || strings.Contains(text, "docker ") {
			continue
		}
		var words []string
		for word := range strings.FieldsSeq(command) {
			if !regexp.MustCompile(`^[a-z-]+$`).MatchString(word) || strings.HasPrefix(word, "-") {
				break
			}
			words = append(words, word)
		}
		help := strings.Join(p.shell(line+i, "medprobe "+strings.Join(words, " ")+" --help"), "\n")
		for _, flag := range regexp.MustCompile(`--[a-z-]+`).FindAllString(command, -1) {
			if !strings.Contains(help, flag+" ") {
				p.Errorf("%s:%d: %q has no flag %s", p.page, line+i, text, flag)
			}
		}
	}
}

// file writes a block that is a file, and reports whether it is one.
func (p *pageTest) file(line int, block []string) bool {
	if len(block) == 0 {
		return false
	}
	name := fileName.FindStringSubmatch(block[0])
	if name == nil {
		return false
	}
	text := strings.Join(block, "\n") + "\n"
	p.write(name[1], []byte(text))
	if strings.Contains(text, "\nencoder:") {
		if _, err := experiment.Load(filepath.Join(p.dir, name[1])); err != nil {
			p.Errorf("%s:%d: %v", p.page, line, err)
		}
	}
	return true
}

// console runs the commands of a block and returns it with what they print.
func (p *pageTest) console(line int, block []string) []string {
	var out []string
	for i := 0; i < len(block); {
		command, ok := strings.CutPrefix(block[i], "$ ")
		if !ok {
			p.Fatalf("%s:%d: %q: want a command after \"$ \"", p.page, line+i, block[i])
		}
		first := i + 1
		for ; first < len(block) && strings.HasPrefix(block[first], "> "); first++ {
			command += "\n" + block[first][2:]
		}
		end := first
		for end < len(block) && !strings.HasPrefix(block[end], "$ ") {
			end++
		}
		want := block[first:end]
		got := want
		if _, err := exec.LookPath("jq"); err == nil || !strings.Contains(command, "jq ") {
			got = p.shell(line+i, command)
		}
		if !alike(got, want) {
			if !*update {
				p.Errorf("%s:%d: %s prints\n%s\nbut the page says\n%s\n(go test -run Pages -update rewrites it)", p.page, line+i, command, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			want = got
		}
		if *update { // to the digit, but for what changes with every run
			want = slices.Clone(want)
			for k, line := range want {
				if !strings.Contains(line, "…") {
					want[k] = got[k]
				}
			}
		}
		out = append(append(out, block[i:first]...), want...)
		i = end
	}
	return out
}

func (p *pageTest) shell(line int, command string) []string {
	cmd := exec.CommandContext(p.Context(), "sh", "-c", command)
	var stdout, stderr bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = p.dir, p.env, &stdout, &stderr
	if err := cmd.Run(); err != nil {
		p.Errorf("%s:%d: %s: %v\n%s", p.page, line, command, err, stderr.String())
	}
	text := strings.TrimRight(stdout.String(), "\n")
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

var (
	decimal = regexp.MustCompile(`[+−-]?\d+\.\d+`)
	blanks  = regexp.MustCompile(` +`)
)

// alike compares line by line; "…" stands for any text, also for none. Decimals
// may differ by two in the third place: processors add in different orders, and
// one pair of images that changes places moves an AUC.
func alike(got, want []string) bool {
	return slices.EqualFunc(got, want, func(g, w string) bool {
		parts := strings.Split(blanks.ReplaceAllString(decimal.ReplaceAllString(w, "#"), " "), "…")
		for i, part := range parts {
			parts[i] = regexp.QuoteMeta(part)
		}
		plain := blanks.ReplaceAllString(decimal.ReplaceAllString(g, "#"), " ")
		return regexp.MustCompile("^"+strings.Join(parts, ".*")+"$").MatchString(plain) && near(decimals(g), decimals(w))
	})
}

// near compares as many numbers as both have: "…" may hide some.
func near(a, b []float64) bool {
	for i := range min(len(a), len(b)) {
		if math.Abs(a[i]-b[i]) > 0.0021 {
			return false
		}
	}
	return true
}

func decimals(line string) []float64 {
	var numbers []float64
	for _, text := range decimal.FindAllString(line, -1) {
		x, err := strconv.ParseFloat(strings.Replace(text, "−", "-", 1), 64)
		if err != nil {
			panic(err) // the expression matches numbers only
		}
		numbers = append(numbers, x)
	}
	return numbers
}

func TestAlike(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		got, want string
		alike     bool
	}{
		{"a  0.123 (0.100–0.200)", "a  0.124 (0.100–0.200)", true},
		{"a  0.123", "a  0.133", false},
		{"+0.001  x", "−0.001 x", true},
		{"12 patients", "13 patients", false},
		{"1.5 in 3.2 s", "1.5 in … s", true},
		{"b", "a", false},
	} {
		if got := alike([]string{c.got}, []string{c.want}); got != c.alike {
			t.Errorf("%q and %q alike: %v", c.got, c.want, got)
		}
	}
}

// The tables of keys name every key that the YAML files may hold, and no other.
func TestPagesNameEveryKey(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		page, heading string
		keys          []string
	}{
		{"docs/experiment.md", "## Every key", keysOf(reflect.TypeFor[experiment.Config](), "")},
		{"docs/formats.md", "## Every field of a SPEC file", keysOf(reflect.TypeFor[datasets.Spec](), "")},
	} {
		text, err := os.ReadFile(c.page)
		if err != nil {
			t.Fatal(err)
		}
		_, section, found := strings.Cut(string(text), c.heading+"\n")
		if !found {
			t.Fatalf("%s: no heading %q", c.page, c.heading)
		}
		section, _, _ = strings.Cut(section, "\n## ")
		var named []string
		for line := range strings.Lines(section) {
			cells := strings.Split(line, "|")
			if len(cells) < 3 {
				continue
			}
			for _, key := range regexp.MustCompile("`([a-z_.]+)`").FindAllStringSubmatch(cells[1], -1) {
				named = append(named, key[1])
			}
		}
		slices.Sort(named)
		if !slices.Equal(named, c.keys) {
			t.Errorf("%s, %s:\n%v\nbut the keys are\n%v", c.page, c.heading, named, c.keys)
		}
	}
}

// The tables of formats, heads and exports name every one that there is, and no other.
func TestPagesNameEveryFormatHeadAndExport(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		page, header string
		names        []string
	}{
		{"docs/formats.md", "| format | path |", datasets.Formats()},
		{"docs/heads.md", "| head | what it is |", append(trainer.Kinds(), trainer.ValueKinds()...)},
		{"docs/registry.md", "| `--format` | what |", append(registry.Formats(), registry.EndToEnd)},
	} {
		text, err := os.ReadFile(c.page)
		if err != nil {
			t.Fatal(err)
		}
		_, table, found := strings.Cut(string(text), "\n"+c.header)
		if !found {
			t.Fatalf("%s: no table %q", c.page, c.header)
		}
		table, _, _ = strings.Cut(table, "\n\n")
		var named []string
		for _, row := range strings.Split(table, "\n")[2:] {
			for _, name := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(strings.Split(row, "|")[1], -1) {
				named = append(named, name[1])
			}
		}
		slices.Sort(named)
		slices.Sort(c.names)
		if !slices.Equal(named, c.names) {
			t.Errorf("%s, %s:\n%v\nbut there are\n%v", c.page, c.header, named, c.names)
		}
	}
}

// keysOf lists the YAML keys of a struct, those of structs inside it by their
// path; what has a page or a form of its own is one key.
func keysOf(of reflect.Type, prefix string) []string {
	var keys []string
	for f := range of.Fields() {
		key := prefix + f.Tag.Get("yaml")
		if f.Tag.Get("yaml") == "-" {
			continue
		}
		if f.Type.Kind() == reflect.Struct && f.Type != reflect.TypeFor[datasets.Spec]() && f.Type != reflect.TypeFor[datasets.ByFinding]() {
			keys = append(keys, keysOf(f.Type, key+".")...)
		} else {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}
