package datasets

import (
	"cmp"
	"context"
	"encoding/xml"
	"fmt"
	"image"
	"io/fs"
	"path"
	"strings"
)

// maxBoxes bounds the objects of one annotation.
const maxBoxes = 100_000

// vocAnnotation is the part of a Pascal VOC file that is read.
type vocAnnotation struct {
	Filename string `xml:"filename"`
	Size     struct {
		Width  int `xml:"width"`
		Height int `xml:"height"`
	} `xml:"size"`
	Objects []struct {
		Name string `xml:"name"`
		Box  struct {
			XMin float64 `xml:"xmin"`
			YMin float64 `xml:"ymin"`
			XMax float64 `xml:"xmax"`
			YMax float64 `xml:"ymax"`
		} `xml:"bndbox"`
	} `xml:"object"`
}

// readVOC reads a Pascal VOC folder: Annotations/*.xml with boxes in the
// photographs of JPEGImages. Each box is a sample; its photograph is its
// patient, since boxes of one photograph share stain, light and person.
func readVOC(ctx context.Context, d *Dataset, s Spec) error {
	f, err := openFiles(s, s.Path)
	if err != nil {
		return err
	}
	d.files = f
	entries, err := fs.ReadDir(f.root.FS(), "Annotations")
	if err != nil {
		return fmt.Errorf("datasets: voc %s: folder Annotations: %w", s.Path, cause(err))
	}
	pattern, err := s.patientPattern()
	if err != nil {
		return fmt.Errorf("datasets: voc: %w", err)
	}
	var names []string
	for _, entry := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !strings.EqualFold(path.Ext(entry.Name()), ".xml") {
			continue
		}
		file := "Annotations/" + entry.Name()
		a, err := f.annotation(file)
		if err != nil {
			return fmt.Errorf("datasets: voc %s: %w", s.Path, err)
		}
		patient, err := pattern.of("", a.Filename)
		if err != nil {
			d.exclude(file, "%v", err)
			continue
		}
		names = append(names, d.addBoxes(file, patient, a)...)
	}
	if len(names) == 0 {
		return fmt.Errorf("datasets: voc %s: no box can be used%s", s.Path, firstReason(d.Excluded))
	}
	d.Unit = "photograph"
	return d.labelByClass(names, s)
}

func (f *folder) annotation(name string) (vocAnnotation, error) {
	var a vocAnnotation
	data, err := f.bytes(name)
	if err != nil {
		return a, err
	}
	if err := xml.Unmarshal(data, &a); err != nil {
		return a, fmt.Errorf("read %q: %w", name, err)
	}
	switch {
	case a.Filename == "" || path.Base(a.Filename) != a.Filename:
		return a, fmt.Errorf("read %q: filename %q: want the name of a file in JPEGImages", name, a.Filename)
	case len(a.Objects) > maxBoxes:
		return a, fmt.Errorf("read %q: %d boxes, more than %d", name, len(a.Objects), maxBoxes)
	}
	// Some datasets leave the ending out of the name.
	if path.Ext(a.Filename) == "" {
		a.Filename += ".jpg"
	}
	return a, nil
}

// addBoxes appends the usable boxes of one photograph as samples and returns
// their class names. Where patient is empty, the photograph is the patient.
func (d *Dataset) addBoxes(file, patient string, a vocAnnotation) (names []string) {
	photo := strings.TrimSuffix(path.Base(file), path.Ext(file))
	for i, object := range a.Objects {
		id := fmt.Sprintf("%s#%03d", photo, i+1)
		b := object.Box
		box, err := vocBox(b.XMin, b.YMin, b.XMax, b.YMax)
		if err == nil {
			box, err = d.cutToImage(id, box, a.Size.Width, a.Size.Height)
		}
		if name := strings.TrimSpace(object.Name); err != nil {
			d.exclude(id, "%s: %v", file, err)
		} else if name == "" {
			d.exclude(id, "%s: the box has no class name", file)
		} else {
			names = append(names, name)
			d.Samples = append(d.Samples, Sample{
				ID:      id,
				Source:  Source{Path: "JPEGImages/" + a.Filename, Region: box},
				Patient: cmp.Or(patient, photo),
			})
		}
	}
	return names
}

// vocBox turns VOC's corners, counted from 1 and inclusive, into a rectangle.
// Writers that count from 0 give a box that is one pixel off, and a 0 corner
// is put at the border.
func vocBox(xmin, ymin, xmax, ymax float64) (image.Rectangle, error) {
	if xmin < 0 || ymin < 0 {
		return image.Rectangle{}, fmt.Errorf("box corner (%v, %v): want no negative pixel", xmin, ymin)
	}
	if _, err := pixelBox(xmin, ymin, xmax, ymax); err != nil {
		return image.Rectangle{}, err
	}
	return image.Rect(max(int(xmin)-1, 0), max(int(ymin)-1, 0), int(xmax), int(ymax)), nil
}
