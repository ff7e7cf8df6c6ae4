package datasets

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/medprobe/medprobe/internal/needs"
)

func TestPathsOutsideOnlyWhereTheyAreAllowed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "outside.png", "outside")
	write(t, dir, "other.png", "outside")
	table := write(t, dir, "in/labels.csv", "path,effusion\n../outside.png,1\n"+filepath.Join(dir, "other.png")+",0\nfile:///etc/passwd,1\n"+strings.Repeat("x", 5000)+".png,1\n")
	d := open(t, Spec{Format: "csv", Path: table, AllowOutside: true})
	if len(d.Samples) != 3 || len(d.Excluded) != 1 {
		t.Fatalf("%v, excluded %v", ids(d), d.Excluded)
	}
	for _, s := range d.Samples {
		content, err := d.Content(s.Source)
		if long := len(s.Source.Path) > 4000; long != (err != nil) || !long && string(content.data) != "outside" {
			t.Errorf("%.80s: %v", s.Source.Path, err)
		}
	}
	d = open(t, Spec{Format: "csv", Path: write(t, dir, "in/all.csv", "path,effusion\nlabels.csv,1\n../outside.png,0\n")})
	if len(d.Samples) != 1 || !strings.Contains(d.Excluded[0].Reason, "--allow-outside") {
		t.Errorf("%v, excluded %v", ids(d), d.Excluded)
	}
}

// A link that is swapped while it is read is never followed outside.
func TestSwappedLinksAreNotFollowed(t *testing.T) {
	t.Parallel()
	dir, outside := t.TempDir(), write(t, t.TempDir(), "secret.png", "secret")
	write(t, dir, "good.png", "good")
	d := open(t, Spec{Format: "csv", Path: write(t, dir, "labels.csv", "path,effusion\na.png,1\n")})
	swapped := make(chan struct{})
	go func() {
		defer close(swapped)
		link := filepath.Join(dir, "a.png")
		for i := range 1000 {
			tmp := filepath.Join(dir, fmt.Sprint("link", i))
			if os.Symlink([]string{outside, "good.png"}[i%2], tmp) == nil {
				os.Rename(tmp, link)
			}
		}
	}()
	read := 0
	for {
		select {
		case <-swapped:
			if read == 0 {
				t.Error("the link was never read")
			}
			t.Logf("measured: 1000 swaps while it was read %d times: 0 reads outside", read)
			return
		default:
		}
		if content, err := d.Content(d.Samples[0].Source); err == nil {
			if read++; string(content.data) != "good" {
				t.Fatalf("read %q", content.data)
			}
		}
	}
}

func TestLinksInACircleEnd(t *testing.T) {
	t.Parallel()
	dir := writeAll(t, map[string]string{"cat/a.png": "x", "dog/b.png": "y"})
	if err := os.Symlink("..", filepath.Join(dir, "cat", "up")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("self.png", filepath.Join(dir, "cat", "self.png")); err != nil {
		t.Fatal(err)
	}
	done := make(chan *Dataset)
	go func() { done <- open(t, Spec{Format: "imagefolder", Path: dir}) }()
	select {
	case d := <-done:
		if len(d.Samples) != 3 {
			t.Errorf("%v", ids(d))
		}
	case <-time.After(10 * time.Second):
		t.Fatal("walking a circle does not end")
	}
}

func TestIDsAreHiddenUnderAKey(t *testing.T) {
	t.Parallel()
	const text = "path,patient,study,effusion\nDoe^Jane/a.png,Doe^Jane,s1,1\nDoe^Jane/b.png,Doe^Jane,s2,0\nc.png,Roe^Jim,s3,1\n,Doe^Jane,s4,1\n"
	read := func(key string) *Dataset {
		d, err := openCSV(t, text, Spec{Labels: []string{"effusion"}, IDKey: []byte(key)})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	d := read("a key of sixteen!")
	patients := map[string]int{}
	for _, s := range d.Samples {
		patients[s.Patient]++
		if all := s.ID + s.Patient + s.Study; strings.Contains(all, "Doe") || strings.Contains(all, "Roe") || len(s.Patient) != 16 {
			t.Errorf("%+v", s)
		}
	}
	if len(patients) != 2 || strings.Contains(fmt.Sprint(d.Excluded), "Doe") {
		t.Errorf("patients %v, excluded %v", patients, d.Excluded)
	}
	if again, other := read("a key of sixteen!"), read("another of sixteen"); again.Samples[0].ID != d.Samples[0].ID || other.Samples[0].ID == d.Samples[0].ID {
		t.Error("ids do not depend on the key alone")
	}
	if d.Samples[0].Source.Path != "Doe^Jane/a.png" {
		t.Error("the image is not found any more")
	}
}

func TestPretrainingData(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/data/mimic-cxr-jpg/2.0.0": "MIMIC-CXR", "/data/PAD-UFES-20/metadata.csv": "PAD-UFES-20", "/data/SCIN/labels.csv": "SCIN", "/x/TCGA_BRCA/t.csv": "TCGA",
		"/x/camelyon17/t.csv": "CAMELYON", "/x/EyePACS/t.csv": "EyePACS", "/x/pmc_oa/t.csv": "PMC-OA", "/x/slake/t.csv": "Slake-VQA",
		"/data/vinci/scint.csv": "", "/data/own/labels.csv": "", "/tcga/a/b/c/labels.csv": "",
	} {
		if got := pretrainingOf(Spec{Format: "csv", Path: path}); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	if got := pretrainingOf(Spec{Format: "csv", Path: "x.csv", Provenance: "the Mendeley Digital Knee X-Ray images"}); got == "" {
		t.Error("provenance is not looked at")
	}
}

func TestContentsAndPixels(t *testing.T) {
	t.Parallel()
	dir := writeAll(t, map[string]string{
		"a.png": picture(t, 1), "b.png": picture(t, 1), "c.png": picture(t, 9), "broken.png": "no image", "empty.png": "",
		"labels.csv": "path,split,effusion\na.png,train,1\nb.png,test,0\nc.png,train,1\nbroken.png,test,1\nempty.png,train,1\nlost.png,train,0\n",
	})
	d := open(t, Spec{Format: "csv", Path: filepath.Join(dir, "labels.csv"), Labels: []string{"effusion"}})
	c, problems, err := ReadContents(t.Context(), d, ContentOptions{Pixels: true})
	if err != nil || len(problems) != 3 {
		t.Fatalf("%v, %v", err, problems)
	}
	in := Inspect(d)
	in.AddContents(d, c)
	if len(in.Leakage) != 1 || in.Leakage[0].Kind != "content" {
		t.Errorf("leaks %v", in.Leakage)
	}
	if missing := d.LookForFiles(); len(missing) != 1 || !strings.Contains(missing[0].What, "1 of 6 samples") || !strings.Contains(missing[0].What, "lost.png") {
		t.Errorf("%v", missing)
	}
}

func FuzzWebDataset(f *testing.F) {
	f.Add([]byte(strings.Repeat("\x00", 1024)))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "x.tar")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		d, err := Open(t.Context(), Spec{Format: "webdataset", Path: path})
		if err != nil {
			return
		}
		defer d.Close()
		for _, s := range d.Samples {
			_, _ = d.Content(s.Source)
		}
	})
}

