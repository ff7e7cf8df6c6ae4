package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/medprobe/medprobe/internal/needs"
	"golang.org/x/sys/unix"
)

// startAtTerminal starts a command at a terminal of its own, and returns what a
// person has of it: the screen and the keys.
func startAtTerminal(t testing.TB, cmd *exec.Cmd) (screen *os.File) {
	t.Helper()
	screen, program := terminal(t)
	cmd.Env = append(cmd.Env, "TERM=xterm")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = program, program, program
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	program.Close()
	return screen
}

// terminal returns both ends of a new terminal.
func terminal(t testing.TB) (screen, program *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	needs.Granted(t, "terminal", err)
	t.Cleanup(func() { screen.Close() })
	if err := unix.IoctlSetPointerInt(int(screen.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(screen.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { program.Close() })
	if err := unix.IoctlSetWinsize(int(program.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80}); err != nil {
		t.Fatal(err)
	}
	return screen, program
}

var counted = regexp.MustCompile(`embed ([0-9]+)/([0-9]+)`)

// A person sees how far the work has come, presses Ctrl-C and runs it again.
func TestTerminalTakesCtrlCAndKeepsFailures(t *testing.T) {
	needs.Time(t)
	t.Parallel()
	dir, m := phantoms(t), newMachine(t)
	spec := "csv:" + filepath.Join(dir, "labels.csv")
	m.hasDemo()

	cmd := m.command("embed", spec, "--encoder", "demo", "--workers", "1")
	screen := startAtTerminal(t, cmd)
	var shown strings.Builder
	reported, pressed := 0, false
	for buffer := make([]byte, 4096); ; {
		n, err := screen.Read(buffer)
		shown.Write(buffer[:n])
		for _, counts := range counted.FindAllStringSubmatch(shown.String(), -1) {
			_, _ = fmt.Sscan(counts[1], &reported)
		}
		if err != nil {
			break // the program has gone
		}
		if reported > 0 && !pressed {
			pressed = true
			if _, err := screen.Write([]byte{3}); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = cmd.Wait()
	text := shown.String()
	if code := cmd.ProcessState.ExitCode(); !pressed || code != exitInterrupt || !strings.Contains(text, "medprobe: interrupted; what was stored stays stored") {
		t.Errorf("exit %d: want %d; shown:\n%q", code, exitInterrupt, text)
	}
	if strings.Contains(text, "panic") || strings.Contains(text, "\x1b[?25l") && !strings.Contains(text, "\x1b[?25h") {
		t.Errorf("the terminal is left without a cursor, or with a trace:\n%q", text)
	}
	stored := m.stored()
	if stored < reported {
		t.Errorf("%d samples were shown as done, %d are stored", reported, stored)
	}
	if e := m.embed(spec); e.Cached != stored || e.Failed != 0 || e.Embedded == 0 {
		t.Errorf("%d vectors were stored, then %+v", stored, e)
	}
	t.Logf("interrupted with %d stored", stored)

	// A failure stays on the screen, whatever is drawn around it.
	broken := filepath.Join(dir, "images", "P0030-1.png")
	if err := os.WriteFile(broken, []byte("no image"), 0o644); err != nil {
		t.Fatal(err)
	}
	experiment := filepath.Join(dir, "experiment.yaml")
	if err := os.WriteFile(experiment, []byte("data: {format: csv, path: labels.csv, labels: [effusion, device]}\nencoder: demo\npreprocess: padded\nheads: [logistic]\ncurve: {shots: [2, 4, 8], draws: 5}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd = m.command("run", experiment)
	screen = startAtTerminal(t, cmd)
	shown.Reset()
	_, _ = io.Copy(&shown, screen) // to its end, which is an error at a terminal
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v:\n%s", err, shown.String())
	}
	if left := remaining(shown.String()); !strings.Contains(left, "failed: images/P0030-1.png") || strings.Contains(left, "[==") {
		t.Errorf("left on the screen:\n%s", left)
	}
}

// remaining is what of the text stays on a screen that knows two orders: one
// line up, and erase all below.
func remaining(text string) string {
	var lines []string
	for _, line := range strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n") {
		for strings.HasPrefix(line, "\x1b[1A\x1b[J") {
			line = strings.TrimPrefix(line, "\x1b[1A\x1b[J")
			lines = lines[:max(len(lines)-1, 0)]
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// Twice is enough: the second Ctrl-C does not wait for anything.
func TestSecondInterruptEndsAtOnce(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.hasDemo()
	// A pipe that nobody writes to is read for ever.
	pipe := filepath.Join(m.home, "pipe.csv")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := m.command("embed", "csv:"+pipe, "--encoder", "demo")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case <-ended:
			if code := cmd.ProcessState.ExitCode(); code == exitOK {
				t.Errorf("exit %d", code)
			}
			return
		case <-time.After(200 * time.Millisecond):
			_ = cmd.Process.Signal(os.Interrupt)
		}
	}
}
