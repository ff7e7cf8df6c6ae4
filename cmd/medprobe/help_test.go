package main

import (
	"io"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// eachCommand visits every command that people use, but cobra's own.
func eachCommand(t *testing.T, visit func(*cobra.Command)) {
	t.Helper()
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.Hidden && cmd.Name() != "man" {
			return
		}
		visit(cmd)
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(newRoot(&ui{out: io.Discard, err: io.Discard}))
}

// Every command's help has an example: lines that begin with the command itself,
// whose subcommands and flags are there.
func TestEveryCommandHasAnExample(t *testing.T) {
	t.Parallel()
	n := 0
	eachCommand(t, func(cmd *cobra.Command) {
		n++
		path := cmd.CommandPath()
		if cmd.Example == "" {
			t.Errorf("%s: no example", path)
		}
		for line := range strings.Lines(cmd.Example) {
			line = strings.TrimSuffix(line, "\n")
			command, indented := strings.CutPrefix(line, "  ")
			if !indented || command != strings.TrimSpace(command) {
				t.Errorf("%s: %q: want two blanks and a command", path, line)
			}
			if !strings.HasPrefix(command+" ", path+" ") {
				t.Errorf("%s: %q is an example of something else", path, line)
				continue
			}
			checkExample(t, cmd.Root(), command)
		}
	})
	if n < 40 {
		t.Errorf("%d commands: the program has more", n)
	}
}

// checkExample sees to it that what an example says can be understood.
func checkExample(t *testing.T, root *cobra.Command, command string) {
	t.Helper()
	words := strings.Fields(command)[1:]
	cmd, rest, err := root.Find(words)
	if err != nil {
		t.Errorf("%q: %v", command, err)
		return
	}
	for _, word := range rest {
		name, isFlag := strings.CutPrefix(word, "--")
		name, _, _ = strings.Cut(name, "=")
		if isFlag && !hasFlag(cmd, name) && name != "help" {
			t.Errorf("%q: no flag --%s", command, name)
		}
	}
}

func hasFlag(cmd *cobra.Command, name string) bool {
	return cmd.Flags().Lookup(name) != nil || cmd.InheritedFlags().Lookup(name) != nil
}

// The help of the program is a tour: every command stands in one of its groups.
func TestHelpIsATour(t *testing.T) {
	t.Parallel()
	root := newRoot(&ui{out: io.Discard, err: io.Discard})
	for _, cmd := range root.Commands() {
		if !cmd.Hidden && cmd.Name() != "help" && cmd.GroupID == "" {
			t.Errorf("%s stands in no group", cmd.Name())
		}
	}
	for _, g := range root.Groups() {
		if strings.Contains(g.Title, "Commands") {
			t.Errorf("group %q: want a task", g.Title)
		}
	}
	for line := range strings.Lines(root.Long) {
		if command, ok := strings.CutPrefix(line, "  medprobe "); ok {
			command, _, _ = strings.Cut(command, "  ")
			checkExample(t, root, "medprobe "+strings.TrimSpace(command))
		}
	}
}
