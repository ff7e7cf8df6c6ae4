package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/medprobe/medprobe/datasets/phantom"
	"golang.org/x/sys/unix"
)

// terminal returns both ends of a new terminal.
func terminal(t testing.TB) (screen, program *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no terminals here: %v", err)
	}
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
func TestCtrlCAtATerminal(t *testing.T) {
	if testing.Short() {
		t.Skip("draws images of 160 patients")
	}
	t.Parallel()
	dir, m := t.TempDir(), newMachine(t)
	if err := phantom.WriteDataset(t.Context(), dir, phantom.Options{Seed: 12, Train: 80, Test: 80}); err != nil {
		t.Fatal(err)
	}
	spec := "csv:" + filepath.Join(dir, "labels.csv")
	m.must("encoder", "show", "demo")

	screen, program := terminal(t)
	cmd := m.command("embed", spec, "--encoder", "demo", "--workers", "1")
	cmd.Env = append(cmd.Env, "TERM=xterm")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = program, program, program
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	program.Close()
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
	start := time.Now()
	if e := m.embed(spec); e.Cached != stored || e.Failed != 0 || e.Embedded == 0 {
		t.Errorf("%d vectors were stored, then %+v", stored, e)
	}
	t.Logf("interrupted at %d stored; the rest took %v", stored, time.Since(start))
}

// Twice is enough: the second Ctrl-C does not wait for anything.
func TestSecondInterruptEndsAtOnce(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.must("encoder", "show", "demo")
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
