package processor_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"opfeed/internal/cosmosemu"
	"opfeed/internal/fault"
	"opfeed/internal/inproc"
	"opfeed/processor"
)

// records are the stored ones, as an operator's command sees them.
func (w *world) records() *processor.Records {
	return processor.NewRecords(w.container(inproc.New(w.emu), "leases"), leasePrefix)
}

func (w *world) stored() []processor.Record {
	w.t.Helper()
	var all []processor.Record
	if err := w.records().Each(w.t.Context(), func(r processor.Record) { all = append(all, r) }); err != nil {
		w.t.Fatal(err)
	}
	return all
}

// retry removes the records of a document as an operator does.
func (w *world) retry(id string) {
	w.t.Helper()
	n := 0
	for _, r := range w.stored() {
		if r.DocumentID == id {
			n++
			if err := w.records().Remove(w.t.Context(), r); err != nil {
				w.t.Fatal(err)
			}
		}
	}
	if n != 1 {
		w.t.Fatalf("%d records of %s", n, id)
	}
}

// wantQuarantined checks which documents a replica and the store hold for
// quarantined.
func (w *world) wantQuarantined(r *replica, ids ...string) {
	w.t.Helper()
	want := map[string]bool{}
	for _, id := range ids {
		want[id] = true
	}
	known, stored := r.Snapshot().Quarantined, w.stored()
	for _, q := range known {
		if !want[q.ID] {
			w.t.Errorf("known: %+v", q)
		}
	}
	for _, s := range stored {
		if !want[s.DocumentID] {
			w.t.Errorf("stored: %+v", s)
		}
	}
	if len(known) != len(want) || len(stored) != len(want) {
		w.t.Errorf("%d known and %d stored, want %v", len(known), len(stored), ids)
	}
}

// TestQuarantineEnds: after its time to live a document is looked at again, and is
// put aside anew if it is still at fault. What has no partition cannot be read.
func TestQuarantineEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.start(inproc.New(w.emu), func(c *processor.Config) {
			c.QuarantineTTL, c.FeedInterval = time.Hour, 5*time.Second
		})
		time.Sleep(time.Second)
		w.put(doc{ID: "bad", Value: "1", Op: "poison"})
		w.put(doc{ID: "keyless", Value: "1", Op: "keyless"})
		w.put(doc{ID: "keyless too", Value: "1", Op: "keyless"})
		time.Sleep(55 * time.Minute)
		w.wantQuarantined(r, "bad", "keyless", "keyless too")
		etag := r.Snapshot().Quarantined[0].ETag
		time.Sleep(7 * time.Minute)
		w.wantQuarantined(r, "bad")
		for _, q := range r.Snapshot().Quarantined {
			if age := time.Since(q.At); age > 5*time.Minute || q.ETag == "" {
				t.Errorf("not looked at again: %+v (first %s)", q, etag)
			}
		}
	})
}

// TestSnapshotOfManyQuarantined: a snapshot goes to every open page each second, so
// it shows a part, and says of how many.
func TestSnapshotOfManyQuarantined(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.start(inproc.New(w.emu))
		time.Sleep(time.Second)
		const many = 230
		for i := range many {
			w.put(doc{ID: fmt.Sprint("bad-", i), Value: "1", Op: "poison"})
			time.Sleep(time.Second)
		}
		w.put(doc{ID: "long", Partition: strings.Repeat("p", 2000), Value: "1", Op: "poison"})
		time.Sleep(5 * time.Second)
		s := r.Snapshot()
		if len(s.Quarantined) != 200 || s.QuarantinedTotal != many+1 {
			t.Fatalf("%d of %d are shown", len(s.Quarantined), s.QuarantinedTotal)
		}
		for i, q := range s.Quarantined[1:] {
			if want := fmt.Sprint("bad-", many-1-i); q.ID != want {
				t.Fatalf("at %d: %s, want %s", i+1, q.ID, want)
			}
		}
		if q := s.Quarantined[0]; q.ID != "long" || len(q.Partition) > 600 {
			t.Errorf("the newest: %s, a partition of %d bytes", q.ID, len(q.Partition))
		}
		if raw, err := json.Marshal(s); err != nil || !strings.Contains(string(raw), `"quarantinedTotal":231`) {
			t.Errorf("%v", err)
		}
	})
}

