package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"opfeed/processor/status"
)

func TestUsage(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		code int
		want string // on the stream that the code calls for
	}{
		"nothing":           {nil, exitUsage, "Commands:"},
		"help":              {[]string{"help"}, exitOK, "Commands:"},
		"unknown command":   {[]string{"down"}, exitUsage, `unknown command "down"`},
		"help of a command": {[]string{"up", "-h"}, exitOK, "-subscriptions"},
		"unknown flag":      {[]string{"up", "--nope"}, exitUsage, "-nope"},
		"an argument":       {[]string{"up", "now"}, exitUsage, `unexpected argument "now"`},
		"no replica":        {[]string{"up", "--replicas", "0"}, exitUsage, "--replicas 0: must be 1 to 9"},
		"replicas":          {[]string{"up", "--replicas", "10"}, exitUsage, "--replicas 10: must be 1 to 9"},
		"ranges":            {[]string{"up", "--ranges", "-1"}, exitUsage, "--ranges -1: must be 1 to 100"},
		"rate":              {[]string{"up", "--rate", "0"}, exitUsage, "rate 0"},
		"all problems":      {[]string{"up", "--rate", "-1", "--subscriptions", "0", "--speed", "0"}, exitUsage, "speed"},
		"log level":         {[]string{"up", "--log-level", "loud"}, exitUsage, "--log-level"},
		"no such folder":    {[]string{"up", "--documents", "/no/such/folder"}, exitUsage, "--documents"},
		"no place for it":   {[]string{"up", "--report", "/no/such/folder/r.json"}, exitUsage, "--report"},
		"load without URLs": {[]string{"load"}, exitUsage, "the Cluster Service URL is missing"},
		"no key file":       {[]string{"load", "--cosmos-key-file", "/no/such/file"}, exitUsage, "--cosmos-key-file"},
		"speed of cs":       {[]string{"cs", "--speed", "-1"}, exitUsage, "--speed must be above 0"},
		"bad admin":         {[]string{"cs", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:99999"}, exitBad, "listen on 127.0.0.1:99999"},
		"bad cosmos admin":  {[]string{"cosmos", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:99999"}, exitBad, "listen on 127.0.0.1:99999"},
		"bad address":       {[]string{"cosmos", "--listen", "127.0.0.1:99999"}, exitBad, "listen on 127.0.0.1:99999"},
	} {
		t.Run(name, func(t *testing.T) {
			var out, errs bytes.Buffer
			if code := run(context.Background(), c.args, &out, &errs); code != c.code {
				t.Errorf("exit %d, want %d\n%s%s", code, c.code, out.String(), errs.String())
			}
			said, silent := errs.String(), out.String()
			if c.code == exitOK {
				said, silent = silent, said
			}
			if !strings.Contains(said, c.want) || silent != "" {
				t.Errorf("said %q, and on the other stream %q; want %q", said, silent, c.want)
			}
		})
	}
}

// The parts say how to reach them, answer there, and end with their context.
func TestPartsAlone(t *testing.T) {
	for name, c := range map[string]struct {
		variable string
		path     string
	}{
		"cosmos": {"OPFEED_COSMOS_ENDPOINT", "/_emulator/stats"},
		"cs":     {"OPFEED_CS_URL", "/_simulator/journal"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			r, w := io.Pipe()
			code := make(chan int, 1)
			go func() {
				code <- run(ctx, []string{name, "--listen", "127.0.0.1:0"}, w, io.Discard)
				_ = w.Close()
			}()
			url := exported(t, r, c.variable)
			go func() { _, _ = io.Copy(io.Discard, r) }()
			resp, err := http.Get(url + c.path)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				t.Errorf("%s answered %d", c.path, resp.StatusCode)
			}
			host, _, _ := net.SplitHostPort(strings.TrimPrefix(url, "http://"))
			if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
				t.Errorf("listens on %s", url)
			}
			cancel()
			if got := <-code; got != exitOK {
				t.Errorf("exit %d", got)
			}
		})
	}
}

// The administrator of a part has a port of its own.
func TestAdminPort(t *testing.T) {
	for name, c := range map[string]struct {
		args    []string
		answers map[string]int
	}{
		"cs":     {[]string{"cs"}, map[string]int{"/faults": 200, "/requests": 200, "/journal": 200, "/api/aro_hcp/v1alpha1/clusters": 404}},
		"cosmos": {[]string{"cosmos"}, map[string]int{"/faults": 200, "/requests": 200, "/partitions": 200, "/stats": 200, "/dbs": 404}},
		"up":     {[]string{"up"}, map[string]int{"/faults": 200, "/clock": 200, "/dbs": 404}},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			r, w := io.Pipe()
			code := make(chan int, 1)
			go func() {
				code <- run(ctx, append(c.args, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"), w, io.Discard)
				_ = w.Close()
			}()
			lines := bufio.NewScanner(r)
			admin, ok := "", false
			for !ok && lines.Scan() {
				admin, ok = strings.CutPrefix(lines.Text(), "Administration at ")
			}
			if !ok {
				t.Fatal("no line says where to administer")
			}
			go func() { _, _ = io.Copy(io.Discard, r) }()
			for path, want := range c.answers {
				resp, err := http.Get(admin + path)
				if err != nil {
					t.Fatal(err)
				}
				_ = resp.Body.Close()
				if resp.StatusCode != want {
					t.Errorf("%s answered %d, want %d", path, resp.StatusCode, want)
				}
			}
			cancel()
			if got := <-code; name != "up" && got != exitOK { // up has a verdict on its operations
				t.Errorf("exit %d", got)
			}
		})
	}
}

