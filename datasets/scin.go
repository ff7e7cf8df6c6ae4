package datasets

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// The columns of SCIN's tables.
const (
	scinCase        = "case_id"
	scinConditions  = "dermatologist_skin_condition_on_label_name"
	scinConfidences = "dermatologist_skin_condition_confidence"
)

// readSCIN reads Google's SCIN: a folder with scin_cases.csv and
// scin_labels.csv, here or in a folder called dataset. Each of a case's up to
// three images is a sample and the case is its patient: images of one case must
// never be split. The conditions that the dermatologists list are positive if
// named with at least spec.MinConfidence, uncertain below it, and all others
// are negative; a case without a list has no labels.
func readSCIN(ctx context.Context, d *Dataset, s Spec) error {
	tables, dir, err := tablesOf(s.Path, "scin_cases.csv", "dataset/scin_cases.csv")
	if err != nil {
		return fmt.Errorf("datasets: scin %s: %w", s.Path, err)
	}
	root, err := openFiles(s, cmp.Or(s.Root, dir))
	if err != nil {
		return err
	}
	d.files = root
	labels := cmp.Or(s.Table, filepath.Join(filepath.Dir(tables[0]), "scin_labels.csv"))
	judged, err := readConditions(ctx, labels, s.MinConfidence)
	if err != nil {
		return fmt.Errorf("datasets: scin %w", err)
	}
	if err := d.addCases(ctx, tables[0], judged, root); err != nil {
		return fmt.Errorf("datasets: scin %w", err)
	}
	d.Unit = "case"
	return d.labelByConditions(judged, s)
}

// readConditions returns the conditions of every case.
func readConditions(ctx context.Context, path string, least float64) (map[string]map[string]Label, error) {
	t, err := openTable(Spec{}, path)
	if err != nil {
		return nil, err
	}
	var places [3]int
	for k, name := range []string{scinCase, scinConditions, scinConfidences} {
		if places[k], err = t.find("labels", name, nil); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	judged := map[string]map[string]Label{}
	for r, err := range t.rows(ctx) {
		if err != nil {
			return nil, err
		}
		names, confidences := pythonList(r.fields[places[1]]), pythonList(r.fields[places[2]])
		if len(confidences) > 0 && len(confidences) != len(names) {
			return nil, fmt.Errorf("%s: %d conditions and %d confidences: want as many", t.at(r.line), len(names), len(confidences))
		}
		of := map[string]Label{}
		for k, name := range names {
			label := Positive
			if k < len(confidences) {
				confidence, err := strconv.ParseFloat(confidences[k], 64)
				if err != nil {
					return nil, fmt.Errorf("%s: %s = %q: want numbers", t.at(r.line), scinConfidences, r.fields[places[2]])
				}
				if confidence < least {
					label = Uncertain
				}
			}
			if of[name] != Positive {
				of[name] = label
			}
		}
		judged[strings.TrimSpace(r.fields[places[0]])] = of
	}
	return judged, nil
}

// pythonList reads a list of texts or numbers as Python prints it.
func pythonList(text string) []string {
	text = strings.TrimSpace(text)
	inner, begun := strings.CutPrefix(text, "[")
	inner, ended := strings.CutSuffix(inner, "]")
	if !begun || !ended {
		if isNotKnown(text) {
			return nil
		}
		return []string{text}
	}
	var all []string
	var one strings.Builder
	quote := rune(0)
	flush := func() {
		if item := strings.TrimSpace(one.String()); item != "" {
			all = append(all, item)
		}
		one.Reset()
	}
	for _, r := range inner {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '\'' || r == '"'):
			quote = r
		case quote == 0 && r == ',':
			flush()
		default:
			one.WriteRune(r)
		}
	}
	flush()
	return all
}

func (d *Dataset) addCases(ctx context.Context, path string, judged map[string]map[string]Label, root *folder) error {
	t, err := openTable(Spec{}, path)
	if err != nil {
		return err
	}
	key, err := t.find("case", scinCase, nil)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	var images, attrs []int
	for i, name := range t.header {
		switch {
		case strings.HasPrefix(name, "image_") && strings.HasSuffix(name, "_path"):
			images = append(images, i)
		case slices.Contains([]string{"sex_at_birth", "age_group", "fitzpatrick_skin_type", "release", "source"}, name):
			attrs, d.Attributes = append(attrs, i), append(d.Attributes, name)
		}
	}
	if len(images) == 0 {
		return fmt.Errorf("%s: no column image_1_path (columns: %s)", path, strings.Join(t.header, ", "))
	}
	for r, err := range t.rows(ctx) {
		if err != nil {
			return err
		}
		id := strings.TrimSpace(r.fields[key])
		if judged[id] == nil {
			d.exclude("case "+id, "the table of labels does not hold it")
			continue
		}
		for _, i := range images {
			name := strings.TrimSpace(r.fields[i])
			if name == "" {
				continue
			}
			sample := Sample{Patient: id, Study: id}
			if sample.Source.Path, err = root.find(scinPath(root, name)); err != nil {
				d.exclude("case "+id, "%s: %v", t.header[i], err)
				continue
			}
			sample.ID = sample.Source.Path
			for _, k := range attrs {
				sample.Attrs = append(sample.Attrs, r.fields[k])
			}
			d.Samples = append(d.Samples, sample)
		}
	}
	return nil
}

// scinPath drops the first folder, dataset, of a path where the images lie
// beside the tables.
func scinPath(root *folder, name string) string {
	if rest, ok := strings.CutPrefix(name, "dataset/"); ok {
		if _, err := root.root.Lstat("dataset"); err != nil {
			return rest
		}
	}
	return name
}

func (d *Dataset) labelByConditions(judged map[string]map[string]Label, s Spec) error {
	names := map[string]bool{}
	for _, of := range judged {
		for name := range of {
			names[name] = true
		}
	}
	conditions, err := s.askedOf("condition", slices.Sorted(maps.Keys(names)))
	if err != nil {
		return fmt.Errorf("datasets: scin %s: %w", s.Path, err)
	}
	d.labelByFinding(conditions)
	for i := range d.Samples {
		labels := make([]Label, len(conditions))
		if of := judged[d.Samples[i].Patient]; len(of) > 0 {
			for c, name := range conditions {
				labels[c] = cmp.Or(of[name], Negative)
			}
		}
		d.Samples[i].Labels = labels
	}
	return nil
}
