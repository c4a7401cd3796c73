package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"opfeed/internal/inproc"
	"opfeed/internal/workload"
)

func TestSummary(t *testing.T) {
	r := workload.Report{
		Seconds: 12.4,
		Operations: workload.Operations{Created: 30, Terminal: 23, Pending: 7, ByStatus: map[string]int{
			"Succeeded": 20, "Failed": 2, "Canceled": 1, "Updating": 3, "Accepted": 4,
		}},
		PickupSeconds: workload.Quantiles{P50: .134, P99: .291}, RequestUnits: workload.RequestUnits{Total: 812.3},
	}
	const want = "  12 s   23 of 30 done  pickup 0.13 s (p99 0.29 s)   812 RU | 20 Succeeded, 2 Failed, 1 Canceled | 4 Accepted, 3 Updating"
	if got := summary(r); got != want {
		t.Errorf("have %q\nwant %q", got, want)
	}
	r.Replicas = []workload.Replica{{Instance: "replica-1", Ranges: []string{"0", "2"}}, {Instance: "replica-2"}}
	if got := summary(r); got != want+" | ranges of replica-1: 0 2, replica-2: none" {
		t.Errorf("of two replicas: %q", got)
	}
	if r.Replicas = r.Replicas[:1]; summary(r) != want {
		t.Errorf("of one replica: %q", summary(r))
	}
	if got := summary(workload.Report{}); strings.Contains(got, "|") {
		t.Errorf("of nothing: %q", got)
	}
}

// On a terminal one line is rewritten, and never left behind among others.
func TestScreenRewritesItsLine(t *testing.T) {
	var out bytes.Buffer
	s := &screen{out: &out, terminal: true}
	s.live("one")
	s.live("two")
	s.say("said %d", 1)
	s.live("three")
	fmt.Fprintln(s.beside(&out), "logged")
	fmt.Fprintln(s.beside(&out), "again")
	const show = eraseLine + wrapOff
	want := show + "one" + wrapOn + show + "two" + wrapOn + eraseLine + "said 1\n" +
		show + "three" + wrapOn + eraseLine + "logged\nagain\n"
	if out.String() != want {
		t.Errorf("have %q\nwant %q", out.String(), want)
	}

	out.Reset()
	s = newScreen(&out) // no terminal
	s.live("one")
	s.say("said")
	s.live("two")
	if out.String() != "one\nsaid\ntwo\n" {
		t.Errorf("to a file: %q", out.String())
	}
}

// One question that hangs does not keep up from asking again.
func TestReadyAsksAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		h := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if asked.Add(1) == 1 {
				<-r.Context().Done()
			}
		})
		start := time.Now()
		if !ready(context.Background(), "http://replica.test", inproc.New(h)) {
			t.Error("not ready")
		}
		if took := time.Since(start); asked.Load() != 2 || took >= readyWait {
			t.Errorf("asked %d times in %v", asked.Load(), took)
		}
	})
}