// Archives that promise terabytes, or members without end, or lead elsewhere: refused,
// or read without what is wrong with them, and soon.
func TestHostileArchivesEndSoon(t *testing.T) {
	needs.Time(t)
	t.Parallel()
	const terabyte = 1 << 40
	header := func(name string, kind byte, size int64, link string) []byte {
		b := make([]byte, 512)
		copy(b, name)
		copy(b[100:], "0000600\x000000000\x000000000\x00")
		copy(b[124:], fmt.Sprintf("%011o\x00%011o\x00        ", size, 0))
		b[156] = kind
		copy(b[157:], link)
		copy(b[257:], "ustar\x0000")
		if kind == 'S' { // an old GNU sparse file: a real size, and no blocks of data
			copy(b[257:], "ustar  \x00")
			copy(b[386:], fmt.Sprintf("%011o\x00%011o\x00", int64(terabyte), 0))
			copy(b[483:], "\x80\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00")
		}
		sum := 0
		for _, v := range b {
			sum += int(v)
		}
		copy(b[148:], fmt.Sprintf("%06o\x00 ", sum))
		return b
	}
	end := make([]byte, 1024)
	archives := map[string][]byte{
		"sparse image of 1 TB":   append(header("a.png", 'S', 0, ""), end...),
		"sparse label of 1 TB":   append(header("a.json", 'S', 0, ""), end...),
		"a link, and through it": append(append(header("a", '2', 0, "/tmp"), header("a/x.png", '0', 0, "")...), end...),
		"hard link":              append(header("a.png", '1', 0, "/etc/passwd"), end...),
		"device":                 append(header("a.png", '3', 0, ""), end...),
		"pipe":                   append(header("a.png", '6', 0, ""), end...),
		"a million members":      []byte(strings.Repeat(string(header("a.png", '0', 0, "")), 1000)),
	}
	longest := time.Duration(0)
	for name, archive := range archives {
		for _, packed := range []bool{false, true} {
			file, data := "x.tar", string(archive)
			if name == "a million members" {
				if !packed {
					continue // half a gigabyte
				}
				data = strings.Repeat(data, 1001)
			}
			if packed {
				file, data = "x.tar.gz", gz(t, data)
			}
			path := write(t, t.TempDir(), file, data)
			start := time.Now()
			d, err := Open(t.Context(), Spec{Format: "webdataset", Path: path})
			longest = max(longest, time.Since(start))
			if err != nil {
				continue
			}
			if len(d.Samples) > 0 {
				t.Errorf("%s: %d samples: want none", name, len(d.Samples))
			}
			d.Close()
		}
	}
	t.Logf("measured: %d archives, packed and not: no sample of any, %.1f s at most", len(archives), longest.Seconds())
}
