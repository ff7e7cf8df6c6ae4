package experiment

import (
	"fmt"
	"strings"

	"github.com/medprobe/medprobe/datasets"
	"github.com/medprobe/medprobe/internal/near"
	"go.yaml.in/yaml/v4"
)

// UnmarshalYAML reads texts by finding, or pack:NAME for all that a pack has.
func (p *Prompts) UnmarshalYAML(node *yaml.Node) error {
	switch {
	case node.Kind == yaml.ScalarNode && isPack(node):
		pack, err := packName(node)
		*p = Prompts{everyFinding: {pack: pack}}
		return err
	case node.Kind == yaml.ScalarNode:
		*p = Prompts{unnamed: {bare: bare(node)}}
		return nil
	case node.Kind == yaml.SequenceNode:
		*p = bareList(node)
		return nil
	}
	type fields Prompts
	if err := node.Load((*fields)(p), yaml.WithKnownFields()); err != nil {
		return err
	}
	if texts := (*p)["positive"]; texts.bare != nil { // without a finding over it
		*p = Prompts{unnamed: texts}
	}
	return nil
}

// UnmarshalYAML reads the texts of a finding, or pack:NAME for those of a pack,
// or pack:NAME/FINDING where the pack calls it otherwise.
func (p *Prompt) UnmarshalYAML(node *yaml.Node) (err error) {
	switch {
	case node.Kind == yaml.ScalarNode && isPack(node):
		p.pack, err = packName(node)
		return err
	case node.Kind == yaml.ScalarNode || node.Kind == yaml.SequenceNode:
		p.bare = bare(node)
		return nil
	}
	type fields Prompt
	return node.Load((*fields)(p), yaml.WithKnownFields())
}

func isPack(node *yaml.Node) bool { return strings.HasPrefix(node.Value, packPrefix) }

func packName(node *yaml.Node) (string, error) {
	pack := strings.TrimPrefix(node.Value, packPrefix)
	name, _, _ := strings.Cut(pack, "/")
	if err := near.Check("pack of prompts", name, Packs()); err != nil {
		return "", err
	}
	return pack, nil
}

// unpacked puts the texts of packs in the place of their names. The pack under
// "*" gives those of every finding of the data that has no entry of its own;
// what the data does not know is left out. A finding that names a pack must be
// in it.
func (p Prompts) unpacked(d *datasets.Dataset) (Prompts, error) {
	full := make(Prompts, len(p))
	for _, name := range sortedKeys(p) {
		prompt := p[name]
		if prompt.pack == "" {
			full[name] = prompt
			continue
		}
		file, finding, _ := strings.Cut(prompt.pack, "/")
		pack, err := loadPrompts(packPrefix + file)
		if err != nil {
			return nil, err
		}
		known := pack.known(d)
		if finding != "" {
			known = Prompts{name: pack[finding]}
		}
		if name != everyFinding {
			texts := known[name]
			if len(texts.Positive) == 0 {
				return nil, fmt.Errorf("experiment: prompts: %s: %s%s has no such finding, or the data has none: the pack has %q; say which with %s%s/FINDING", name, packPrefix, prompt.pack, sortedKeys(pack), packPrefix, file)
			}
			full[name] = texts
			continue
		}
		if finding != "" {
			return nil, fmt.Errorf("experiment: prompts: %q: %s%s is one finding's: want the whole pack for all", everyFinding, packPrefix, prompt.pack)
		}
		for _, class := range sortedKeys(known) {
			if _, said := p[class]; !said {
				full[class] = known[class]
			}
		}
	}
	return full, nil
}