// The URLs come before whatever the replica logs.
func TestUpBeginsWithTheURLs(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	r, w := io.Pipe()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		run(ctx, []string{"up", "--listen", "127.0.0.1:0", "--page", "127.0.0.1:0", "--log-level", "debug"}, w, w)
		_ = w.Close()
	}()
	lines := bufio.NewScanner(r)
	for _, want := range []string{"page of replica-1 ", "Cosmos DB ", "Cluster Service ", "opfeed "} {
		if !lines.Scan() || !strings.HasPrefix(lines.Text(), want) || !strings.Contains(lines.Text(), " http://127.0.0.1:") {
			t.Errorf("have the line %q, want %q and a URL", lines.Text(), want)
		}
	}
	cancel()
	_, _ = io.Copy(io.Discard, r)
	<-ended
}

// Replicas have a name and an address each, and share the leases.
func TestUpWithReplicas(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	r, w := io.Pipe()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		run(ctx, []string{"up", "--listen", "127.0.0.1:0", "--page", "127.0.0.1:0", "--replicas", "3", "--ranges", "4"}, w, w)
		_ = w.Close()
	}()
	lines := bufio.NewScanner(r)
	urls := map[string]string{} // by name
	for len(urls) < 3 && lines.Scan() {
		if f := strings.Fields(lines.Text()); len(f) > 3 && f[0] == "page" {
			urls[f[2]] = strings.TrimSuffix(f[3], "/")
		}
	}
	shows := false // who holds what
	for !shows && lines.Scan() {
		shows = strings.Contains(lines.Text(), "replica-1: ") && strings.Contains(lines.Text(), ", replica-3: ")
	}
	if len(urls) != 3 || !shows {
		t.Errorf("addresses %v, live line: %v", urls, shows)
	}
	others := 0 // sightings of what another holds
	for name, url := range urls {
		s := snapshotOf(t, url)
		if s.Instance != name || len(s.Ranges) != 4 {
			t.Errorf("%s answers %+v", name, s)
		}
		for _, lease := range s.Ranges {
			if lease.Owner != name && urls[lease.Owner] != "" {
				others++
			}
		}
	}
	if others == 0 {
		t.Error("no replica sees a lease of another")
	}
	cancel()
	_, _ = io.Copy(io.Discard, r)
	<-ended
}

func snapshotOf(t *testing.T, url string) (s status.Snapshot) {
	t.Helper()
	resp, err := http.Get(url + "/api/v1/snapshot")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&s); err != nil {
		t.Fatal(err)
	}
	return s
}

// What is taken is passed over, but for the first address.
func TestListenOn(t *testing.T) {
	var taken net.Listener
	var ports []int
	for range 20 { // others may have the port before the one that is taken
		var err error
		if taken, err = listen(t.Context(), "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		defer taken.Close()
		all, err := listenOn(t.Context(), fmt.Sprintf("127.0.0.1:%d", portOf(taken)-1), 3)
		if err != nil {
			continue
		}
		for _, l := range all {
			ports = append(ports, portOf(l))
			_ = l.Close()
		}
		break
	}
	if port := portOf(taken); len(ports) != 3 || ports[0] != port-1 || ports[1] <= port || ports[2] <= ports[1] {
		t.Errorf("ports %v, %d was taken", ports, port)
	}
	if all, err := listenOn(t.Context(), taken.Addr().String(), 2); err == nil {
		t.Errorf("an address that is taken was passed over for %v", all)
	}
}

func portOf(l net.Listener) int { return l.Addr().(*net.TCPAddr).Port }

func exported(t *testing.T, r io.Reader, variable string) string {
	t.Helper()
	var text strings.Builder
	buf := make([]byte, 512)
	for {
		n, err := r.Read(buf)
		text.Write(buf[:n])
		if _, rest, ok := strings.Cut(text.String(), "export "+variable+"="); ok {
			if value, _, ok := strings.Cut(rest, "\n"); ok {
				return value
			}
		}
		if err != nil {
			t.Fatalf("no %s in %q: %v", variable, text.String(), err)
		}
	}
}
