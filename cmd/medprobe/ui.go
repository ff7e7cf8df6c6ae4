package main

// The rules of the terminal:
// - standard output carries data and nothing else: a table, a JSON document;
// - standard error carries progress, notes and errors;
// - progress is drawn only where standard error is a terminal;
// - no colours, so nothing for NO_COLOR to turn off;
// - control characters from file names and data are quoted, never sent.

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode"

	"github.com/medprobe/medprobe/internal/near"
	"github.com/spf13/cobra"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"
)

// ui is where a command writes.
type ui struct{ out, err io.Writer }

// note writes one line for people.
func (u *ui) note(format string, args ...any) {
	fmt.Fprintln(u.err, quoteControl(fmt.Sprintf(format, args...)))
}

// json writes one indented document.
func (u *ui) json(v any) error {
	enc := json.NewEncoder(u.out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// progress returns a function that draws how far a count has come, and one
// that takes the drawing away. Off a terminal both do nothing.
func (u *ui) progress(what string) (update func(done, total int), finish func()) {
	f, ok := u.err.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) || os.Getenv("TERM") == "dumb" {
		return func(int, int) {}, func() {}
	}
	bars := mpb.New(mpb.WithOutput(f), mpb.WithWidth(40))
	var bar *mpb.Bar
	update = func(done, total int) {
		if bar == nil {
			bar = bars.AddBar(int64(total), mpb.BarRemoveOnComplete(),
				mpb.PrependDecorators(decor.Name(what+" "), decor.CountersNoUnit("%d/%d")),
				mpb.AppendDecorators(decor.OnComplete(decor.AverageETA(decor.ET_STYLE_GO), "")))
		}
		bar.SetCurrent(int64(done))
	}
	return update, func() {
		if bar != nil {
			bar.Abort(true)
		}
		bars.Wait()
	}
}

// steps draws the progress of work that goes step by step, one bar at a time.
type steps struct {
	ui      *ui
	current string
	draw    func(done, total int)
	erase   func()
}

func (u *ui) steps() *steps { return &steps{ui: u} }

func (s *steps) update(step string, done, total int) {
	if step != s.current {
		s.finish()
		s.current = step
		s.draw, s.erase = s.ui.progress(step)
	}
	s.draw(done, total)
}

func (s *steps) finish() {
	if s.erase != nil {
		s.erase()
	}
	s.current, s.erase = "", nil
}

// quoteControl replaces what could move a terminal's cursor or reverse its
// text by its escaped form; line breaks stay.
func quoteControl(s string) string {
	unsafe := func(r rune) bool {
		return r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == unicode.ReplacementChar)
	}
	if !strings.ContainsFunc(s, unsafe) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if unsafe(r) {
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// suggest offers the command that was meant.
func suggest(cmd *cobra.Command, name string) string {
	var known []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			known = append(known, c.Name())
		}
	}
	return near.Hint(name, known)
}
