package datasets

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/medprobe/medprobe/internal/npy"
)

var (
	medmnistOrgans = []string{"bladder", "femur-left", "femur-right", "heart", "kidney-left", "kidney-right", "liver", "lung-left", "lung-right", "pancreas", "spleen"}
	// retinamnist is ordinal: its classes are grades, from 0.
	medmnistGrades = []string{"0", "1", "2", "3", "4"}
)

// medmnistClasses names the classes of MedMNIST 3.0.2's sets by the file's flag, in the order of their numbers (medmnist/info.py).
var medmnistClasses = map[string][]string{
	"pathmnist":       {"adipose", "background", "debris", "lymphocytes", "mucus", "smooth muscle", "normal colon mucosa", "cancer-associated stroma", "colorectal adenocarcinoma epithelium"},
	"chestmnist":      {"atelectasis", "cardiomegaly", "effusion", "infiltration", "mass", "nodule", "pneumonia", "pneumothorax", "consolidation", "edema", "emphysema", "fibrosis", "pleural", "hernia"},
	"dermamnist":      {"actinic keratoses and intraepithelial carcinoma", "basal cell carcinoma", "benign keratosis-like lesions", "dermatofibroma", "melanoma", "melanocytic nevi", "vascular lesions"},
	"octmnist":        {"choroidal neovascularization", "diabetic macular edema", "drusen", "normal"},
	"pneumoniamnist":  {"normal", "pneumonia"},
	"breastmnist":     {"malignant", "normal, benign"},
	"bloodmnist":      {"basophil", "eosinophil", "erythroblast", "immature granulocytes", "lymphocyte", "monocyte", "neutrophil", "platelet"},
	"retinamnist":     medmnistGrades,
	"organamnist":     medmnistOrgans,
	"organcmnist":     medmnistOrgans,
	"organsmnist":     medmnistOrgans,
	"organmnist3d":    {"liver", "kidney-right", "kidney-left", "femur-right", "femur-left", "bladder", "heart", "lung-right", "lung-left", "spleen", "pancreas"},
	"nodulemnist3d":   {"benign", "malignant"},
	"adrenalmnist3d":  {"normal", "hyperplasia"},
	"fracturemnist3d": {"buckle rib fracture", "nondisplaced rib fracture", "displaced rib fracture"},
	"vesselmnist3d":   {"vessel", "aneurysm"},
	"synapsemnist3d":  {"inhibitory synapse", "excitatory synapse"},
	"tissuemnist":     {"collecting duct, connecting tubule", "distal convoluted tubule", "glomerular endothelial cells", "interstitial endothelial cells", "leukocytes", "podocytes", "proximal tubule segments", "thick ascending limb"},
}

// medmnistParts are the parts of an archive and our names for them.
var medmnistParts = []struct{ prefix, split string }{{"train", "train"}, {"val", "validation"}, {"test", "test"}}

// readMedMNIST reads an npz with {train,val,test}_{images,labels}: images
// uint8 N×H×W or N×H×W×3, labels N×1 class numbers or N×L zeros and ones. Of
// volumes, N×D×H×W, each slice that spec.Frame asks for is a sample, all of them
// where it says nothing; the volume is its patient.
func readMedMNIST(ctx context.Context, d *Dataset, s Spec) error {
	archive, err := npy.OpenArchive(s.Path)
	if err != nil {
		return fmt.Errorf("datasets: medmnist: %w", err)
	}
	store := &arrays{archive: archive, images: map[string]imageArray{}}
	d.files = store
	var labels []labelRow
	for _, part := range medmnistParts {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !slices.Contains(archive.Names(), part.prefix+"_labels") {
			continue
		}
		some, err := d.addPart(store, part.prefix, part.split, s)
		if err != nil {
			return fmt.Errorf("datasets: medmnist %s: %w", s.Path, err)
		}
		labels = append(labels, some...)
	}
	if len(labels) == 0 {
		return fmt.Errorf("datasets: medmnist %s: no train_labels, val_labels or test_labels; members: %s", s.Path, strings.Join(archive.Names(), ", "))
	}
	d.Unit = "volume"
	return d.labelByNumber(labels, s)
}

// addPart adds the samples of one part and returns the labels of each.
func (d *Dataset) addPart(store *arrays, prefix, split string, s Spec) (labels []labelRow, err error) {
	rows, err := readLabelRows(store.archive, prefix+"_labels")
	if err != nil {
		return nil, err
	}
	member := prefix + "_images"
	images, err := store.open(member)
	if err != nil {
		return nil, err
	}
	if images.n != len(rows) {
		return nil, fmt.Errorf("%s holds %d images and %s_labels %d rows: want as many", member, images.n, prefix, len(rows))
	}
	slices, err := images.slices(s)
	if err != nil {
		return nil, err
	}
	for i := range rows {
		for _, k := range slices {
			sample := Sample{
				ID:     fmt.Sprintf("%s/%06d", split, i),
				Source: Source{Path: filepath.Base(s.Path), Member: member, Row: i, Frame: k},
				Split:  split,
			}
			if images.depth > 0 {
				sample.Patient, sample.Study, sample.Series = sample.ID, sample.ID, sample.ID
				sample.ID += fmt.Sprintf("/%03d", k+1)
			}
			d.Samples = append(d.Samples, sample)
			labels = append(labels, rows[i])
		}
	}
	return labels, nil
}

// labelRow is one row of numbers of a label array.
type labelRow []int64

