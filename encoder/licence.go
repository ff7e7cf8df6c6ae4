package encoder

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// licenceFile matches the files with a model's terms.
var licenceFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|use[_-]?policy|terms)([._-].*)?$`)

// IsLicence reports whether a file of that name holds a model's terms.
func IsLicence(name string) bool { return licenceFile.MatchString(name) }

// copyLicences copies the texts of a model's terms and notes what its README says
// of them in its head.
func copyLicences(from, to string, m *Manifest) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !IsLicence(e.Name()) || e.IsDir() {
			continue
		}
		if err := copyFile(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
			return err
		}
	}
	m.License = licenceOf(filepath.Join(from, "README.md"))
	return nil
}

// licenceOf reads license, license_name and license_link in the YAML head of a
// model's README.
func licenceOf(readme string) string {
	info, err := os.Stat(readme)
	if err != nil || info.Size() > 1<<20 {
		return ""
	}
	text, err := os.ReadFile(readme)
	if err != nil {
		return ""
	}
	head, ok := strings.CutPrefix(string(text), "---\n")
	head, _, closed := strings.Cut(head, "\n---")
	if !ok || !closed {
		return ""
	}
	var said []string
	for line := range strings.Lines(head) {
		key, value, _ := strings.Cut(line, ":")
		if value = strings.Trim(strings.TrimSpace(value), `"'`); value != "" && slices.Contains([]string{"license", "license_name", "license_link"}, key) {
			said = append(said, value)
		}
	}
	return strings.Join(said, ", ")
}
