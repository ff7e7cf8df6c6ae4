package datasets

import (
	"archive/tar"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const (
	// maxTarMembers bounds one archive.
	maxTarMembers = 1_000_000
	// maxMeta bounds a member that holds labels, maxPax the headers between two
	// members: an archive may say a great deal before it says anything.
	maxMeta = 1 << 20
	// An archive that is packed may grow maxTarRatio times, and by
	// freeTarBytes however small it is.
	maxTarRatio  = 100
	freeTarBytes = 256 << 20
)

// readWebDataset reads tar archives, packed by gzip or not: one, those of a
// folder, or those that a range such as train-{000..012}.tar names. Members of
// one name up to the first dot are one sample: an image; .cls, a
// class's number or name; .json, an object with label or class, patient, study,
// split and other attributes; .txt, a class name where the others name none. An archive's name that begins
// with train, val or test is the part.
func readWebDataset(ctx context.Context, d *Dataset, s Spec) error {
	names, err := shards(s.Path, ".tar", ".tar.gz", ".tgz")
	if err != nil {
		return fmt.Errorf("datasets: webdataset %s: %w", s.Path, err)
	}
	store := &archives{shown: s.shown()}
	d.files = store
	reader := &tarReader{dataset: d, spec: s, attrs: map[string]int{}}
	if reader.patient, err = s.patientPattern(); err != nil {
		return fmt.Errorf("datasets: webdataset: %w", err)
	}
	for _, name := range names {
		f, err := openTar(ctx, name)
		if err != nil {
			return fmt.Errorf("datasets: webdataset %s: %w", name, err)
		}
		store.open = append(store.open, f)
		if err := reader.read(ctx, len(store.open)-1, filepath.Base(name), f); err != nil {
			return fmt.Errorf("datasets: webdataset %s: %w", name, err)
		}
	}
	for i := range d.Samples {
		attrs := make([]string, len(d.Attributes))
		copy(attrs, d.Samples[i].Attrs)
		d.Samples[i].Attrs = attrs
	}
	return d.labelByNames(reader.labels, s)
}

// openTar opens an archive for reading at any place; one that is packed is
// unpacked to a nameless file first.
func openTar(ctx context.Context, name string) (*os.File, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, cause(err)
	}
	if strings.HasSuffix(strings.ToLower(name), ".tar") {
		return f, nil
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("not a gzip file: %w", err)
	}
	out, err := os.CreateTemp("", "medprobe-*.tar")
	if err != nil {
		return nil, err
	}
	os.Remove(out.Name()) // it lives as long as it is open
	limit := max(freeTarBytes, maxTarRatio*info.Size())
	n, err := io.Copy(out, &cancellable{ctx, io.LimitReader(z, limit+1)})
	if err == nil && n > limit {
		err = fmt.Errorf("grows to more than %d times its size, which looks like a decompression bomb", maxTarRatio)
	}
	if err == nil {
		_, err = out.Seek(0, io.SeekStart)
	}
	if err != nil {
		out.Close()
		return nil, err
	}
	return out, nil
}

// cancellable ends reading when the context does.
type cancellable struct {
	ctx context.Context
	io.Reader
}

func (c *cancellable) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.Reader.Read(p)
}

// tarReader turns the members of archives into samples.
type tarReader struct {
	dataset *Dataset
	spec    Spec
	patient pattern
	labels  []string
	attrs   map[string]int
	// members are how many there were so far.
	members int
}

// member is what the members of one name say together.
type member struct {
	key     string
	image   Source
	class   string // of .cls
	text    string // of .txt, which may be a caption beside another label
	said    map[string]any
	refused error
}

func (r *tarReader) read(ctx context.Context, archive int, name string, f *os.File) error {
	in := tar.NewReader(f)
	var now member
	// Members of one sample should be neighbours; tar writes them as the folder
	// happens to list them.
	waiting := map[string]member{}
	shard, _, _ := strings.Cut(name, ".")
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		head, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
			return fmt.Errorf("after %d members: %w", r.members, err)
		}
		if r.members++; r.members > maxTarMembers {
			return fmt.Errorf("more than %d members", maxTarMembers)
		}
		if head.Typeflag == tar.TypeDir || head.Typeflag == tar.TypeXGlobalHeader {
			continue
		}
		key, ending, err := memberKey(head)
		if err != nil {
			r.dataset.exclude(shard+"/"+head.Name, "%v", err)
			continue
		}
		if key != now.key {
			if now.complete() {
				r.add(shard, now)
			} else {
				waiting[now.key] = now
			}
			now = member{key: key}
			if earlier, ok := waiting[key]; ok {
				now = earlier
				delete(waiting, key)
			}
		}
		if err := now.take(archive, name, ending, head, in, f); err != nil {
			now.refused = errors.Join(now.refused, fmt.Errorf("%s: %w", head.Name, err))
		}
	}
	waiting[now.key] = now
	for _, key := range slices.Sorted(maps.Keys(waiting)) {
		r.add(shard, waiting[key])
	}
	return nil
}

// complete reports whether nothing more is waited for.
func (m *member) complete() bool {
	return m.image.Member != "" && (m.class != "" || m.text != "" || m.said != nil)
}

