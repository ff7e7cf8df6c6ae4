package registry

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/medprobe/medprobe/evaluate"
	"github.com/medprobe/medprobe/internal/onnxfile"
	"github.com/medprobe/medprobe/internal/sqlitedb"
	"github.com/medprobe/medprobe/trainer"
	"go.yaml.in/yaml/v4"
)

// documentFile holds a version's document in exports that are folders.
const documentFile = "version.json"

// carried is what an export holds of a version: its document, its head's file,
// somewhere in a README its card and, in folders, its reference distribution.
type carried struct {
	document, head, readme, reference []byte
}

// Import adds the version in an export to a model, as Add does. path is a bundle, an
// ONNX model, or the folder of any other format. Only a bundle holds all of a
// version: from the others come head, card and document, which says what is absent
// ([Imported]). Where the model has the version that was exported, that is returned.
func (r *Registry) Import(ctx context.Context, model, path, by string) (v *Version, added bool, err error) {
	if err := checkName("name", model); err != nil {
		return nil, false, err
	}
	if v, added, err = r.importPath(ctx, model, path, by); err != nil {
		return nil, false, fmt.Errorf("registry: import %s: %w", path, err)
	}
	return v, added, nil
}

func (r *Registry) importPath(ctx context.Context, model, path, by string) (*Version, bool, error) {
	e, err := readExported(path)
	if err != nil {
		return nil, false, err
	}
	if i := e.document.Imported; i != nil {
		if v, err := r.withDigest(ctx, model, i.Version); v != nil || err != nil {
			return v, false, err
		}
	}
	return r.keep(ctx, model, e.document, e.files, by)
}

// withoutPath leaves out the path that whoever asked knows.
func withoutPath(err error) error {
	if at, ok := errors.AsType[*fs.PathError](err); ok {
		return at.Err
	}
	return err
}

// withDigest returns the version of a model with a document, or nil.
func (r *Registry) withDigest(ctx context.Context, model, digest string) (*Version, error) {
	ref := Reference{Model: model}
	err := r.db.QueryRowContext(ctx, "SELECT number FROM version WHERE model = ? AND digest = ?", model, digest).Scan(&ref.Number)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	} else if err != nil {
		return nil, sqlitedb.Explain(r.path, err)
	}
	return r.Find(ctx, ref)
}

// exported is a version as an export holds it, all of it checked; reference is nil
// where there is none.
type exported struct {
	document  *Document
	files     map[string][]byte
	head      *trainer.Head
	reference *evaluate.Reference
}

// readExported reads an export of any format.
func readExported(path string) (*exported, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, withoutPath(err)
	case info.IsDir():
		c, err := readExport(path)
		if err != nil {
			return nil, err
		}
		return c.version()
	case info.Mode().IsRegular():
		return readFile(path, info.Size())
	}
	return nil, fmt.Errorf("a %s: want a file or a folder", kindOf(info.Mode()))
}

// readFile reads a bundle, or what an ONNX model carries.
func readFile(path string, size int64) (*exported, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, withoutPath(err)
	}
	defer f.Close()
	var head [512]byte
	if n, err := io.ReadFull(f, head[:]); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	} else if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	} else if n == len(head) && bytes.Equal(head[257:262], []byte("ustar")) {
		return readBundle(f)
	}
	if strings.EqualFold(filepath.Ext(path), headExt) {
		return nil, errors.New("a head alone, which is no version: want what 'medprobe registry export' wrote; of a run, 'medprobe registry add' takes heads")
	}
	c, err := readONNX(f, size)
	if err != nil {
		return nil, fmt.Errorf("no bundle, and not to be read as an ONNX model that medprobe exported: %w", err)
	}
	c.reference = referenceBeside(path, c.document)
	return c.version()
}

