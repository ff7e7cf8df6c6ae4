package mlflow

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of mlflow/utils/validation.py, counted in bytes here: no server counts
// more. Older servers take 500 of a parameter's value.
const (
	maxKey   = 250
	maxValue = 500
	maxText  = 5000
)

// Name makes a text the name of a parameter, metric or tag: of letters, digits, and
// "_", "-", ".", " " and "/", 250 bytes at most, and a path that leads nowhere else.
// A text that has to be changed for that ends in eight digits of its SHA-256, so that
// two findings that differ in a sign only keep apart.
func Name(text string) string {
	name := strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("_-. /", r) {
			return r
		}
		return '_'
	}, text)
	if name != text || len(name) > maxKey || path.Clean(name) != name || strings.HasPrefix(name, "..") || strings.HasPrefix(name, "/") || name == "." {
		sum := sha256.Sum256([]byte(text))
		digits := "_" + hex.EncodeToString(sum[:4])
		name = cut(strings.TrimLeft(path.Clean("/"+name), "./"), maxKey-len(digits)) + digits
	}
	return name
}

// Value cuts a text to what every server takes as the value of a parameter.
func Value(text string) string { return ellipsis(text, maxValue) }

// Text cuts a text to what every server takes as a tag or a description.
func Text(text string) string { return ellipsis(text, maxText) }

func ellipsis(s string, n int) string {
	s = strings.ToValidUTF8(s, "�")
	if len(s) <= n {
		return s
	}
	return cut(s, n-len("…")) + "…"
}

// cut returns the first n bytes or fewer, whole characters.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

var aliasName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,255}$`)

// CheckAlias refuses what no server takes as an alias.
func CheckAlias(alias string) error {
	lower := strings.ToLower(alias)
	if !aliasName.MatchString(alias) || lower == "latest" || regexp.MustCompile(`^v[0-9]+$`).MatchString(lower) {
		return fmt.Errorf("alias %q: MLflow wants letters, digits, - and _, and neither \"latest\" nor a version such as \"v3\"", alias)
	}
	return nil
}

// CheckModel refuses names of registered models that some server does not take, or
// that cannot be looked for.
func CheckModel(name string) error {
	if name == "" || len(name) > maxKey || strings.ContainsAny(name, "/:'\"`\\") || strings.ContainsFunc(name, unicode.IsControl) || !utf8.ValidString(name) {
		return fmt.Errorf("registered model %q: want up to %d bytes without slashes, colons, quotes and control characters", name, maxKey)
	}
	return nil
}
