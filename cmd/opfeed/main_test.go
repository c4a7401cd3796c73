package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// asCommand makes the test binary behave as the command itself.
const asCommand = "RUN_AS_THE_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
	}
	os.Exit(m.Run())
}

func try(args []string, environ ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // nothing here may wait for it
	code = run(ctx, args, &out, &errs, environ)
	return code, out.String(), errs.String()
}

func TestCommandLine(t *testing.T) {
	for _, c := range []struct {
		args           []string
		code           int
		stdout, stderr string
	}{
		{[]string{"help"}, 0, "usage: opfeed COMMAND", ""},
		{[]string{"-h"}, 0, "usage: opfeed COMMAND", ""},
		{[]string{"run", "--help"}, 0, "usage: opfeed COMMAND", ""},
		{[]string{"version"}, 0, "opfeed ", ""},
		{[]string{"config"}, 0, "| `OPFEED_COSMOS_ENDPOINT` |", ""},
		{nil, 2, "", "opfeed: a command is missing\n"},
		{[]string{"serve"}, 2, "", "opfeed: unknown command \"serve\"\n"},
		{[]string{"--verbose", "run"}, 2, "", "flag provided but not defined: -verbose\n"},
		{[]string{"run", "now"}, 2, "", "opfeed: run takes no argument, but there is \"now\"\n"},
		{[]string{"run", "--replicas", "2"}, 2, "", "flag provided but not defined: -replicas\n"},
		{[]string{"config", "x"}, 2, "", "opfeed: config takes no argument, but there is \"x\"\n"},
	} {
		code, stdout, stderr := try(c.args)
		if code != c.code || !strings.Contains(stdout, c.stdout) || !strings.Contains(stderr, c.stderr) ||
			(stdout == "") != (c.stdout == "") || (stderr == "") != (c.stderr == "") ||
			strings.Contains(stderr, "usage: ") && !strings.HasSuffix(stderr, c.stderr) {
			t.Errorf("%v: have %d\nstdout: %.200s\nstderr: %.200s", c.args, code, stdout, stderr)
		}
	}
}

func TestConfigurationPageIsUpToDate(t *testing.T) {
	want, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	_, have, _ := try([]string{"config"})
	if have != string(want) {
		t.Error("docs/configuration.md is not what the code says: run make config")
	}
}

func TestWrongConfiguration(t *testing.T) {
	const secret = "c2VjcmV0LXNlY3JldC1zZWNyZXQ"
	code, stdout, stderr := try([]string{"run"}, "OPFEED_COSMOS_KEY="+secret, "OPFEED_CS_URL=x", "OPFEED_TYPO="+secret, "OPFEED_SWEEP_INTERVAL=10")
	if code != exitUsage || stdout != "" {
		t.Errorf("code %d, stdout %q", code, stdout)
	}
	for _, name := range []string{"COSMOS_ENDPOINT", "COSMOS_KEY", "COSMOS_DATABASE", "CS_URL", "TYPO", "SWEEP_INTERVAL"} {
		if !strings.Contains(stderr, "\nOPFEED_"+name+": ") {
			t.Errorf("nothing said of %s in\n%s", name, stderr)
		}
	}
	if strings.Contains(stderr, secret) {
		t.Errorf("the secret shows in\n%s", stderr)
	}
}

// command starts the command as a process of its own, which finds neither Cosmos
// DB nor Cluster Service, and waits until it answers.
func command(t *testing.T) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	address := free(t)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "run")
	cmd.Env = append(os.Environ(), asCommand+"=1",
		"OPFEED_COSMOS_ENDPOINT=http://"+free(t), "OPFEED_COSMOS_KEY=YQ==", "OPFEED_COSMOS_DATABASE=db",
		"OPFEED_CS_URL=http://"+free(t), "OPFEED_LISTEN="+address, "OPFEED_ADMIN_LISTEN=127.0.0.1:0")
	log := new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Timeout: time.Second}
	retry := time.NewTicker(20 * time.Millisecond)
	defer retry.Stop()
	for deadline := time.Now().Add(30 * time.Second); ; <-retry.C {
		reply, err := client.Get("http://" + address + "/readyz")
		if err == nil {
			if err := reply.Body.Close(); err != nil {
				t.Fatal(err)
			}
			if reply.StatusCode != http.StatusServiceUnavailable {
				t.Errorf("ready although nothing is there: %d", reply.StatusCode)
			}
			return cmd, log
		}
		if time.Now().After(deadline) {
			t.Fatalf("no answer: %v", err)
		}
	}
}

func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestFirstSignalStops(t *testing.T) {
	cmd, log := command(t)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, log)
	}
	if !strings.Contains(log.String(), `"msg":"service stopped"`) {
		t.Errorf("have log\n%s", log)
	}
}

// TestSecondSignalEndsAtOnce uses the function alone: a process that stops takes
// too little time for a second signal to be sent reliably.
func TestSecondSignalEndsAtOnce(t *testing.T) {
	exited := make(chan int, 1)
	var log bytes.Buffer
	ctx := stopOnSignal(t.Context(), &log, func(code int) { exited <- code })
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-ctx.Done()
	select {
	case code := <-exited:
		t.Fatalf("the first signal ended the process with %d", code)
	default:
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := <-exited; code != 128+int(syscall.SIGTERM) || !errors.Is(ctx.Err(), context.Canceled) {
		t.Errorf("ended with %d", code)
	}
}
