package browser_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long anything may take before a test gives up: a machine may
// be slow, and no test is decided by how slow.
const patience = 60 * time.Second

// chromium is one browser process, driven over a pipe (file descriptors 3 and 4
// of the process, messages end with a zero byte). There is no port that anybody
// else could use.
type chromium struct {
	in  *os.File
	out *os.File

	mu       sync.Mutex
	last     int
	waiting  map[int]chan reply
	sessions map[string]*tab
	ended    error // why no more replies come
}

type reply struct {
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Message string `json:"message"`
	} `json:"error"`
}

// message is what comes from the browser: a reply has an ID, an event a Method.
type message struct {
	reply
	ID      int             `json:"id"`
	Method  string          `json:"method"`
	Params  json.RawMessage `json:"params"`
	Session string          `json:"sessionId"`
}

// program finds Chromium, or skips the test.
func program(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("REQUIRE_TOOLS") == "1" {
		t.Fatal("no chromium: REQUIRE_TOOLS=1 asks for it (Debian: apt-get install chromium)")
	}
	t.Skip("SKIPPED: the status page is not tested, there is no chromium (Debian: apt-get install chromium)")
	return ""
}

// start runs a browser that ends with the test, with a profile of its own, and
// that can resolve no name: a page that asks another host gets nothing.
func start(t *testing.T) *chromium {
	t.Helper()
	path := program(t)
	// Not t.TempDir, which fails the test if a child of the browser still writes.
	profile, err := os.MkdirTemp("", "opfeed-chromium-") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	args := []string{
		"--headless", "--remote-debugging-pipe", "--user-data-dir=" + profile,
		"--no-first-run", "--no-default-browser-check", "--no-proxy-server",
		"--disable-gpu", "--disable-dev-shm-usage", "--disable-extensions", "--disable-sync",
		"--disable-background-networking", "--disable-component-update", "--disable-default-apps",
		"--disable-domain-reliability", "--metrics-recording-only", "--mute-audio", "--password-store=basic",
		"--disable-features=Translate,MediaRouter,OptimizationHints,AutofillServerCommunication",
		"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
		"--force-color-profile=srgb", "--hide-scrollbars", "--lang=en-US", "about:blank",
	}
	if os.Geteuid() == 0 {
		args = append([]string{"--no-sandbox"}, args...) // Chromium refuses root otherwise
	}
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), "TZ=UTC", "LANG=C.UTF-8")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // to end its children, too
	theirIn, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, theirOut, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.ExtraFiles = []*os.File{theirIn, theirOut}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirIn.Close()
	theirOut.Close()
	b := &chromium{in: in, out: out, waiting: map[int]chan reply{}, sessions: map[string]*tab{}}
	read := make(chan struct{})
	go func() {
		defer close(read)
		b.read()
	}()
	t.Cleanup(func() {
		in.Close() // it ends by itself, but need not
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
		<-read
		out.Close()
		for range 20 { // a child of it may still be writing
			if err = os.RemoveAll(profile); err == nil {
				return
			}
		}
		t.Logf("the profile is left behind: %v", err)
	})
	return b
}

// read delivers replies and events until the browser is gone.
func (b *chromium) read() {
	lines := bufio.NewReaderSize(b.out, 1<<20)
	for {
		line, err := lines.ReadBytes(0)
		if err != nil {
			b.end(fmt.Errorf("read from chromium: %w", err))
			return
		}
		var m message
		if err := json.Unmarshal(line[:len(line)-1], &m); err != nil {
			b.end(fmt.Errorf("decode a message of chromium: %w", err))
			return
		}
		b.mu.Lock()
		waiting, of := b.waiting[m.ID], b.sessions[m.Session]
		if m.ID != 0 {
			delete(b.waiting, m.ID)
		}
		b.mu.Unlock()
		switch {
		case m.ID != 0 && waiting != nil:
			waiting <- m.reply
		case m.Method != "" && of != nil:
			of.event(m.Method, m.Params)
		}
	}
}

func (b *chromium) end(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = err
	for id, c := range b.waiting {
		close(c)
		delete(b.waiting, id)
	}
}

// call asks the browser, or one of its pages, and waits for the reply.
func (b *chromium) call(session, method string, params, result any) error {
	type request struct {
		ID      int    `json:"id"`
		Method  string `json:"method"`
		Params  any    `json:"params,omitempty"`
		Session string `json:"sessionId,omitempty"`
	}
	answer := make(chan reply, 1)
	b.mu.Lock()
	if b.ended != nil {
		b.mu.Unlock()
		return b.ended
	}
	b.last++
	id := b.last
	b.waiting[id] = answer
	text, err := json.Marshal(request{id, method, params, session})
	if err == nil {
		_, err = b.in.Write(append(text, 0))
	}
	b.mu.Unlock()
	if err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	timer := time.NewTimer(patience + 10*time.Second)
	defer timer.Stop()
	select {
	case r, ok := <-answer:
		switch {
		case !ok:
			return fmt.Errorf("%s: chromium is gone", method)
		case r.Error != nil:
			return fmt.Errorf("%s: %s", method, r.Error.Message)
		case result != nil:
			return json.Unmarshal(r.Result, result)
		}
		return nil
	case <-timer.C:
		return errors.New(method + ": no reply for " + strconv.Itoa(int(patience.Seconds())) + " s")
	}
}
