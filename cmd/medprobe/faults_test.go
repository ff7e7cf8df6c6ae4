package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/png"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/medprobe/medprobe/internal/needs"
)

func TestKilledEmbedLosesNothing(t *testing.T) {
	needs.Time(t)
	t.Parallel()
	spec := "csv:" + filepath.Join(phantoms(t), "labels.csv")
	whole := newMachine(t)
	whole.hasDemo()
	start := time.Now()
	samples := whole.embed(spec).Samples
	most := max(400, int(time.Since(start).Milliseconds())) // of what it takes here and now
	want := whole.vectors(spec)

	// One cache, killed again and again in the middle of its work: what was
	// reported stays stored, so that the work comes to its end.
	often := newMachine(t)
	often.hasDemo() // the import is not what is killed
	kills := 0
	for through := false; !through; kills++ {
		before := 0
		if kills > 0 {
			before = often.stored()
		}
		var reported int
		if reported, _, through = often.killAfter(4, spec); often.stored() < reported {
			t.Errorf("%d samples were reported as done, %d are stored", reported, often.stored())
		}
		if after := often.stored(); after <= before && !through {
			t.Fatalf("%d vectors before the kill, %d after", before, after)
		}
	}
	if got := often.vectors(spec); !slices.Equal(got, want) {
		t.Error("vectors differ from those of an uninterrupted run")
	}
	t.Logf("measured: %d runs, all but the last of them killed, stored %d vectors", kills, samples)

	// And at any moment whatever.
	random := rand.New(rand.NewPCG(1, 2))
	partial := 0
	for range 12 {
		m := newMachine(t)
		m.hasDemo()
		m.kill(time.Duration(20+random.IntN(most))*time.Millisecond, os.Kill, "embed", spec, "--encoder", "demo")
		stored := m.stored()
		if stored > 0 && stored < samples {
			partial++
		}
		if e := m.embed(spec); e.Cached != stored || e.Failed != 0 || e.Samples != samples {
			t.Errorf("after a kill with %d vectors stored: %+v", stored, e)
		}
		if got := m.vectors(spec); !slices.Equal(got, want) {
			t.Error("vectors differ from those of an uninterrupted run")
		}
	}
	t.Logf("measured: %d of 12 kills came in the middle", partial)
}

func TestInterruptIsExit130AndGoesOn(t *testing.T) {
	needs.Time(t)
	t.Parallel()
	spec := "csv:" + filepath.Join(phantoms(t), "labels.csv")
	for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		m := newMachine(t)
		m.hasDemo()
		code := 0
		// A machine may be slow to start or quick to finish: seek the middle.
		for after := 40 * time.Millisecond; after < 2*time.Second && code != exitInterrupt; after += 40 * time.Millisecond {
			code = m.kill(after, signal, "embed", spec, "--encoder", "demo", "--workers", "1")
			if stored := m.stored(); stored > 0 && code == 0 {
				break // it was through
			}
		}
		if code != exitInterrupt && m.stored() == 0 {
			t.Errorf("%v: exit %d: want %d", signal, code, exitInterrupt)
		}
		stored := m.stored()
		if e := m.embed(spec); e.Cached != stored || e.Failed != 0 {
			t.Errorf("%v: %d vectors were stored, then %+v", signal, stored, e)
		}
	}
}

// peak runs a command that must succeed within 4 GB of address space and
// returns how much memory it held at most, in MB.
func (m *machine) peak(args ...string) int64 {
	m.Helper()
	cmd := m.command(args...)
	cmd.Path, cmd.Args = "/bin/sh", append([]string{"sh", "-c", `ulimit -v 4194304 2>/dev/null; exec "$0" "$@"`, m.program}, args...)
	if text, code := m.run(cmd); code != exitOK {
		m.Fatalf("exit %d: %s", code, text)
	}
	unit := int64(1 << 10) // of Maxrss, per MB
	if runtime.GOOS == "darwin" {
		unit = 1 << 20
	}
	return cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss / unit
}

// bomb is a PNG whose header promises far more than the file holds.
func bomb(width, height uint32) []byte {
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 1, 1))); err != nil {
		panic(err)
	}
	data := b.Bytes()
	binary.BigEndian.PutUint32(data[16:], width)
	binary.BigEndian.PutUint32(data[20:], height)
	binary.BigEndian.PutUint32(data[29:], crc32.ChecksumIEEE(data[12:29]))
	return data
}