// referenceBeside returns the reference distribution that lies beside a model's file
// if it is that of the document: another may be there by chance.
func referenceBeside(path string, document []byte) []byte {
	d, err := decodeDocument(document)
	if err != nil {
		return nil // said by whoever needs it
	}
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return nil
	}
	defer root.Close()
	b, err := readPlain(root, driftFile, maxReference)
	if f, ok := d.file(driftFile); err == nil && ok && hexDigest(b) == f.SHA256 {
		return b
	}
	return nil
}

// readExport reads the folder of an export. Nothing outside it is read.
func readExport(dir string) (*carried, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, withoutPath(err)
	}
	defer root.Close()
	has := func(name string) bool {
		_, err := root.Lstat(name)
		return err == nil
	}
	switch {
	case has("oci-layout"):
		return readLayout(root)
	case has("MLmodel"):
		return readMLflow(root)
	case has(documentFile):
		return readFiles(func(name string, most int64) ([]byte, error) { return readPlain(root, name, most) })
	case has("model.onnx"):
		return readModelFolder(root, "model.onnx")
	case has(headFile):
		return nil, fmt.Errorf("%s without %s beside it: an earlier medprobe wrote it, or it was taken out of its folder; export it again, or import its bundle", headFile, documentFile)
	}
	return nil, errors.New("it holds no export of medprobe: want the folder that 'medprobe registry export' wrote as safetensors, mlflow, hf, oci or onnx-e2e")
}

// readFiles reads the files of an export that holds them apart.
func readFiles(read func(name string, most int64) ([]byte, error)) (c *carried, err error) {
	c = &carried{}
	if c.document, err = read(documentFile, maxDocument); err != nil {
		return nil, err
	}
	if c.head, err = read(headFile, maxFile); err != nil {
		return nil, err
	}
	if c.readme, err = read(cardFile, maxDocument); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if c.reference, err = read(driftFile, maxReference); errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return c, err
}

// openPlain opens a plain file in a folder.
func openPlain(root *os.Root, name string) (*os.File, int64, error) {
	info, err := root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, 0, fmt.Errorf("%s is missing: %w", name, fs.ErrNotExist)
	case err != nil:
		return nil, 0, fmt.Errorf("%s: %w", name, withoutPath(err))
	case !info.Mode().IsRegular():
		return nil, 0, fmt.Errorf("%s is a %s: want a plain file; copy the folder with what it links to", name, kindOf(info.Mode()))
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w", name, withoutPath(err))
	}
	return f, info.Size(), nil
}

