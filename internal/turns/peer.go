package turns

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// Python is the interpreter of the peers: Debian's, which has them as packages.
const Python = "/usr/bin/python3"

// Peer starts a Python script that answers each line it reads with a line of
// figures, and returns the function that asks it. That is nil where the machine
// has no Python with the module.
func Peer(t testing.TB, module, script string, args ...string) func(question string) []float64 {
	t.Helper()
	if err := exec.Command(Python, "-c", "import "+module).Run(); err != nil {
		t.Logf("no Python with %s: left out", module)
		return nil
	}
	cmd := exec.CommandContext(t.Context(), Python, append([]string{"-W", "ignore", script}, args...)...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Wait() // it has said what it had to say
	})
	return asker(t, script, in, bufio.NewScanner(out))
}

// asker returns the function that writes a question and reads its answer.
func asker(t testing.TB, script string, in io.Writer, answers *bufio.Scanner) func(question string) []float64 {
	return func(question string) []float64 {
		if _, err := fmt.Fprintln(in, question); err != nil {
			t.Fatalf("%s: %v", script, err)
		}
		if !answers.Scan() {
			t.Fatalf("%s gave no answer to %q", script, question)
		}
		var figures []float64
		for _, word := range strings.Fields(answers.Text()) {
			f, err := strconv.ParseFloat(word, 64)
			if err != nil {
				t.Fatalf("%s answered %q: want figures", script, answers.Text())
			}
			figures = append(figures, f)
		}
		if len(figures) == 0 {
			t.Fatalf("%s answered %q with an empty line", script, question)
		}
		return figures
	}
}

// First makes a contender of a peer: the first figure of its answer to the
// question. It is nil for a peer that is not here.
func First(ask func(question string) []float64, question string) func() float64 {
	if ask == nil {
		return nil
	}
	return func() float64 { return ask(question)[0] }
}
