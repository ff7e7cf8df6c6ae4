package report

import (
	_ "embed"
	"html/template"
)

//go:embed head.html
var headText string

// headed returns the template of a page that begins with {{template "head" .Head}};
// parts are what it is made of besides.
func headed(page string, parts ...string) *template.Template {
	t := template.Must(template.New("page").Parse(headText))
	for _, part := range parts {
		template.Must(t.Parse(part))
	}
	return template.Must(t.Parse(page))
}

// pageHead is what stands in the head of every page. Policy forbids all that the
// page does not bring itself.
type pageHead struct {
	Title, Policy string
	Style         template.CSS
}

// newHead forbids everything but the style, which is our own.
func newHead(title, style string) pageHead {
	return pageHead{Title: title, Policy: policy(style), Style: template.CSS(style)} //nolint:gosec // our own files
}