func readLabelRows(archive *npy.Archive, member string) ([]labelRow, error) {
	a, err := archive.Read(member)
	if err != nil {
		return nil, err
	}
	values, err := a.Int64()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", member, err)
	}
	width := 1
	switch len(a.Shape) {
	case 1:
	case 2:
		width = a.Shape[1]
	default:
		return nil, fmt.Errorf("%s has shape %v: want [n] or [n, labels]", member, a.Shape)
	}
	if width < 1 {
		return nil, fmt.Errorf("%s has shape %v: want at least one label", member, a.Shape)
	}
	rows := make([]labelRow, 0, len(values)/width)
	for row := range slices.Chunk(values, width) {
		rows = append(rows, row)
	}
	return rows, nil
}

// labelByNumber gives the numbers their names and the samples their labels.
func (d *Dataset) labelByNumber(rows []labelRow, s Spec) error {
	flag, _, _ := strings.Cut(strings.TrimSuffix(strings.ToLower(filepath.Base(s.Path)), ".npz"), "_")
	classes := s.Classes
	if len(classes) == 0 {
		classes = medmnistClasses[flag]
	}
	width := len(rows[0])
	for i, row := range rows {
		if len(row) != width {
			return fmt.Errorf("datasets: medmnist %s: sample %s has %d labels, the first has %d", s.Path, d.Samples[i].ID, len(row), width)
		}
	}
	if width == 1 {
		return d.labelByClassNumber(rows, classes, s)
	}
	if len(classes) == 0 {
		classes = numbered(width)
	}
	if len(classes) != width {
		return fmt.Errorf("datasets: medmnist %s: %d class names for %d labels a row", s.Path, len(classes), width)
	}
	d.labelByFinding(classes)
	for i, row := range rows {
		labels := make([]Label, width)
		for c, v := range row {
			if v != 0 && v != 1 {
				return fmt.Errorf("datasets: medmnist %s: sample %s: %s = %d: want 1 or 0", s.Path, d.Samples[i].ID, classes[c], v)
			}
			labels[c] = Negative + Label(v)
		}
		d.Samples[i].Labels = labels
	}
	return nil
}

func (d *Dataset) labelByClassNumber(rows []labelRow, classes []string, s Spec) error {
	if len(classes) == 0 {
		highest := int64(0)
		for _, row := range rows {
			highest = max(highest, row[0])
		}
		if highest >= 10_000 {
			return fmt.Errorf("datasets: medmnist %s: class number %d: want fewer than 10000 classes", s.Path, highest)
		}
		classes = numbered(int(highest) + 1)
	}
	names := make([]string, len(rows))
	for i, row := range rows {
		if row[0] < 0 || row[0] >= int64(len(classes)) {
			return fmt.Errorf("datasets: medmnist %s: sample %s: class number %d: want 0 to %d", s.Path, d.Samples[i].ID, row[0], len(classes)-1)
		}
		names[i] = classes[row[0]]
	}
	// A part of a dataset may hold no sample of some class.
	s.Classes = slices.DeleteFunc(slices.Clone(classes), func(c string) bool { return !slices.Contains(names, c) })
	if len(s.Classes) < len(classes) {
		absent := slices.DeleteFunc(slices.Clone(classes), func(c string) bool { return slices.Contains(s.Classes, c) })
		d.problem(s.Path, "no sample is of %s", strings.Join(absent, ", "))
	}
	return d.labelByClass(names, s)
}

// arrays gives access to the image arrays of one archive.
type arrays struct {
	archive *npy.Archive
	images  map[string]imageArray
}

// imageArray is n images of one shape, one behind the other.
type imageArray struct {
	n     int
	depth int    // slices of a volume, 0 for images
	shape [3]int // height, width, channels
	data  []uint8
}

// open reads the array on first use. It is called for every member while the
// dataset is opened, so that read needs no lock.
func (a *arrays) open(member string) (imageArray, error) {
	array, err := a.archive.Read(member)
	if err != nil {
		return imageArray{}, err
	}
	images := imageArray{shape: [3]int{0, 0, 1}}
	switch n := len(array.Shape); {
	case n == 3 || n == 4 && array.Shape[3] == 3:
		images.n = array.Shape[0]
		copy(images.shape[:], array.Shape[1:])
	case n == 4 && array.Shape[1] > 0:
		images.n, images.depth = array.Shape[0], array.Shape[1]
		copy(images.shape[:], array.Shape[2:])
	default:
		return imageArray{}, fmt.Errorf("%s has shape %v: want [n, height, width], [n, height, width, 3] or [n, depth, height, width]", member, array.Shape)
	}
	if images.shape[0] < 1 || images.shape[1] < 1 {
		return imageArray{}, fmt.Errorf("%s has shape %v: the images are empty", member, array.Shape)
	}
	if images.data, err = array.Uint8(); err != nil {
		return imageArray{}, fmt.Errorf("%s: %w", member, err)
	}
	a.images[member] = images
	return images, nil
}

func (a *arrays) read(s Source) (Content, error) {
	images, ok := a.images[s.Member]
	if !ok || s.Row < 0 || s.Row >= images.n {
		return Content{}, fmt.Errorf("no image %d in array %q", s.Row, s.Member)
	}
	if s.Frame < 0 || s.Frame >= max(1, images.depth) {
		return Content{}, fmt.Errorf("no slice %d in array %q", s.Frame+1, s.Member)
	}
	size := images.shape[0] * images.shape[1] * images.shape[2]
	at := (s.Row*max(1, images.depth) + s.Frame) * size
	return Content{data: images.data[at : at+size], raw: images.shape}, nil
}

// slices lists the slices of a volume that are samples; of an image, the image.
func (a imageArray) slices(s Spec) ([]int, error) {
	if a.depth == 0 {
		return []int{0}, nil
	}
	if s.Frame == "" {
		s.Frame = "all"
	}
	return s.frames(a.depth)
}

func (a *arrays) Close() error { return a.archive.Close() }