// TestRetryOfTheQuarantined: an operator removes the record, and the replica that
// holds the range looks at the document within one list interval, also if another
// has quarantined it. Nothing counts as missed by the feed.
func TestRetryOfTheQuarantined(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var mended atomic.Bool
		w.bear = func(d doc) bool { return mended.Load() }
		first := w.start(inproc.New(w.emu))
		time.Sleep(time.Second)
		w.put(doc{ID: "bad", Value: "1", Op: "poison"})
		w.put(doc{ID: "worse", Value: "1", Op: "keyless"})
		time.Sleep(5 * time.Minute)
		w.wantQuarantined(first, "bad", "worse")

		// Still at fault: it is put aside anew.
		before := first.Snapshot().Quarantined
		w.retry("bad")
		time.Sleep(70 * time.Second)
		w.wantQuarantined(first, "bad", "worse")
		if q := first.Snapshot().Quarantined; len(q) != 2 || q[0].ID != "bad" || q[0].ETag == "" || !q[0].At.After(before[0].At.Add(time.Minute)) {
			t.Errorf("not looked at again: %+v, before %+v", q, before)
		}

		first.stop()
		second := w.start(inproc.New(w.emu))
		time.Sleep(2 * time.Minute)
		w.wantQuarantined(second, "bad", "worse")
		mended.Store(true)
		time.Sleep(5 * time.Minute)
		w.wantHandled(map[string][]string{}) // nobody has asked yet
		w.retry("bad")
		w.retry("worse")
		time.Sleep(70 * time.Second)
		w.wantHandled(map[string][]string{"bad": {"1"}})
		w.wantQuarantined(second)
		if n := first.Snapshot().Recovered + second.Snapshot().Recovered; n != 0 {
			t.Errorf("%d changes count as missed by the feed", n)
		}
	})
}

// onRecords is a transport that answers reads of quarantine records itself, for as
// long as answer says so.
type onRecords struct {
	next   policy.Transporter
	answer atomic.Pointer[func(req *http.Request, query bool) (*http.Response, error)]
}

func (o *onRecords) Do(req *http.Request) (*http.Response, error) {
	answer := o.answer.Load()
	if answer == nil {
		return o.next.Do(req)
	}
	query := false
	if isQueryOf(req, "leases") {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		req.Body = io.NopCloser(bytes.NewReader(body))
		query = bytes.Contains(body, []byte(".quarantine."))
	}
	if query || req.Method == http.MethodGet && strings.Contains(req.URL.Path, ".quarantine.") {
		if resp, err := (*answer)(req, query); resp != nil || err != nil {
			return resp, err
		}
	}
	return o.next.Do(req)
}

func canned(req *http.Request, status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Status: http.StatusText(status), Request: req, Header: http.Header{},
		Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}
}

// TestQuarantineOutlastsTrouble: only the account's word that a record is gone ends
// a quarantine; neither a failed list, nor one that shows nothing, as of a replica
// that lags, nor a 404 of somebody else or of a replica behind the session.
func TestQuarantineOutlastsTrouble(t *testing.T) {
	t.Parallel()
	const nothing = `{"_rid":"x","Documents":[],"_count":0}`
	for name, answer := range map[string]func(req *http.Request, query bool) (*http.Response, error){
		"lists fail": func(req *http.Request, _ bool) (*http.Response, error) {
			return canned(req, http.StatusServiceUnavailable, ""), nil
		},
		"lists hang": func(req *http.Request, _ bool) (*http.Response, error) {
			<-req.Context().Done()
			return nil, req.Context().Err()
		},
		"lists show nothing": func(req *http.Request, query bool) (*http.Response, error) {
			if query {
				return canned(req, http.StatusOK, nothing), nil
			}
			return nil, nil
		},
		"a proxy has nothing": func(req *http.Request, query bool) (*http.Response, error) {
			if query {
				return canned(req, http.StatusOK, nothing), nil
			}
			return canned(req, http.StatusNotFound, "<html>no such page</html>"), nil
		},
		"replicas lag": func(req *http.Request, query bool) (*http.Response, error) {
			if query {
				return canned(req, http.StatusOK, nothing), nil
			}
			resp := canned(req, http.StatusNotFound, `{"code":"NotFound"}`)
			resp.Header.Set("x-ms-request-charge", "1")
			if req.Header.Get("x-ms-session-token") != "" {
				resp.Header.Set("x-ms-substatus", "1002")
			}
			return resp, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				way := &onRecords{next: inproc.New(w.emu)}
				r := w.start(way)
				time.Sleep(time.Second)
				w.put(doc{ID: "bad", Value: "1", Op: "poison"})
				time.Sleep(2 * time.Minute)
				at := r.Snapshot().Quarantined[0].At
				way.answer.Store(&answer)
				time.Sleep(5 * time.Minute)
				way.answer.Store(nil)
				w.wantQuarantined(r, "bad")
				if q := r.Snapshot().Quarantined; !q[0].At.Equal(at) {
					t.Errorf("looked at again: %+v", q)
				}
				w.retry("bad") // and then it goes on
				time.Sleep(70 * time.Second)
				if q := r.Snapshot().Quarantined; len(q) != 1 || q[0].At.Equal(at) {
					t.Errorf("not looked at again: %+v", q)
				}
			})
		})
	}
}

