package datasets

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/medprobe/medprobe/internal/near"
)

// Consensus makes one label of those of several annotators.
type Consensus struct {
	// Finding is the name of the finding where the columns hold 1, 0, -1 or
	// nothing; it is empty where they hold class names.
	Finding string `yaml:"finding"`
	// Of names the annotators' columns.
	Of []string `yaml:"of"`
	// Rule is "majority" (the default): what more than half of those who say
	// something say; "all": what all of them say; or "any": positive if one
	// says so. Without agreement a finding is uncertain and a class not known.
	Rule string `yaml:"rule"`
}

// The rules of a consensus.
const (
	majority  = "majority"
	unanimous = "all"
	anyone    = "any"
)

// consent is a Consensus over the columns of a table.
type consent struct {
	Consensus
	of []int
}

func (c Consensus) check() error {
	if c.Rule != "" {
		if err := near.Check("consensus rule", c.Rule, []string{majority, unanimous, anyone}); err != nil {
			return err
		}
	}
	if len(c.Of) < 2 {
		return fmt.Errorf("consensus of %d columns (of: %s): want two or more", len(c.Of), strings.Join(c.Of, ", "))
	}
	if c.Finding == "" && c.Rule == anyone {
		return errors.New("consensus: rule any is for findings; class names want majority or all")
	}
	return nil
}

func (t *table) consents(s Spec) ([]consent, error) {
	var all []consent
	var errs []error
	for _, c := range s.Consensus {
		agreed := consent{Consensus: c}
		for _, name := range c.Of {
			i, err := t.find("annotator", name, nil)
			errs = append(errs, err)
			agreed.of = append(agreed.of, i)
		}
		all = append(all, agreed)
	}
	return all, errors.Join(errs...)
}

// label returns what the annotators of a row agree on.
func (c consent) label(t *table, r row) (Label, error) {
	votes := map[Label]int{}
	for _, i := range c.of {
		label, err := parseLabel(r.fields[i])
		if err != nil {
			return Missing, fmt.Errorf("%s = %w", t.header[i], err)
		}
		votes[label]++
	}
	said := len(c.of) - votes[Missing]
	switch {
	case said == 0:
		return Missing, nil
	case c.Rule == anyone && votes[Positive] > 0:
		return Positive, nil
	case c.Rule == anyone && votes[Uncertain] > 0:
		return Uncertain, nil
	}
	enough := said/2 + 1
	if c.Rule == unanimous {
		enough = said
	}
	for _, label := range []Label{Positive, Negative} {
		if votes[label] >= enough {
			return label, nil
		}
	}
	return Uncertain, nil
}

// class returns the class name that the annotators of a row agree on, or "".
func (c consent) class(r row) string {
	var said []string
	for _, i := range c.of {
		if name := strings.TrimSpace(r.fields[i]); name != "" {
			said = append(said, name)
		}
	}
	enough := len(said)/2 + 1
	if c.Rule == unanimous {
		enough = len(said)
	}
	slices.Sort(said)
	for from := 0; from < len(said); {
		to := from
		for to < len(said) && said[to] == said[from] {
			to++
		}
		if to-from >= enough {
			return said[from]
		}
		from = to
	}
	return ""
}
