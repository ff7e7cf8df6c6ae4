package encoder

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/medprobe/medprobe/internal/spiece"
)

// The special tokens of SigLIP's tokeniser; </s> ends a text and fills it up.
const (
	endToken     = "</s>"
	unknownToken = "<unk>"
	wordStart    = "\u2581"
)

// tokenizer turns texts into token ids as Hugging Face's slow SiglipTokenizer
// does (transformers, models/siglip/tokenization_siglip.py). It is safe for
// concurrent use.
type tokenizer struct {
	model *spiece.Model
	end   int
	// unknown is how many pieces the text "<unk>" is cut into.
	unknown int
}

// loadTokenizer reads a spiece.model file.
func loadTokenizer(path string) (*tokenizer, error) {
	model, err := spiece.Load(path)
	if err != nil {
		return nil, err
	}
	end, ok := model.ID(endToken)
	if !ok {
		return nil, fmt.Errorf("%s has no piece %s", path, endToken)
	}
	return &tokenizer{model: model, end: end, unknown: len(model.Encode(unknownToken))}, nil
}

// Vocabulary returns the number of pieces.
func (t *tokenizer) Vocabulary() int { return t.model.Size() }

// Encode returns the 64 ids of a text. Longer texts are cut after 63 ids;
// shorter ones are filled up with the id of </s>.
func (t *tokenizer) Encode(text string) []int64 {
	ids := t.whole(text)
	ids = ids[:min(len(ids), textLength-1)]
	out := make([]int64, textLength)
	for i := range out {
		out[i] = int64(t.end)
		if i < len(ids) {
			out[i] = int64(ids[i])
		}
	}
	return out
}

// Cut returns how many ids of the text [tokenizer.Encode] leaves out.
func (t *tokenizer) Cut(text string) int { return max(0, len(t.whole(text))-(textLength-1)) }

func (t *tokenizer) whole(text string) []int {
	return t.pieces(wordStart + strings.ReplaceAll(text, wordStart, " "))
}

// pieces returns the ids of the whole text. The special tokens are found after
// lower-casing, and eat the spaces beside them.
func (t *tokenizer) pieces(text string) []int {
	text = lower(text)
	var ids []int
	afterSpecial := false
	for len(text) > 0 {
		at, token := nextSpecial(text)
		before := text[:at]
		if afterSpecial {
			before = strings.TrimLeftFunc(before, isSpace)
		}
		if token != "" {
			before = strings.TrimRightFunc(before, isSpace)
		}
		ids = append(ids, t.cut(before)...)
		if token == "" {
			return ids
		}
		// A word start alone before a special token is dropped.
		if start, ok := t.model.ID(wordStart); ok && len(ids) == 1 && ids[0] == start {
			ids = ids[:0]
		}
		if token == endToken {
			ids = append(ids, t.end)
		} else {
			ids = append(ids, t.model.Unknown())
		}
		if len(ids) >= textLength {
			return ids // what follows a special token changes nothing before it
		}
		text, afterSpecial = text[at+len(token):], true
	}
	return ids
}

func nextSpecial(text string) (at int, token string) {
	at = len(text)
	for _, special := range []string{endToken, unknownToken} {
		if i := strings.Index(text, special); i >= 0 && i < at {
			at, token = i, special
		}
	}
	return at, token
}

// cut returns the ids of a text without special tokens. As the reference does,
// it puts "<unk>" before the text and drops its pieces afterwards, so that the
// model sees no beginning of a text.
func (t *tokenizer) cut(text string) []int {
	if text == "" {
		return nil
	}
	ids := t.model.Encode(unknownToken + canonical(text))
	if len(ids) < t.unknown {
		return ids
	}
	return ids[t.unknown:]
}

// lower lower-cases as Python does character by character: simple case mapping
// except for İ, the one character whose lower case is two.
func lower(s string) string {
	s = strings.ReplaceAll(s, "\u0130", "i\u0307")
	return strings.Map(unicode.ToLower, s)
}

// canonical removes ASCII punctuation (Python's string.punctuation), folds
// white space and strips it.
func canonical(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	pending := false
	for _, r := range s {
		switch {
		case isSpace(r):
			pending = true
		case isPunctuation(r):
		default:
			if pending && b.Len() > 0 {
				b.WriteByte(' ')
			}
			pending = false
			b.WriteRune(r)
		}
	}
	return b.String()
}

// isPunctuation says whether r is in Python's string.punctuation.
func isPunctuation(r rune) bool {
	return r >= '!' && r <= '/' || r >= ':' && r <= '@' || r >= '[' && r <= '`' || r >= '{' && r <= '~'
}

// isSpace is Python's str.isspace, which adds four separators to Go's.
func isSpace(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f }
