package leases

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// lagging shows new leases of parts late, as one partition of the lease container
// may whose replica lags; the others are shown as they are.
type lagging struct {
	inner interface {
		Do(*http.Request) (*http.Response, error)
	}
	by    time.Duration
	first map[string]time.Time
}

func (l *lagging) Do(r *http.Request) (*http.Response, error) {
	reply, err := l.inner.Do(r)
	if err != nil || !strings.Contains(r.Header.Get("Content-Type"), "query") {
		return reply, err
	}
	body, _ := io.ReadAll(reply.Body)
	var page map[string]json.RawMessage
	var items, kept []json.RawMessage
	if json.Unmarshal(body, &page) == nil && json.Unmarshal(page["Documents"], &items) == nil {
		for _, item := range items {
			var d struct{ LeaseToken string }
			_ = json.Unmarshal(item, &d)
			if strings.Contains(d.LeaseToken, "-") {
				if l.first[d.LeaseToken].IsZero() {
					l.first[d.LeaseToken] = time.Now()
				}
				if time.Since(l.first[d.LeaseToken]) < l.by {
					continue
				}
			}
			kept = append(kept, item)
		}
		if kept == nil {
			kept = []json.RawMessage{}
		}
		page["Documents"], _ = json.Marshal(kept)
		page["_count"], _ = json.Marshal(len(kept))
		body, _ = json.Marshal(page)
	}
	reply.Body = io.NopCloser(bytes.NewReader(body))
	reply.ContentLength = int64(len(body))
	reply.Header.Del("Content-Length")
	return reply, nil
}

// A host does not see the leases that follow a merge for a while, though it sees
// that the ones before are gone. Beyond an interval and a half it may make a lease
// beside them, which is deleted again; meanwhile both are read.
func TestListingMissesWhatFollows(t *testing.T) {
	for _, by := range []time.Duration{time.Second, 2 * time.Second, 3 * time.Second} {
		t.Run(by.String(), func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.oneRange()
				w.split("0", "10")
				for i := range w.ranges {
					w.ranges[i].Continuation = at(1)
				}
				a := w.process("a").start(w.live)
				time.Sleep(5 * time.Second)
				b2 := w.process("b2").start(w.live)
				time.Sleep(10 * time.Second)
				b := w.process("b", func(_ *Config, d *Deps) {
					d.Store = NewStore(w.client(&lagging{&wire{w: w, inner: inprocOf(w)}, by, map[string]time.Time{}}), testPrefix)
				}).start(w.live)
				time.Sleep(15 * time.Second)
				w.merge("01")
				w.mu.Lock()
				w.ranges[0].Continuation = at(1000000) // from now
				w.mu.Unlock()
				twice := 0
				for range 600 {
					time.Sleep(100 * time.Millisecond)
					var held []Document
					for _, p := range []*process{a, b, b2} {
						for _, s := range p.seen("") {
							if s.t.Trusted() == nil && s.returned.IsZero() {
								for _, o := range held {
									if overlap(o.Range, s.t.Range()) {
										twice++
									}
								}
								held = append(held, s.t.Lease())
							}
						}
					}
				}
				if twice > 0 {
					t.Errorf("keys were read twice at a time for %d00 ms", twice)
				}
				w.covers("-10", "10-FF")
				for _, token := range []string{"-10", "10-FF"} {
					if n := number(t, w.read(token).Continuation); n > 100000 {
						t.Errorf("%s: changes were passed over: %d", token, n)
					}
				}
				a.stop()
				b.stop()
				b2.stop()
			})
		})
	}
}
