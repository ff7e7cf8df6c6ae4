package datasets

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// imageEndings are the file names that are taken for images in a folder.
var imageEndings = []string{".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".gif"}

// IsImageName reports whether a file is taken for an image by its ending.
func IsImageName(name string) bool {
	return slices.Contains(imageEndings, strings.ToLower(path.Ext(name)))
}

// readImageFolder reads a folder with one folder of images per class, or with
// train, val or test above them.
func readImageFolder(ctx context.Context, d *Dataset, s Spec) error {
	f, err := openFolder(s.Path)
	if err != nil {
		return err
	}
	d.files = f
	var names []string
	err = fs.WalkDir(f.root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if strings.HasPrefix(entry.Name(), ".") && name != "." {
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if entry.IsDir() {
			return nil
		}
		split, class, reason := placeInFolder(name)
		if reason != "" {
			d.exclude(name, "%s", reason)
			return nil
		}
		d.Samples = append(d.Samples, Sample{ID: name, Source: Source{Path: name}, Split: split})
		names = append(names, class)
		return nil
	})
	if err != nil {
		return fmt.Errorf("datasets: imagefolder %s: %w", s.Path, err)
	}
	if len(d.Samples) == 0 {
		return fmt.Errorf("datasets: imagefolder %s: no images; want CLASS/image.png or train/CLASS/image.png%s", s.Path, firstReason(d.Excluded))
	}
	if err := d.labelByClass(names, s); err != nil {
		return err
	}
	return d.finish("image")
}

// splitNames maps what people call the parts of a dataset to our names.
var splitNames = map[string]string{
	"train": "train", "training": "train",
	"val": "validation", "valid": "validation", "validation": "validation", "dev": "validation",
	"test": "test", "testing": "test",
}

// splitName returns our name for a part, or name itself if it is none of the
// usual ones.
func splitName(name string) string {
	return cmp.Or(splitNames[strings.ToLower(name)], name)
}

// placeInFolder reads split and class from a file's place, or says why it has
// none.
func placeInFolder(name string) (split, class, reason string) {
	if !IsImageName(name) {
		return "", "", "not an image by its ending (" + strings.Join(imageEndings, " ") + ")"
	}
	parts := strings.Split(path.Dir(name), "/")
	if s, ok := splitNames[strings.ToLower(parts[0])]; ok {
		split, parts = s, parts[1:]
	}
	if len(parts) == 0 || parts[0] == "." {
		return "", "", "lies beside the class folders, not in one"
	}
	return split, parts[0], ""
}