// TestUnstoredRecordIsKept: a document whose record could not be stored yet stays
// put aside, whatever the lists of records show, and is tried until it is.
func TestUnstoredRecordIsKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var looks atomic.Int64
		w.bear = func(d doc) bool {
			if d.ID == "unstored" {
				looks.Add(1)
			}
			return false
		}
		r := w.start(inproc.New(w.emu))
		time.Sleep(time.Second)
		w.put(doc{ID: "stored", Value: "1", Op: "poison"})
		time.Sleep(time.Second)
		var refusing cosmosemu.Effect
		refusing.Status = http.StatusServiceUnavailable
		if err := w.emu.Faults().Add(fault.Rule[cosmosemu.Effect]{Name: "full",
			Match: fault.Match{"kind": "upsert", "container": "leases"}, Effect: refusing}); err != nil {
			t.Fatal(err)
		}
		w.put(doc{ID: "unstored", Value: "1", Op: "poison"})
		time.Sleep(5 * time.Minute)
		w.wantQuarantined(r, "stored")
		w.emu.Faults().Clear()
		time.Sleep(30 * time.Second)
		w.wantQuarantined(r, "stored", "unstored")
		if n := looks.Load(); n != 1 {
			t.Errorf("%d looks, want the first alone", n)
		}
	})
}

// TestRemoveIsOfOneVersion: a record that was written anew meanwhile stays.
func TestRemoveIsOfOneVersion(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.start(inproc.New(w.emu))
		time.Sleep(time.Second)
		w.put(doc{ID: "bad", Value: "1", Op: "poison"})
		time.Sleep(time.Second)
		old := w.stored()[0]
		w.put(doc{ID: "bad", Value: "2", Op: "poison"})
		time.Sleep(time.Second)
		for range 2 {
			if err := w.records().Remove(context.WithoutCancel(t.Context()), old); !errors.Is(err, processor.ErrRecordChanged) {
				t.Errorf("removed another version: %v", err)
			}
		}
		w.wantQuarantined(r, "bad")
		w.retry("bad")
		if err := w.records().Remove(t.Context(), old); !errors.Is(err, processor.ErrRecordChanged) {
			t.Errorf("removed what is not there: %v", err)
		}
	})
}

// TestNoRecordHidesTheSnapshot: a snapshot tells of all that is put aside, so what
// one record says must not make an error of it.
func TestNoRecordHidesTheSnapshot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for i, at := range []string{"2026-01-01T00:00:00+24:00", "9999-12-31T23:59:59-23:00", "2026-01-01T00:00:00Z"} {
			w.putLease(fmt.Sprintf(`{"id":"%s.quarantine.%d","ttl":604800,"kind":"quarantine","lease":"0","documentPartition":"s",
				"documentId":"bad-%d","documentETag":"e","lsn":1,"reason":"poison","at":%q,"instance":"replica"}`, leasePrefix, i, i, at))
		}
		r := w.start(inproc.New(w.emu))
		time.Sleep(10 * time.Second)
		s := r.Snapshot()
		if raw, err := json.Marshal(s); err != nil || s.QuarantinedTotal != 3 || !strings.Contains(string(raw), "2026-01-01T00:00:00Z") {
			t.Errorf("%d records: %v", s.QuarantinedTotal, err)
		}
	})
}

// TestRecordsThatCouldNotBeReadAtFirst: who takes a range over while its records
// cannot be read must learn of them later: nothing else brings their documents back
// when they end, or shows them.
func TestRecordsThatCouldNotBeReadAtFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var mended, away atomic.Bool
		w.bear = func(doc) bool { return mended.Load() }
		first := w.start(inproc.New(w.emu))
		time.Sleep(time.Second)
		w.put(doc{ID: "bad", Value: "1", Op: "poison"})
		w.put(doc{ID: "keyless", Value: "1", Op: "keyless"})
		time.Sleep(10 * time.Second)
		first.stop()

		away.Store(true)
		second := w.start(&faulty{next: inproc.New(w.emu), before: func(req *http.Request) error {
			if !away.Load() || !isQueryOf(req, "leases") {
				return nil
			}
			body, err := io.ReadAll(req.Body)
			req.Body = io.NopCloser(bytes.NewReader(body))
			if err == nil && bytes.Contains(body, []byte(".quarantine.")) {
				err = errors.New("connection reset")
			}
			return err
		}})
		time.Sleep(3 * time.Minute)
		if n := second.Snapshot().QuarantinedTotal; n != 0 {
			t.Fatalf("%d records are known", n)
		}
		away.Store(false)
		time.Sleep(2 * time.Minute)
		w.wantQuarantined(second, "bad", "keyless")
		mended.Store(true)
		w.retry("bad")
		time.Sleep(2 * time.Minute)
		w.wantQuarantined(second, "keyless")
		w.wantHandled(map[string][]string{"bad": {"1"}})
	})
}
