package datasets

import (
	"archive/tar"
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/medprobe/medprobe/internal/needs"
)

func tarOf(t *testing.T, members ...[2]string) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, m := range members {
		if err := w.WriteHeader(&tar.Header{Name: m[0], Mode: 0o600, Size: int64(len(m[1]))}); err != nil {
			t.Fatal(err)
		}
		w.Write([]byte(m[1]))
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestWebDataset(t *testing.T) {
	t.Parallel()
	train := tarOf(t, [2]string{"./000/a.png", picture(t, 1)}, [2]string{"./000/a.cls", "0\n"}, [2]string{"./000/a.json", `{"patient": "p1", "site": "B"}`},
		[2]string{"./000/b.seg.png", "x"}, [2]string{"./000/b.png", picture(t, 2)}, [2]string{"./000/b.cls", "1"})
	test := tarOf(t, [2]string{"c.png", picture(t, 3)}, [2]string{"c.json", `{"label": "sick", "patient": "p3"}`}, [2]string{"d.txt", "no image"})
	dir := writeAll(t, map[string]string{"train-000.tar": train, "test-000.tar.gz": gz(t, test)})
	d := open(t, Spec{Format: "webdataset", Path: dir, Classes: []string{"well", "sick"}})
	if in := Inspect(d); in.Splits["train"] != 2 || in.Splits["test"] != 1 || len(d.Excluded) != 1 {
		t.Fatalf("%+v, excluded %v", in, d.Excluded)
	}
	if a, b, c := labelsOf(t, d, "train-000/000/a"), labelsOf(t, d, "train-000/000/b"), labelsOf(t, d, "test-000/c"); a+b+c != "-++" {
		t.Errorf("labels %s %s %s", a, b, c)
	}
	decodes(t, d)
	content, err := d.Content(d.Samples[1].Source)
	if err != nil {
		t.Fatal(err)
	}
	if whole := (Content{data: []byte(picture(t, 1))}); content.Digest() != whole.Digest() {
		t.Error("the content of a member is not that of the file")
	}
	one := open(t, Spec{Format: "webdataset", Path: filepath.Join(dir, "train-{000..000}.tar"), Classes: []string{"well", "sick"}})
	if len(one.Samples) != 2 || one.Attr(0, "site") != "B" {
		t.Errorf("%v, %v", ids(one), one.Attributes)
	}
}

func TestWebDatasetRefusesWhatLeadsElsewhere(t *testing.T) {
	t.Parallel()
	needs.Time(t)
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	good := picture(t, 1)
	for _, h := range []*tar.Header{
		{Name: "ok.png", Size: int64(len(good))}, {Name: "ok.cls", Size: 1}, {Name: "fine.png", Size: int64(len(good))}, {Name: "fine.cls", Size: 1},
		{Name: "../../etc/x.png", Size: 1}, {Name: "/etc/y.png", Size: 1},
		{Name: "link.png", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}, {Name: "hard.png", Typeflag: tar.TypeLink, Linkname: "/etc/passwd"},
		{Name: "dev.png", Typeflag: tar.TypeChar}, {Name: "big.json", Size: maxMeta + 1}, {Name: "big.png", Size: 1},
	} {
		h.Mode = 0o600
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		switch h.Name {
		case "ok.png", "fine.png":
			w.Write([]byte(good))
		case "ok.cls":
			w.Write([]byte("a"))
		default:
			w.Write(bytes.Repeat([]byte("b"), int(h.Size)))
		}
	}
	w.Close()
	d := open(t, Spec{Format: "webdataset", Path: filepath.Join(writeAll(t, map[string]string{"x.tar": b.String()}), "x.tar")})
	if len(d.Samples) != 2 || len(d.Excluded) != 6 {
		t.Errorf("%v, excluded %v", ids(d), d.Excluded)
	}
	bomb := gz(t, strings.Repeat("\x00", 300<<20))
	_, err := Open(t.Context(), Spec{Format: "webdataset", Path: filepath.Join(writeAll(t, map[string]string{"x.tar.gz": bomb}), "x.tar.gz")})
	if err == nil || !strings.Contains(err.Error(), "bomb") {
		t.Errorf("a bomb: %v", err)
	}
}

func TestTarArchivesAreBounded(t *testing.T) {
	t.Parallel()
	header := func(name string, kind byte, size string) []byte {
		b := make([]byte, 512)
		copy(b, name)
		copy(b[100:], "0000600\x00")
		copy(b[124:], size)
		b[156] = kind
		copy(b[257:], "ustar\x0000")
		copy(b[148:], "        ")
		sum := 0
		for _, v := range b {
			sum += int(v)
		}
		copy(b[148:], fmt.Sprintf("%06o\x00 ", sum))
		return b
	}
	three := write(t, t.TempDir(), "x.tar", tarOf(t, [2]string{"a.png", "x"}, [2]string{"b.png", "x"}, [2]string{"c.png", "x"}))
	f, err := openTar(t.Context(), three)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	reader := &tarReader{dataset: &Dataset{}, members: maxTarMembers - 2, attrs: map[string]int{}}
	if err := reader.read(t.Context(), 0, "x.tar", f); err == nil || !strings.Contains(err.Error(), "more than 1000000 members") {
		t.Errorf("more than a million members: %v", err)
	}
	for name, archive := range map[string][]byte{
		"a pax header of 100 MB":  append(header("x", tar.TypeXHeader, "00575360400\x00"), make([]byte, 4096)...),
		"a name of 100 MB":        append(header("x", tar.TypeGNULongName, "00575360400\x00"), make([]byte, 4096)...),
		"an image of 1 TB":        append(header("x.png", tar.TypeReg, "\x80\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00"), make([]byte, 4096)...),
		"a size that is negative": append(header("x.png", tar.TypeReg, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00"), make([]byte, 4096)...),
	} {
		path := write(t, t.TempDir(), "x.tar", string(archive))
		d, err := Open(t.Context(), Spec{Format: "webdataset", Path: path})
		if err == nil {
			for _, s := range d.Samples {
				if _, err := d.Content(s.Source); err == nil {
					t.Errorf("%s: a sample was read", name)
				}
			}
			d.Close()
		}
	}
}