// table writes labels.csv for the files and returns its spec.
func table(t testing.TB, dir string, names []string) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("path,y\n")
	for i, name := range names {
		fmt.Fprintf(&b, "%q,%d\n", name, i%2)
	}
	if err := os.WriteFile(filepath.Join(dir, "labels.csv"), []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	return "csv:" + filepath.Join(dir, "labels.csv")
}

func TestBombsAndBrokenImagesCostOnlyThemselves(t *testing.T) {
	t.Parallel()
	dir, m := t.TempDir(), newMachine(t)
	var names []string
	write := func(name string, data []byte) {
		names = append(names, name)
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("bomb.png", bomb(50_000, 50_000))
	write("line.png", bomb(1<<31-1, 1))
	write("good.png", picture(t, 40))
	write("fine.png", picture(t, 60))
	random := rand.New(rand.NewPCG(3, 4))
	whole := picture(t, 200)
	mutations := 300
	if testing.Short() {
		mutations = 30
	}
	for i := range mutations {
		data := slices.Clone(whole)
		for range 1 + random.IntN(8) {
			data[random.IntN(len(data))] = byte(random.IntN(256))
		}
		write(fmt.Sprintf("mutant-%03d.png", i), data[:len(data)-random.IntN(2)*random.IntN(len(data))])
	}
	// Both processes have an image to encode; --preprocess, so that it is not
	// found in the cache below.
	plain := m.peak("embed", table(t, dir, []string{"good.png", "fine.png"}), "--encoder", "demo", "--preprocess", "big-vision")
	mined := m.peak("embed", table(t, dir, []string{"bomb.png", "line.png", "good.png"}), "--encoder", "demo", "--preprocess", "big-vision", "--cache", "other.db", "--max-failures", "inf")
	grown := mined - plain
	if grown > 256 {
		t.Errorf("the bombs took %d MB beside the %d of one image", grown, plain)
	}
	spec := table(t, dir, names)
	e := m.embed(spec, "--max-failures", "inf")
	if e.Samples != len(names) || e.Failed < 2 || e.Embedded < 1 {
		t.Errorf("%+v of %d files", e, len(names))
	}
	if again := m.embed(spec, "--max-failures", "inf"); again.Embedded != 0 || again.Failed != e.Failed {
		t.Errorf("again: %+v, first %+v", again, e)
	}
	t.Logf("measured: two bombs and %d mutants through embed: %d embedded, %d failed; the bombs took %d MB more than one image", mutations, e.Embedded, e.Failed, max(0, grown))
	// A limit of one's own.
	if e := m.embed(table(t, dir, []string{"good.png"}), "--max-pixels", "100", "--max-failures", "inf"); e.Cached != 1 {
		t.Errorf("what is stored needs no decoding: %+v", e)
	}
	if e := m.embed(table(t, dir, []string{"good.png"}), "--max-pixels", "100", "--max-failures", "inf", "--preprocess", "padded"); e.Failed != 1 {
		t.Errorf("64 × 64 pixels with a limit of 100: %+v", e)
	}
}

// picture is a PNG of 64 × 64 pixels.
func picture(t testing.TB, level uint8) []byte {
	t.Helper()
	img := image.NewGray(image.Rect(0, 0, 64, 64))
	for i := range img.Pix {
		img.Pix[i] = level + uint8(i%7)
	}
	img.SetGray(3, 5, color.Gray{Y: 255})
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestRealHostileImages(t *testing.T) {
	t.Parallel()
	dir, m := needs.Data(t, "hostile-images"), newMachine(t)
	var rows strings.Builder
	rows.WriteString("path,y\n")
	n := 0
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		fmt.Fprintf(&rows, "%q,%d\n", filepath.ToSlash(name), n%2)
		n++
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	csv, yaml := filepath.Join(m.home, "labels.csv"), filepath.Join(m.home, "hostile.yaml")
	for file, text := range map[string]string{csv: rows.String(), yaml: "format: csv\npath: labels.csv\nroot: " + dir + "\nlabels: [y]\n"} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	m.peak("embed", yaml, "--encoder", "demo", "--max-failures", "inf", "--cache", "bounded.db")
	e := m.embed(yaml, "--max-failures", "inf")
	if e.Samples != n || e.Failed == 0 {
		t.Errorf("%d files: %+v", n, e)
	}
	t.Logf("measured: %d hostile images under 4 GB: %d embedded, %d cached, %d failed, 0 panics", n, e.Embedded, e.Cached, e.Failed)
}

func TestStrangeNamesOfFiles(t *testing.T) {
	t.Parallel()
	dir, m := filepath.Join(t.TempDir(), "Röntgen bilder"), newMachine(t)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	names := []string{"Müller, Jörg.png", "two\nlines.png", "胸部.png", "-rf.png", "'quoted'.png"}
	var rows strings.Builder
	rows.WriteString("path,y\n")
	for i, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), picture(t, uint8(20*i)), 0o644); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&rows, "\"%s\",%d\n", name, i%2)
	}
	rows.WriteString("\"gone\x1b[2J\u202e.png\",1\n")
	if err := os.WriteFile(filepath.Join(dir, "labels.csv"), []byte(rows.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := m.command("embed", "csv:"+filepath.Join(dir, "labels.csv"), "--encoder", "demo", "--max-failures", "0")
	text, code := m.run(cmd)
	if code != exitError || strings.ContainsAny(text, "\x1b\u202e") || !strings.Contains(text, "gone") {
		t.Errorf("exit %d, %q: want an error that shows the name without its control characters", code, text)
	}
	if e := m.embed("csv:"+filepath.Join(dir, "labels.csv"), "--max-failures", "1"); e.Failed != 1 || e.Embedded+e.Cached != len(names) {
		t.Errorf("%+v", e)
	}
}

func TestCacheAndRunsArePrivateWhateverTheUmask(t *testing.T) {
	t.Parallel()
	for _, umask := range []string{"000", "077"} {
		m := newMachine(t)
		cmd := m.command()
		cmd.Path, cmd.Args = "/bin/sh", []string{"sh", "-c", "umask " + umask + "; exec \"$0\" embed imagefolder:images --encoder demo", m.program}
		for _, class := range []string{"a", "b"} {
			if err := os.MkdirAll(filepath.Join(m.home, "images", class), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(m.home, "images", class, "x.png"), picture(t, class[0]), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if text, code := m.run(cmd); code != 0 {
			t.Fatalf("umask %s: exit %d: %s", umask, code, text)
		}
		for path, want := range map[string]os.FileMode{"cache/medprobe": 0o700, "cache/medprobe/cache.db": 0o600} {
			info, err := os.Stat(filepath.Join(m.home, path))
			if err != nil {
				t.Fatal(err)
			}
			if got := info.Mode().Perm(); got != want {
				t.Errorf("umask %s: %s has permissions %o: want %o", umask, path, got, want)
			}
		}
	}
}

func TestClosedPipesAndStrangeEnvironments(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	// Readers that go away, of much and of little; standard streams that are
	// not there. sh's own exit code is that of the last command.
	var many strings.Builder
	many.WriteString(`["0"`)
	for i := range 20_000 {
		fmt.Fprintf(&many, `,"%d"`, i)
	}
	if err := os.WriteFile(filepath.Join(m.home, "many.json"), []byte(many.String()+"]"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ script, want string }{
		{`"$0" tokenize --encoder demo --file many.json | head -1`, `{"text":"0",`},
		{`"$0" --help | head -1`, "medprobe turns"},
		{`"$0" tokenize --encoder demo a <&-`, `{"text":"a",`},
		{`"$0" tokenize --encoder demo a 2>&-`, `{"text":"a",`},
		{`"$0" embed csv:none.csv --encoder demo 2>&-; echo $?`, "1"},
		{`"$0" tokenize --encoder demo a >&-; echo $?`, "0"},
	} {
		cmd := m.command()
		cmd.Path, cmd.Args = "/bin/sh", []string{"sh", "-c", c.script, m.program}
		if text, code := m.run(cmd); code != 0 || !strings.HasPrefix(text, c.want) {
			t.Errorf("%s: exit %d, %.100q: want %q", c.script, code, text, c.want)
		}
	}
	// A disk that is full.
	if full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0); err == nil {
		defer full.Close()
		for _, args := range [][]string{{"doctor"}, {"encoder", "show", "demo", "--json"}, {"tokenize", "--encoder", "demo", "a"}} {
			cmd := m.command(args...)
			cmd.Stdout = full
			if text, code := m.run(cmd); code != exitError || !strings.Contains(text, "no space left") {
				t.Errorf("%v to a full disk: exit %d, %q", args, code, text)
			}
		}
	}
	// A reader that was never there.
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	read.Close()
	cmd := m.command("--help")
	cmd.Stdout = write
	if _, code := m.run(cmd); code != 0 && code != -1 && code != exitError {
		t.Errorf("closed pipe: exit %d", code)
	}
	write.Close()
	// No standard input, another language, time and terminal.
	cmd = m.command("tokenize", "--encoder", "demo", "a nodule")
	cmd.Stdin = nil
	cmd.Env = append(cmd.Env, "LANG=de_DE.UTF-8", "LC_ALL=tr_TR.UTF-8", "TZ=Pacific/Kiritimati", "TERM=dumb", "NO_COLOR=1")
	if text, code := m.run(cmd); code != 0 || !strings.Contains(text, `"input_ids":[`) {
		t.Errorf("exit %d: %s", code, text)
	}
	// A home that cannot be written.
	if runtime.GOOS == "linux" {
		cmd = m.command("embed", "csv:labels.csv", "--encoder", "demo")
		cmd.Env = append(cmd.Env, "HOME=/proc", "XDG_CACHE_HOME=/proc/nowhere")
		if err := os.WriteFile(filepath.Join(m.home, "labels.csv"), []byte("path,y\na.png,1\nb.png,0\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if text, code := m.run(cmd); code != exitError || !strings.Contains(text, "/proc/nowhere") {
			t.Errorf("exit %d: %s: want an error that names the folder", code, text)
		}
	}
}

// A finding may be called anything; in the page and in Markdown it is a name.
func TestHostileLabelStaysAName(t *testing.T) {
	t.Parallel()
	const label = "<img src=x onerror=alert(1)>"
	dir, m := phantoms(t), newMachine(t)
	labels, err := os.ReadFile(filepath.Join(dir, "labels.csv"))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"labels.csv": strings.Replace(string(labels), "effusion", label, 1),
		"experiment.yaml": fmt.Sprintf(`data: {format: csv, path: labels.csv, labels: [%[1]q, opacity]}
encoder: demo
heads: [logistic]
curve: {shots: [2, 4], draws: 2}
near_duplicates: {thumbnails: "no"}
prompts:
  %[1]q: {positive: [an effusion], negative: [no effusion]}
  opacity: {positive: [an opacity], negative: [no opacity]}
`, label),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if out := m.must("run", filepath.Join(dir, "experiment.yaml")); !strings.Contains(out, label) {
		t.Errorf("the terminal shows %s: want the label as it is", out)
	}
	page := filepath.Join(dir, "run", "report.html")
	html, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(html), "&lt;img src=x onerror=alert(1)&gt;"); n < 3 || strings.Contains(string(html), "<img") {
		t.Errorf("the page names the label %d times, or shows an image", n)
	}
	m.must("report", filepath.Join(dir, "run"), "--markdown", filepath.Join(dir, "comment.md"))
	if markdown, err := os.ReadFile(filepath.Join(dir, "comment.md")); err != nil || strings.Contains(string(markdown), "<img") {
		t.Errorf("Markdown: %v\n%s", err, markdown)
	}

	browser, err := exec.LookPath("chromium")
	if err != nil {
		needs.Opinion(t, "no chromium; the page's source was read without one")
	}
	dom, err := exec.CommandContext(t.Context(), browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--user-data-dir="+filepath.Join(m.home, "profile"), "--virtual-time-budget=2000", "--dump-dom", "file://"+page).Output()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(dom), "&lt;img src=x onerror=alert(1)&gt;") {
		t.Fatalf("chromium does not show the label: %.300q", dom)
	}
	// The page's own script is named in its policy by its digest. In the value of an
	// attribute, which chromium writes with its quotes escaped, a name is a name.
	dom = regexp.MustCompile(`(?s)<script>"use strict";.*?</script>`).ReplaceAll(dom, nil)
	dom = regexp.MustCompile(`="[^"]*"`).ReplaceAll(dom, []byte(`=""`))
	if found := regexp.MustCompile(`(?i)<(img|script|iframe|object|embed)\b|<[^>]*\son[a-z]+=`).Find(dom); found != nil {
		t.Errorf("chromium made %q of the page", found)
	}
}
