package datasets

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/medprobe/medprobe/internal/near"
	"go.yaml.in/yaml/v4"
)

// ByFinding is one word for all findings, or one for each; in YAML a word, or
// findings with words, "default" standing for all others.
type ByFinding struct {
	Default string
	Each    map[string]string
}

// UnmarshalYAML reads a word or a map of words.
func (b *ByFinding) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode {
		b.Default = node.Value
		return nil
	}
	if err := node.Load(&b.Each); err != nil {
		return err
	}
	b.Default = b.Each["default"]
	delete(b.Each, "default")
	return nil
}

func (b ByFinding) of(finding string) string { return cmp.Or(b.Each[finding], b.Default) }

func (b ByFinding) check(what string, words []string) error {
	var errs []error
	for _, word := range append(slices.Sorted(maps.Values(b.Each)), b.Default) {
		if word != "" {
			if err := near.Check(what, word, words); err != nil {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

// The words for what to do with a label.
const (
	asMissing  = "missing"
	asPositive = "positive"
	asNegative = "negative"
	asSeparate = "separate"
)

// noFinding is the finding that says that there is no other.
const noFinding = "No Finding"

// RuleEffect says what a rule of the spec did to one finding.
type RuleEffect struct {
	Rule    string `json:"rule"`
	Finding string `json:"finding"`
	// Changed is how many samples have another label than before.
	Changed int `json:"changed"`
}

func (s Spec) checkRules() error {
	errs := []error{
		s.Uncertain.check("rule for uncertain labels", []string{asMissing, asPositive, asNegative, asSeparate}),
		s.Missing.check("rule for missing labels", []string{asMissing, asNegative}),
	}
	named := 0
	for _, c := range s.Consensus {
		errs = append(errs, c.check())
		if c.Finding == "" {
			named++
		}
	}
	if named > 1 || named == 1 && (len(s.Consensus) > 1 || len(s.Labels) > 0) || named == 1 && s.Label != "" {
		errs = append(errs, errors.New("consensus without a finding is about class names: want it alone, without label or labels"))
	}
	return errors.Join(errs...)
}

// makes reports whether a rule or a consensus of the spec makes a finding of this
// name, for which there is no column then.
func (s Spec) makes(finding string) bool {
	for _, to := range s.Rename {
		if to == finding {
			return true
		}
	}
	return slices.ContainsFunc(s.Consensus, func(c Consensus) bool { return c.Finding == finding })
}

// renamed returns the name that a class is to have.
func (s Spec) renamed(name string) string {
	if to, ok := s.Rename[name]; ok {
		return to
	}
	return name
}

// applyRules changes the labels of findings as the spec says: findings are
// renamed and merged first, then what no finding implies, then uncertain and
// missing labels get their meaning.
func (d *Dataset) applyRules(s Spec) error {
	if d.Exclusive() {
		return d.checkRuleNames(s)
	}
	if !d.named { // classes got their names when they were read
		if err := d.merge(s); err != nil {
			return err
		}
	}
	if err := d.checkRuleNames(s); err != nil {
		return err
	}
	if s.NoFindingImpliesNegative {
		if err := d.implyNegatives(); err != nil {
			return err
		}
	}
	d.settleUncertain(s)
	for c, class := range d.Classes {
		if s.Missing.of(class) == asNegative {
			d.change("missing: negative", c, func(l Label) Label {
				if l == Missing {
					return Negative
				}
				return l
			})
		}
	}
	return nil
}

// checkRuleNames refuses rules about findings that are not there.
func (d *Dataset) checkRuleNames(s Spec) error {
	for _, rule := range []ByFinding{s.Uncertain, s.Missing} {
		for name := range rule.Each {
			if err := near.Check("finding in a rule", name, d.Classes); err != nil {
				return fmt.Errorf("datasets: %s: %w", d.Spec, err)
			}
		}
	}
	return nil
}

// change maps the labels of a class and notes how many changed.
func (d *Dataset) change(rule string, class int, to func(Label) Label) {
	effect := RuleEffect{Rule: rule, Finding: d.Classes[class]}
	for i := range d.Samples {
		if old := d.Samples[i].Labels[class]; to(old) != old {
			d.Samples[i].Labels[class] = to(old)
			effect.Changed++
		}
	}
	d.Rules = append(d.Rules, effect)
}

// merge renames findings; those that come to the same name become one, which is
// positive if one of them is, uncertain if one may be, and negative only if all
// of them are.
func (d *Dataset) merge(s Spec) error {
	if len(s.Rename) == 0 {
		return nil
	}
	for old := range s.Rename {
		if err := near.Check("finding to rename", old, d.Classes); err != nil {
			return fmt.Errorf("datasets: %s: %w", d.Spec, err)
		}
	}
	var names []string
	sources := map[string][]int{}
	for c, class := range d.Classes {
		to := s.renamed(class)
		if sources[to] == nil {
			names = append(names, to)
		}
		sources[to] = append(sources[to], c)
	}
	changed := make([]int, len(names))
	for i := range d.Samples {
		labels := make([]Label, len(names))
		for k, name := range names {
			labels[k] = merged(d.Samples[i].Labels, sources[name])
			if labels[k] != d.Samples[i].Labels[sources[name][0]] {
				changed[k]++
			}
		}
		d.Samples[i].Labels = labels
	}
	for k, name := range names {
		var old []string
		for _, c := range sources[name] {
			old = append(old, d.Classes[c])
		}
		if len(old) > 1 || old[0] != name {
			d.Rules = append(d.Rules, RuleEffect{Rule: "from " + strings.Join(old, ", "), Finding: name, Changed: changed[k]})
		}
	}
	d.labelByFinding(names)
	return nil
}

func merged(labels []Label, of []int) Label {
	has := map[Label]bool{}
	for _, c := range of {
		has[labels[c]] = true
	}
	for _, l := range []Label{Positive, Uncertain, Missing} {
		if has[l] {
			return l
		}
	}
	return Negative
}

// implyNegatives takes every other finding as absent where no finding is said.
func (d *Dataset) implyNegatives() error {
	none := slices.IndexFunc(d.Classes, func(name string) bool {
		return strings.EqualFold(strings.ReplaceAll(name, "_", " "), noFinding)
	})
	if none < 0 {
		return fmt.Errorf("datasets: %s: no_finding_implies_negative: there is no finding %q; known: %s", d.Spec, noFinding, strings.Join(d.Classes, ", "))
	}
	changed, contradicted := make([]int, len(d.Classes)), 0
	for i := range d.Samples {
		labels := d.Samples[i].Labels
		if labels[none] != Positive {
			continue
		}
		for c, l := range labels {
			switch {
			case c == none:
			case l == Missing:
				labels[c] = Negative
				changed[c]++
			case l == Positive:
				contradicted++
			}
		}
	}
	for c, class := range d.Classes {
		if c != none {
			d.Rules = append(d.Rules, RuleEffect{Rule: "no_finding_implies_negative", Finding: class, Changed: changed[c]})
		}
	}
	if contradicted > 0 {
		d.problem(d.Spec, "%d findings are positive in samples that also say %q; they stay positive", contradicted, d.Classes[none])
	}
	return nil
}

// settleUncertain gives uncertain labels the meaning that the spec says. A
// separate one is a finding of its own, NAME (uncertain), that is negative where
// NAME is known.
func (d *Dataset) settleUncertain(s Spec) {
	for c, class := range slices.Clone(d.Classes) {
		word := s.Uncertain.of(class)
		if word == "" {
			continue
		}
		if word == asSeparate {
			d.Classes = append(d.Classes, class+" (uncertain)")
			for i := range d.Samples {
				l := Missing
				switch d.Samples[i].Labels[c] {
				case Uncertain:
					l = Positive
				case Positive, Negative:
					l = Negative
				}
				d.Samples[i].Labels = append(slices.Clip(d.Samples[i].Labels), l)
			}
			d.Task = Multilabel
		}
		to := map[string]Label{asPositive: Positive, asNegative: Negative}[word] // or Missing
		d.change("uncertain: "+word, c, func(l Label) Label {
			if l == Uncertain {
				return to
			}
			return l
		})
	}
}