func readPlain(root *os.Root, name string, most int64) ([]byte, error) {
	f, size, err := openPlain(root, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if size > most {
		return nil, fmt.Errorf("%s has %d bytes: want at most %d", name, size, most)
	}
	b, err := io.ReadAll(io.LimitReader(f, size))
	if err == nil && int64(len(b)) != size {
		err = fmt.Errorf("%s has %d bytes of %d", name, len(b), size)
	}
	return b, err
}

// readMLflow reads the model that an MLmodel names.
func readMLflow(root *os.Root) (*carried, error) {
	text, err := readPlain(root, "MLmodel", maxDocument)
	if err != nil {
		return nil, err
	}
	var m struct {
		Flavors struct {
			ONNX struct {
				Data string `yaml:"data"`
			} `yaml:"onnx"`
		} `yaml:"flavors"`
	}
	if err := yaml.Unmarshal(text, &m); err != nil {
		return nil, fmt.Errorf("MLmodel: %w", err)
	}
	name := m.Flavors.ONNX.Data
	if !fs.ValidPath(name) || name == "." {
		return nil, fmt.Errorf("MLmodel: the flavour onnx has the data %q: want a file in its folder", name)
	}
	return readModelFolder(root, name)
}

// readModelFolder reads a model and the reference distribution beside it.
func readModelFolder(root *os.Root, name string) (*carried, error) {
	c, err := readModel(root, name)
	if err != nil {
		return nil, err
	}
	if c.reference, err = readPlain(root, driftFile, maxReference); errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return c, err
}

func readModel(root *os.Root, name string) (*carried, error) {
	f, size, err := openPlain(root, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	c, err := readONNX(f, size)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return c, nil
}

// readONNX reads what [ONNX] put into a model.
func readONNX(r io.Reader, size int64) (*carried, error) {
	m, err := onnxfile.Collect(r, size, "medprobe.", onnxPrefix, maxFile)
	if err != nil {
		return nil, err
	}
	document, ok := m.Metadata[onnxDocument]
	if !ok {
		if _, ours := m.Metadata["medprobe.classes"]; ours {
			return nil, errors.New("it carries no version: an earlier medprobe wrote it; export it again, or import its bundle")
		}
		return nil, errors.New("another program made it: its metadata hold no version of medprobe's")
	}
	p := &parts{tensors: map[string]part{}, texts: map[string]string{}}
	for name, w := range m.Weights {
		if w.Elem != onnxfile.Float || strings.HasPrefix(name, "const_") {
			continue // what the calibration is computed with
		}
		t := part{raw: w.Raw, shape: []int{}}
		for _, d := range w.Dims {
			if d < 0 || d > maxFile {
				return nil, fmt.Errorf("tensor %q has shape %v", name, w.Dims)
			}
			t.shape = append(t.shape, int(d))
		}
		p.tensors[name] = t
	}
	for key, text := range m.Metadata {
		if key, ok := strings.CutPrefix(key, onnxText); ok {
			p.texts[key] = text
		}
	}
	head, err := p.file()
	return &carried{document: []byte(document), head: head, readme: []byte(m.Metadata[onnxModelCard])}, err
}

// version returns the document and the files of the version that was carried. Where
// the export holds less than the document lists, the document is another, which says
// so.
func (c *carried) version() (*exported, error) {
	d, err := decodeDocument(c.document)
	if err != nil {
		return nil, err
	}
	again, digest, err := d.encode()
	if err != nil || !bytes.Equal(again, c.document) {
		return nil, errors.New("its document is not in the form that medprobe writes: it was changed")
	}
	files := map[string][]byte{}
	if f, _ := d.file(headFile); hexDigest(c.head) != f.SHA256 {
		return nil, fmt.Errorf("%s has digest %.12s…, its document says %.12s…: it was changed or damaged", headFile, hexDigest(c.head), f.SHA256)
	}
	files[headFile] = c.head
	if f, ok := d.file(cardFile); ok {
		if card := cardIn(c.readme, f); card != nil {
			files[cardFile] = card
		}
	}
	if f, ok := d.file(driftFile); ok && c.reference != nil {
		if hexDigest(c.reference) != f.SHA256 {
			return nil, fmt.Errorf("%s has digest %.12s…, its document says %.12s…: it was changed or damaged", driftFile, hexDigest(c.reference), f.SHA256)
		}
		files[driftFile] = c.reference
	}
	d.without(files, digest)
	return checked(&d, files)
}

// without lets the document, of a digest, list the files that there are and name
// the rest.
func (d *Document) without(files map[string][]byte, digest string) {
	var absent []string
	var kept []File
	for _, f := range d.Files {
		if _, ok := files[f.Path]; ok {
			kept = append(kept, f)
		} else {
			absent = append(absent, f.Path)
		}
	}
	if len(absent) == 0 {
		return
	}
	if d.Imported != nil {
		absent, digest = append(absent, d.Imported.Absent...), d.Imported.Version
	}
	slices.Sort(absent)
	d.Files, d.Imported = kept, &Imported{Version: digest, Absent: absent}
}

// cardIn finds the card in a README, which may have front matter before it and lines
// for a program behind it; nil if it is not there as it was.
func cardIn(readme []byte, f File) []byte {
	starts := []int{0}
	if bytes.HasPrefix(readme, []byte("---\n")) {
		const end = "\n---\n\n"
		starts = append(starts, bytes.Index(readme, []byte(end))+len(end))
	}
	for _, at := range starts {
		if f.Size <= int64(len(readme)-at) {
			if card := readme[at : at+int(f.Size)]; hexDigest(card) == f.SHA256 {
				return card
			}
		}
	}
	return nil
}
