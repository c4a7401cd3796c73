package system_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"opfeed/internal/workload"
)

// TestKilledProcesses runs emulator, simulator, front end and service as
// processes of their own and kills the service in mid-work, again and again. In
// the end nothing is lost, and a SIGTERM ends the service cleanly in time.
func TestKilledProcesses(t *testing.T) {
	t.Parallel()
	bin := build(t)
	cosmos := launch(t, nil, filepath.Join(bin, "opfeed-dev"), "cosmos", "--listen", "127.0.0.1:0")
	cs := launch(t, nil, filepath.Join(bin, "opfeed-dev"), "cs", "--listen", "127.0.0.1:0", "--speed", "300")
	env := append(cosmos.exports(t, 5), cs.exports(t, 1)...)
	env = append(env, "OPFEED_LISTEN=127.0.0.1:0", "OPFEED_ADMIN_LISTEN=127.0.0.1:0", "OPFEED_LOG_LEVEL=warn",
		// What is deleted while nobody looks was never seen by the next process.
		"OPFEED_UNSEEN_GRACE=20s")
	url := func(name string) string {
		for _, v := range env {
			if value, ok := strings.CutPrefix(v, name+"="); ok {
				return value
			}
		}
		t.Fatalf("%s was not printed", name)
		return ""
	}
	report := filepath.Join(t.TempDir(), "report.json")
	load := launch(t, nil, filepath.Join(bin, "opfeed-dev"), "load", "--cosmos", url("OPFEED_COSMOS_ENDPOINT"),
		"--cs", url("OPFEED_CS_URL"), "--for", "25s", "--report", report)

	for _, life := range []time.Duration{6 * time.Second, 13 * time.Second, 12 * time.Second} {
		service := launch(t, env, filepath.Join(bin, "opfeed"), "run")
		select {
		case err := <-service.ended:
			t.Fatalf("opfeed run ended by itself: %v", err)
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		case <-time.After(life):
		}
		service.signal(t, syscall.SIGKILL)
		<-service.ended
	}
	service := launch(t, env, filepath.Join(bin, "opfeed"), "run")
	if err := <-load.ended; err != nil {
		t.Errorf("load: %v", err)
	}
	body, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	var r workload.Report
	if err := json.Unmarshal(body, &r); err != nil {
		t.Fatal(err)
	}
	if o := r.Operations; o.Created < 50 || o.Terminal != o.Created || r.Lost() {
		t.Errorf("operations: %+v", o)
	}
	t.Log(r.Words())

	service.signal(t, syscall.SIGTERM)
	select {
	case err := <-service.ended:
		if err != nil {
			t.Errorf("opfeed run after SIGTERM: %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("opfeed run did not end within 10 s of SIGTERM")
	}
}

// build compiles the two commands, without the race detector: they are run for
// what they do.
func build(t *testing.T) string {
	t.Helper()
	bin := t.TempDir()
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin+"/", "opfeed/cmd/...").CombinedOutput()
	if err != nil {
		t.Fatalf("build commands: %v\n%s", err, out)
	}
	return bin
}

// process is a command that runs until the test ends at the latest.
type process struct {
	t         *testing.T
	prefix    string // of what it says, in the test's log
	cmd       *exec.Cmd
	out       *bufio.Scanner
	said      atomic.Pointer[string] // its last line, where nobody else reads them
	wrong     []string               // what it says of mismatches; complete when read is closed
	read      chan struct{}
	listening chan string // the address that its log names
	ended     chan error
	gone      chan struct{} // closed after that
}

// launch starts a command in a process group of its own, so that no signal meant
// for the test reaches it in passing. It ends with the test, even if it is frozen
// then or the test dies: its thread is kept until then, since the system tells
// children when the thread ends that has started them.
func launch(t *testing.T, env []string, name string, args ...string) *process {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	p := &process{
		t: t, prefix: filepath.Base(name) + " " + args[0], cmd: exec.CommandContext(ctx, name, args...),
		listening: make(chan string, 1), ended: make(chan error, 1), gone: make(chan struct{}), read: make(chan struct{}),
	}
	for _, v := range env {
		if instance, named := strings.CutPrefix(v, "OPFEED_INSTANCE="); named {
			p.prefix = instance
		}
	}
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}, env...)
	p.cmd.SysProcAttr = ownGroup()
	out, in := io.Pipe()
	p.out = bufio.NewScanner(out)
	p.cmd.Stdout = in
	p.cmd.Stderr = &lines{each: p.hear}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.gone)
		err := p.cmd.Start()
		started <- err
		if err == nil {
			err = p.cmd.Wait()
		}
		_ = in.Close()
		p.ended <- err
		close(p.ended)
	}()
	if args[0] != "cosmos" && args[0] != "cs" {
		go func() {
			defer close(p.read)
			for p.out.Scan() { // nobody else reads it
				line := p.out.Text()
				p.said.Store(&line)
				if strings.HasPrefix(line, "mismatch: ") {
					p.wrong = append(p.wrong, line)
				}
			}
		}()
	}
	if err := <-started; err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.cmd.Process.Signal(syscall.SIGCONT)
		cancel()
		_ = out.Close()
		<-p.gone
	})
	return p
}

// hear takes a line of the process's log: what is more than information goes into
// the test's.
func (p *process) hear(line string) {
	var entry struct{ Level, Msg, For, Address string }
	if json.Unmarshal([]byte(line), &entry) == nil && entry.Level == "info" {
		if entry.Msg == "listening" && entry.For == "cluster" {
			select {
			case p.listening <- entry.Address:
			default:
			}
		}
		return
	}
	p.t.Logf("%s: %s", p.prefix, line)
}

var export = regexp.MustCompile(`^export (OPFEED_[A-Z_]+=.*)$`)

// exports reads the n variables that a part prints for opfeed run.
func (p *process) exports(t *testing.T, n int) []string {
	t.Helper()
	var env []string
	for len(env) < n && p.out.Scan() {
		if m := export.FindStringSubmatch(p.out.Text()); m != nil {
			env = append(env, m[1])
		}
	}
	if len(env) < n {
		t.Fatalf("%s printed %d of %d variables", p.cmd.Path, len(env), n)
	}
	return env
}

func (p *process) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("signal %s: %v", s, err)
	}
}

// lines calls a function for each whole line that is written.
type lines struct {
	each func(line string)
	rest []byte
}

// Write implements io.Writer.
func (l *lines) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	for {
		line, rest, whole := bytes.Cut(l.rest, []byte("\n"))
		if !whole {
			return len(p), nil
		}
		l.each(string(line))
		l.rest = rest
	}
}
