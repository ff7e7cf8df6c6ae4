package mlflowtest

import (
	"path"
	"regexp"
	"strings"
	"unicode/utf8"
)

// The rules of mlflow/utils/validation.py, the stricter of MLflow 2 and 3 where they
// differ.
const (
	maxPairsPerBatch    = 100
	maxMetricsPerBatch  = 1000
	maxEntitiesPerBatch = 1000
	maxKey              = 250
	maxTag              = 5000
	maxAlias            = 255
	maxExperimentName   = 500
)

var (
	entityName   = regexp.MustCompile(`^[/\pL\pN_.\- ]*$`)
	aliasName    = regexp.MustCompile(`^[\pL\pN_\-]*$`)
	aliasVersion = regexp.MustCompile(`^[vV]\d+$`)
)

func checkName(what, name string) error {
	norm := path.Clean(name)
	switch {
	case name == "":
		return invalid("%s name cannot be None. A key name must be provided.", what)
	case !entityName.MatchString(name):
		return invalid("Invalid %s name: '%s'. Names may only contain alphanumerics, underscores (_), dashes (-), periods (.), spaces ( ), and slashes (/).", what, name)
	case norm != name, norm == ".", strings.HasPrefix(norm, ".."), strings.HasPrefix(norm, "/"):
		return invalid("Invalid %s name: '%s'. This name would resolve to '%s'", what, name, norm)
	}
	return checkLength(what+" name", maxKey, name)
}

// checkLength counts bytes, as some databases do behind MLflow.
func checkLength(what string, limit int, value string) error {
	if len(value) > limit || !utf8.ValidString(value) {
		return invalid("%s '%.250s' had length %d, which exceeded length limit of %d", what, value, len(value), limit)
	}
	return nil
}

func checkTags(tags []pair) error {
	for _, t := range tags {
		if err := checkName("tag", t.Key); err != nil {
			return err
		}
		if err := checkLength("Tag value", maxTag, t.Value); err != nil {
			return err
		}
	}
	return nil
}

func checkBatch(metrics, params, tags int) error {
	for _, b := range []struct {
		what     string
		limit, n int
	}{
		{"metrics", maxMetricsPerBatch, metrics}, {"params", maxPairsPerBatch, params}, {"tags", maxPairsPerBatch, tags},
		{"metrics, params, and tags", maxEntitiesPerBatch, metrics + params + tags},
	} {
		if b.n > b.limit {
			return invalid("A batch logging request can contain at most %d %s. Got %d %s.", b.limit, b.what, b.n, b.what)
		}
	}
	return nil
}

func checkAlias(alias string) error {
	switch {
	case alias == "":
		return invalid("Registered model alias name cannot be empty.")
	case !aliasName.MatchString(alias):
		return invalid("Invalid alias name: '%s'.", alias)
	case strings.EqualFold(alias, "latest"):
		return invalid("'latest' alias name (case insensitive) is reserved.")
	case aliasVersion.MatchString(alias):
		return invalid("Version alias name '%s' is reserved.", alias)
	}
	return checkLength("Registered model alias name", maxAlias, alias)
}

func checkModelName(name string) error {
	if name == "" || strings.ContainsAny(name, "/:") {
		return invalid("Invalid name: '%s'. Registered model names cannot be empty or hold '/' or ':'", name)
	}
	return nil
}
