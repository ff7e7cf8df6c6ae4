package experiment

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// bareTexts are texts of a finding that stand under neither positive nor negative, and
// the line they begin at.
type bareTexts struct {
	texts []string
	line  int
}

// unnamed is the entry of texts without a finding: a list in place of findings.
const unnamed = "\x00"

// bare are the texts in a word or a list.
func bare(node *yaml.Node) *bareTexts {
	b := &bareTexts{line: node.Line}
	if node.Kind == yaml.ScalarNode {
		b.texts = []string{node.Value}
	}
	for _, item := range node.Content {
		if item.Kind == yaml.ScalarNode {
			b.texts = append(b.texts, item.Value)
		}
	}
	return b
}

// bareList reads a list where findings are wanted: of texts, or with a dash before
// each finding.
func bareList(node *yaml.Node) Prompts {
	p := Prompts{}
	for _, item := range node.Content {
		if item.Kind != yaml.MappingNode {
			continue
		}
		for i := 0; i+1 < len(item.Content); i += 2 {
			name := item.Content[i].Value
			if _, said := p[name]; !said && name != "positive" && name != "negative" {
				p[name] = Prompt{bare: bare(item.Content[i+1])}
			}
		}
	}
	if len(p) == 0 {
		p[unnamed] = Prompt{bare: bare(node)}
	}
	return p
}

// fault shows how bare texts of a finding are written. Where they name none, it is one
// of the data's.
func (b *bareTexts) fault(finding string, known []string) error {
	if finding == unnamed {
		finding = strings.Join(known[:min(1, len(known))], "")
	}
	finding = cmp.Or(finding, "FINDING")
	positive := finding
	if len(b.texts) > 0 {
		positive = b.texts[0]
	}
	return fmt.Errorf("line %d: prompts: want the texts under positive and negative of each finding, such as %s: {positive: [%s], negative: [%s]}; or %sNAME",
		b.line, finding, strconv.Quote(positive), strconv.Quote("no "+finding), packPrefix)
}
