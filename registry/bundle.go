package registry

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"time"

	"github.com/medprobe/medprobe/trainer"
)

const (
	documentExt = ".version.json"
	// maxBundle bounds what is read of a bundle, in bytes.
	maxBundle = 4 << 30
	// maxDocument bounds a version's document.
	maxDocument = 16 << 20
)

// writeBundle writes a whole version as one tar file: its document, named by its
// digest, DIGEST.version.json, and the files it lists, in their order. The same
// version gives the same bytes, whatever it is called and whoever added it.
func (r *Registry) writeBundle(w io.Writer, v *Version) error {
	text, digest, err := v.Document.encode()
	if err != nil {
		return err
	}
	if digest != v.Digest {
		return fmt.Errorf("registry: bundle: %s: its document has digest %.12s…, want %.12s…", v.Reference(), digest, v.Digest)
	}
	archive := tar.NewWriter(w)
	put := func(name string, b []byte) error {
		header := &tar.Header{Name: name, Mode: 0o644, Size: int64(len(b)), ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR}
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		_, err := archive.Write(b)
		return err
	}
	if err := put(digest+documentExt, text); err != nil {
		return fmt.Errorf("registry: bundle: %w", err)
	}
	for _, f := range v.Document.Files {
		b, err := r.objects.read(f)
		if err == nil {
			err = put(f.Path, b)
		}
		if err != nil {
			return fmt.Errorf("registry: bundle: %s: %w", v.Reference(), err)
		}
	}
	if err := archive.Close(); err != nil {
		return fmt.Errorf("registry: bundle: %w", err)
	}
	return nil
}

// readBundle reads a bundle whole and checks every file against its document.
func readBundle(bundle io.Reader) (*exported, error) {
	archive := tar.NewReader(io.LimitReader(bundle, maxBundle))
	header, err := archive.Next()
	if errors.Is(err, io.EOF) || err == nil && (!strings.HasSuffix(header.Name, documentExt) || header.Typeflag != tar.TypeReg) {
		return nil, fmt.Errorf("it does not begin with the document of a version: want a file that 'medprobe registry export --format bundle' wrote")
	} else if err != nil {
		return nil, fmt.Errorf("not a tar file: %w", err)
	}
	if header.Size > maxDocument {
		return nil, fmt.Errorf("document of %d bytes: want at most %d", header.Size, maxDocument)
	}
	text, err := io.ReadAll(archive)
	if err != nil {
		return nil, err
	}
	if got, want := hexDigest(text), strings.TrimSuffix(header.Name, documentExt); got != want {
		return nil, fmt.Errorf("its document has digest %.12s…, want %.12q…: it was changed or damaged", got, want)
	}
	d, err := decodeDocument(text)
	if err != nil {
		return nil, err
	}
	if again, _, err := d.encode(); err != nil || string(again) != string(text) {
		return nil, errors.New("its document is not in the form that medprobe writes")
	}
	files := map[string][]byte{}
	for _, f := range d.Files {
		b, err := readMember(archive, f)
		if err != nil {
			return nil, err
		}
		files[f.Path] = b
	}
	if header, err := archive.Next(); err == nil {
		return nil, fmt.Errorf("%q is not in its document", header.Name)
	} else if !errors.Is(err, io.EOF) {
		return nil, err
	}
	return checked(&d, files)
}

func readMember(archive *tar.Reader, f File) ([]byte, error) {
	header, err := archive.Next()
	if err != nil {
		return nil, fmt.Errorf("%s is missing: the bundle ends early (%w)", f.Path, err)
	}
	if header.Name != f.Path || header.Typeflag != tar.TypeReg || header.Size != f.Size || f.Size > maxFile {
		return nil, fmt.Errorf("%q of %d bytes: want the plain file %s of %d", header.Name, header.Size, f.Path, f.Size)
	}
	b, err := io.ReadAll(archive)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Path, err)
	}
	if got := hexDigest(b); got != f.SHA256 {
		return nil, fmt.Errorf("%s has digest %.12s…, want %.12s…: it was changed or damaged", f.Path, got, f.SHA256)
	}
	return b, nil
}

// checked loads what an export holds and compares the head with the document, and
// with the probabilities that a bundle holds.
func checked(d *Document, files map[string][]byte) (*exported, error) {
	e := &exported{document: d, files: files}
	var err error
	if e.head, err = trainer.ReadHead(headFile, files[headFile]); err != nil {
		return nil, err
	}
	if is := facts(e.head); !reflect.DeepEqual(is, d.Head) {
		return nil, fmt.Errorf("%s is %+v, the document says %+v", headFile, is, d.Head)
	}
	space := trainer.Space{Encoder: d.Lineage.Encoder.Fingerprint, Preprocess: d.Lineage.Encoder.PreprocessFingerprint}
	if err := e.head.Check(space); err != nil {
		return nil, err
	}
	if file := files[driftFile]; file != nil {
		if e.reference, err = readReference(file); err != nil {
			return nil, fmt.Errorf("%s: %w", driftFile, err)
		}
	}
	if file := files[sampleFile]; file != nil {
		if err := checkSample(file, e.head); err != nil {
			return nil, fmt.Errorf("%s: %w", sampleFile, err)
		}
	}
	return e, nil
}