// memberKey divides a member's name at the first dot of its last part.
func memberKey(head *tar.Header) (key, ending string, err error) {
	name := path.Clean(strings.TrimPrefix(head.Name, "./"))
	switch {
	case head.Typeflag != tar.TypeReg:
		return "", "", fmt.Errorf("a member of type %q: want plain files", head.Typeflag)
	case !filepath.IsLocal(filepath.FromSlash(name)) || strings.ContainsAny(name, "\\\x00"):
		return "", "", errors.New("a name that leads elsewhere")
	case len(name) > maxName:
		return "", "", fmt.Errorf("a name of more than %d bytes", maxName)
	}
	dir, base := path.Split(name)
	stem, ending, _ := strings.Cut(base, ".")
	return dir + stem, strings.ToLower(ending), nil
}

// take notes what a member says.
func (m *member) take(archive int, name, ending string, head *tar.Header, in io.Reader, f *os.File) error {
	switch {
	case slices.Contains(imageEndings, "."+ending), slices.Contains(dicomEndings, "."+ending):
		if m.image.Member != "" {
			return errors.New("a second image of the sample")
		}
		at, err := f.Seek(0, io.SeekCurrent)
		if err != nil {
			return err
		}
		if head.Size == 0 {
			return errors.New("the image is empty")
		}
		if sparse(head) {
			return errors.New("a sparse file: want plain ones")
		}
		m.image = Source{Path: name, Member: fmt.Sprintf("%d:%d:%d", archive, at, head.Size)}
		return nil
	case ending == "cls", ending == "txt", ending == "json":
		if head.Size > maxMeta {
			return fmt.Errorf("%d bytes, more than %d", head.Size, maxMeta)
		}
		data, err := io.ReadAll(in)
		if err != nil {
			return err
		}
		switch text := strings.TrimSpace(string(data)); ending {
		case "cls":
			m.class = text
		case "txt":
			m.text = text
		default:
			return json.Unmarshal(data, &m.said)
		}
		return nil
	}
	return nil // others are for others
}

func sparse(head *tar.Header) bool {
	for key := range head.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse") {
			return true
		}
	}
	return head.Typeflag == tar.TypeGNUSparse
}

// add makes a sample of what was said under one name.
func (r *tarReader) add(shard string, m member) {
	if m.key == "" {
		return
	}
	id := shard + "/" + m.key
	fail := func(err error) { r.dataset.exclude(id, "%v", err) }
	text := func(keys ...string) string {
		for _, key := range keys {
			if v, ok := m.said[key]; ok && v != nil {
				return plain(v)
			}
		}
		return ""
	}
	s := r.spec
	sample := Sample{
		ID: id, Source: m.image, Split: splitName(text(cmp.Or(s.Split, "split"))),
		Study: text(cmp.Or(s.Study, "study"), "study_id"),
	}
	patient := text(append([]string{cmp.Or(s.Patient, "patient")}, patientColumns...)...)
	label := cmp.Or(text(append([]string{cmp.Or(s.Label, "label")}, labelColumns...)...), m.class, m.text)
	var err error
	sample.Patient, err = r.patient.of(patient, m.key)
	switch {
	case m.refused != nil:
		err = m.refused
	case m.image.Member == "":
		err = errors.New("no image among its members")
	}
	if err != nil {
		fail(err)
		return
	}
	sample.Split = cmp.Or(sample.Split, partNamed(shard))
	r.addAttributes(&sample, m.said)
	r.dataset.Samples = append(r.dataset.Samples, sample)
	r.labels = append(r.labels, label)
}

func (r *tarReader) addAttributes(sample *Sample, said map[string]any) {
	for _, key := range slices.Sorted(maps.Keys(said)) {
		value := said[key]
		if _, nested := value.(map[string]any); nested || len(r.attrs) > 256 {
			continue
		}
		k, known := r.attrs[key]
		if !known {
			k = len(r.dataset.Attributes)
			r.attrs[key] = k
			r.dataset.Attributes = append(r.dataset.Attributes, key)
		}
		for len(sample.Attrs) <= k {
			sample.Attrs = append(sample.Attrs, "")
		}
		sample.Attrs[k] = plain(value)
	}
}

// plain returns a JSON value as a cell of a table has it.
func plain(value any) string {
	switch v := value.(type) {
	case nil:
		return ""
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case bool:
		if v {
			return "1"
		}
		return "0"
	case []any:
		parts := make([]string, len(v))
		for i := range v {
			parts[i] = plain(v[i])
		}
		return strings.Join(parts, "|")
	}
	return fmt.Sprint(value)
}

// archives reads members at their places.
type archives struct {
	open  []*os.File
	shown ImageOptions
}

// place returns the archive that holds a member, and where in it.
func (a *archives) place(s Source) (archive *os.File, at, size int64, err error) {
	var number int
	if _, err := fmt.Sscanf(s.Member, "%d:%d:%d", &number, &at, &size); err != nil || number < 0 || number >= len(a.open) {
		return nil, 0, 0, fmt.Errorf("%q is no place in an archive", s.Member)
	}
	return a.open[number], at, size, nil
}

func (a *archives) read(s Source) (Content, error) {
	archive, at, size, err := a.place(s)
	if err != nil {
		return Content{}, err
	}
	if size > maxFileBytes {
		return Content{}, fmt.Errorf("read %s: a member of %d bytes, more than the %d an image file may have", s.Path, size, maxFileBytes)
	}
	if info, err := archive.Stat(); err != nil || at+size > info.Size() {
		return Content{}, fmt.Errorf("read %s: the archive ends within the member", s.Path)
	}
	data := make([]byte, size)
	if _, err := archive.ReadAt(data, at); err != nil {
		return Content{}, fmt.Errorf("read %s: %w", s.Path, cause(err))
	}
	return Content{data: data, shown: a.shown.frame(s.Frame)}, nil
}

func (a *archives) Close() error {
	var errs []error
	for _, f := range a.open {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
