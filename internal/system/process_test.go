package system_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
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
	env = append(env, "OPFEED_LISTEN=127.0.0.1:0", "OPFEED_LOG_LEVEL=warn",
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
	cmd   *exec.Cmd
	out   *bufio.Scanner
	ended chan error
}

func launch(t *testing.T, env []string, name string, args ...string) *process {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	p := &process{cmd: exec.CommandContext(ctx, name, args...), ended: make(chan error, 1)}
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}, env...)
	out, in := io.Pipe()
	p.out = bufio.NewScanner(out)
	p.cmd.Stdout = in
	p.cmd.Stderr = logWriter{t: t, prefix: filepath.Base(name) + " " + args[0] + ": "}
	if err := p.cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		err := p.cmd.Wait()
		_ = in.Close()
		p.ended <- err
		close(p.ended)
	}()
	if args[0] != "cosmos" && args[0] != "cs" {
		go func() {
			for p.out.Scan() { // nobody else reads it
			}
		}()
	}
	t.Cleanup(func() {
		cancel()
		_ = out.Close()
		<-finished
	})
	return p
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

// logWriter puts what a process says into the test's log.
type logWriter struct {
	t      *testing.T
	prefix string
}

// Write implements io.Writer.
func (w logWriter) Write(p []byte) (int, error) {
	w.t.Logf("%s%s", w.prefix, strings.TrimSpace(string(p)))
	return len(p), nil
}
