package registry

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// ErrNotFound says that there is no such model, version or alias.
var ErrNotFound = errors.New("not in the registry")

// validName is what models and aliases may be called: names are parts of paths and
// addresses elsewhere, on file systems that do not tell A from a.
var validName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]*(\.[a-z0-9_-]+)*$`)

// reserved are names that Windows takes for devices.
var reserved = []string{"con", "prn", "aux", "nul", "com1", "com2", "com3", "com4", "lpt1", "lpt2", "lpt3", "lpt4"}

func checkName(what, name string) error {
	stem, _, _ := strings.Cut(name, ".")
	if len(name) > 64 || !validName.MatchString(name) || slices.Contains(reserved, stem) {
		return fmt.Errorf("registry: %s %q: want up to 64 of a–z, 0–9, '-', '_' and single dots, such as cxr-effusion", what, name)
	}
	return nil
}

func checkAlias(alias string) error {
	if _, err := strconv.Atoi(alias); err == nil {
		return fmt.Errorf("registry: alias %q: want a name, numbers are versions", alias)
	}
	return checkName("alias", alias)
}

// Reference names a version: a model, and a number or an alias. Without either it
// is the newest.
type Reference struct {
	Model  string
	Number int
	Alias  string
}

// ParseReference reads "name", "name@3" or "name@alias".
func ParseReference(text string) (Reference, error) {
	model, version, found := strings.Cut(text, "@")
	r := Reference{Model: model}
	if err := checkName("name", model); err != nil {
		return r, err
	}
	if !found {
		return r, nil
	}
	n, err := strconv.Atoi(version)
	switch {
	case err == nil && n > 0:
		r.Number = n
	case err == nil:
		return r, fmt.Errorf("registry: %q: version %d: want 1 or more", text, n)
	default:
		if err := checkAlias(version); err != nil {
			return r, err
		}
		r.Alias = version
	}
	return r, nil
}

// String is the form that ParseReference reads.
func (r Reference) String() string {
	switch {
	case r.Number > 0:
		return fmt.Sprintf("%s@%d", r.Model, r.Number)
	case r.Alias != "":
		return r.Model + "@" + r.Alias
	}
	return r.Model
}
