package datasets

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// readNIH reads ChestX-ray14: its table Data_Entry_2017*.csv, or the folder that
// holds it. The header has commas within brackets that are not quoted, an older
// edition an empty field at the end and ages such as 058Y. Findings are lists
// joined by "|". train_val_list.txt and test_list.txt beside the table name the
// parts.
func readNIH(ctx context.Context, d *Dataset, s Spec) error {
	tables, dir, err := tablesOf(s.Path, "Data_Entry*.csv", "data_entry*.csv")
	if err != nil {
		return fmt.Errorf("datasets: nih %s: %w", s.Path, err)
	}
	root, err := openFiles(s, cmp.Or(s.Root, dir))
	if err != nil {
		return err
	}
	d.files = root
	t, err := openTable(s, tables[0])
	if err != nil {
		return fmt.Errorf("datasets: nih %w", err)
	}
	t.ragged = true
	own := s
	own.Image = cmp.Or(s.Image, "Image Index")
	own.Patient = cmp.Or(s.Patient, "Patient ID")
	if len(s.Labels) == 0 {
		own.Label = cmp.Or(s.Label, "Finding Labels")
	}
	own.LabelSeparator = cmp.Or(s.LabelSeparator, "|")
	cols, err := t.columns(ctx, d, own)
	if err != nil {
		return fmt.Errorf("datasets: nih %s: %w", tables[0], err)
	}
	parts, err := nihParts(ctx, dir)
	if err != nil {
		return fmt.Errorf("datasets: nih %w", err)
	}
	places, err := imageFolders(root)
	if err != nil {
		return fmt.Errorf("datasets: nih %s: %w", dir, err)
	}
	age := slices.Index(t.header, "Patient Age")
	reader := &rowReader{table: t, columns: cols, spec: own, root: root}
	reader.locate = func(name string) (string, error) { return places.find(root, name) }
	reader.adjust = func(r row, sample *Sample) error {
		sample.ID = path.Base(sample.Source.Path)
		if part := parts[sample.ID]; part != "" {
			sample.Split = part
		}
		if k := slices.Index(cols.attrs, age); k >= 0 {
			sample.Attrs[k] = years(sample.Attrs[k])
		}
		return s.checkView(t.cells(r, "View Position")...)
	}
	if err := reader.addTo(ctx, d); err != nil {
		return err
	}
	return reader.classes(d)
}

// nihParts reads the lists of images that name the parts, if they are there.
func nihParts(ctx context.Context, dir string) (map[string]string, error) {
	parts := map[string]string{}
	for name, part := range map[string]string{"train_val_list.txt": "train", "test_list.txt": "test"} {
		list := filepath.Join(dir, name)
		if _, err := os.Stat(list); err != nil {
			continue
		}
		t := &table{path: list, header: []string{"image"}, comma: ',', headless: true}
		for r, err := range t.rows(ctx) {
			if err != nil {
				return nil, err
			}
			image := strings.TrimSpace(r.fields[0])
			if other := parts[image]; other != "" && other != part {
				return nil, fmt.Errorf("%s: %s stands in the lists of both parts", t.at(r.line), image)
			}
			parts[image] = part
		}
	}
	return parts, nil
}

// places are the folders that images may lie in, the last hit first.
type places []string

// imageFolders lists the folder itself and, in it, those called images or
// images_001 and the like, with a folder images within.
func imageFolders(root *folder) (places, error) {
	found := places{"."}
	dir, err := root.root.Open(".")
	if err != nil {
		return nil, cause(err)
	}
	defer dir.Close()
	entries, err := dir.ReadDir(-1)
	if err != nil {
		return nil, cause(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(strings.ToLower(e.Name()), "images") {
			found = append(found, e.Name(), e.Name()+"/images")
		}
	}
	slices.Sort(found)
	return found, nil
}

func (p places) find(root *folder, name string) (string, error) {
	for i, dir := range p {
		if _, err := root.root.Lstat(filepath.FromSlash(path.Join(dir, name))); err == nil && filepath.IsLocal(name) {
			copy(p[1:i+1], p[:i])
			p[0] = dir
			return root.find(path.Join(dir, name))
		}
	}
	return root.find(name)
}
