package service

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"opfeed/internal/inproc"
	"opfeed/internal/purpose"
	"opfeed/processor"
)

// TestMeterTellsPurposesApart sends each kind of request with the real client and
// looks where it was counted.
func TestMeterTellsPurposesApart(t *testing.T) {
	ctx, a := t.Context(), newAccount()
	throttled := false
	transport := inproc.New(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/pkranges"):
			w.Header().Set("Etag", `"1"`)
			if r.Header.Get("If-None-Match") != "" {
				w.WriteHeader(http.StatusNotModified)
				return
			}
			_, _ = w.Write([]byte(`{"PartitionKeyRanges":[{"id":"0","minInclusive":"","maxExclusive":"FF"}]}`))
		case !strings.Contains(r.URL.Path, "/docs"):
			a.ServeHTTP(w, r)
		case throttled:
			throttled = false
			w.Header().Set("X-Ms-Request-Charge", "2.5")
			w.Header().Set("X-Ms-Retry-After-Ms", "1")
			w.WriteHeader(http.StatusTooManyRequests)
		default:
			w.Header().Set("X-Ms-Request-Charge", "2.5")
			w.Header().Set("Etag", `"1"`)
			_, _ = w.Write([]byte(`{"Documents":[],"id":"x"}`))
		}
	}))
	s, err := New(testConfig(t), Deps{Cosmos: transport, CS: &clusterService{}})
	if err != nil {
		t.Fatal(err)
	}
	st, err := s.connect(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer st.client.Close()

	other, err := st.client.NewContainer("db", "Other")
	if err != nil {
		t.Fatal(err)
	}
	none := azcosmos.NewPartitionKey()
	one := azcosmos.NewPartitionKeyString("a")
	everything := azcosmos.FeedRange{MinInclusive: "", MaxExclusive: "FF"}
	query := func(c *azcosmos.ContainerClient, key azcosmos.PartitionKey, said purpose.Purpose) func() error {
		return func() error {
			_, err := c.NewQueryItemsPager("SELECT * FROM c", key, nil).NextPage(purpose.With(ctx, said))
			return err
		}
	}
	read := func(c *azcosmos.ContainerClient, said purpose.Purpose) func() error {
		return func() error { _, err := c.ReadItem(purpose.With(ctx, said), one, "x", nil); return err }
	}
	for name, c := range map[string]struct {
		use purpose.Purpose
		do  func() error
	}{
		"feed": {purpose.Feed, func() error {
			_, err := st.resources.ReadChangeFeed(ctx, &azcosmos.ChangeFeedOptions{FeedRange: &everything})
			return err
		}},
		"lease":          {purpose.Lease, read(st.leases, "")},
		"list of leases": {purpose.LeaseList, query(st.leases, none, "")},
		"quarantine records": {purpose.Quarantine, func() error {
			return processor.NewRecords(st.leases, "x").Each(ctx, func(processor.Record) {})
		}},
		"lock":                           {purpose.Lock, read(st.locks, "")},
		"billing":                        {purpose.Billing, read(st.billing, "")},
		"query of billing":               {purpose.Billing, query(st.billing, one, "")},
		"list of pending":                {purpose.List, query(st.resources, none, purpose.List)},
		"read for it":                    {purpose.List, read(st.resources, purpose.List)},
		"list of subscriptions":          {purpose.Registry, query(st.resources, none, purpose.Registry)},
		"query":                          {purpose.Operation, query(st.resources, one, "")},
		"read":                           {purpose.Operation, read(st.resources, "")},
		"what is not done there":         {purpose.Lock, read(st.locks, purpose.Feed)},
		"container that is none of ours": {purpose.Metadata, read(other, "")},
		"batch": {purpose.Operation, func() error {
			b := st.resources.NewTransactionalBatch(one)
			b.ReadItem("x", nil)
			_, err := st.resources.ExecuteTransactionalBatch(ctx, b, nil)
			if err != nil {
				t.Log(err) // the reply is no batch's
			}
			return nil
		}},
		"metadata": {purpose.Metadata, func() error { _, err := st.resources.Read(ctx, nil); return err }},
	} {
		before := s.meter.Usage()
		if err := c.do(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for use, after := range s.meter.Usage() {
			n, use := after.Requests-before[use].Requests, purpose.Purpose(use)
			switch {
			case use == c.use && n != 1:
				t.Errorf("%s: %d requests of %s, want 1", name, n, use)
			case use != c.use && use != purpose.Metadata && n != 0: // ranges may be read on the way
				t.Errorf("%s: %d requests of %s, want none", name, n, use)
			}
		}
	}

	before := testutil.ToFloat64(s.meter.units.WithLabelValues(roleResources, string(purpose.Operation)))
	throttled = true
	if err := read(st.resources, "")(); err != nil {
		t.Fatal(err)
	}
	if have := testutil.ToFloat64(s.meter.requests.WithLabelValues(roleResources, string(purpose.Operation), "429")); have != 1 {
		t.Errorf("%v throttled requests, want 1", have)
	}
	if have := testutil.ToFloat64(s.meter.units.WithLabelValues(roleResources, string(purpose.Operation))) - before; have != 5 {
		t.Errorf("%v request units, want 5: both tries", have)
	}
}

func TestMeterNoticesSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount()
		s, err := New(testConfig(t), Deps{Cosmos: a, CS: &clusterService{}})
		if err != nil {
			t.Fatal(err)
		}
		st, err := s.connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer st.client.Close()
		if err := s.meter.Failing(silence); err != nil {
			t.Errorf("failing at once: %v", err)
		}
		if _, err := st.resources.ReadItem(t.Context(), azcosmos.NewPartitionKeyString("a"), "x", nil); err == nil {
			t.Fatal("503 went unnoticed")
		}
		pause(t.Context(), 2*silence)
		if err := s.meter.Failing(silence); err == nil || reason(err) != "answered 503 Service Unavailable" {
			t.Errorf("have %v", err)
		}
		if _, err := st.resources.Read(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if err := s.meter.Failing(silence); err != nil {
			t.Errorf("still failing: %v", err)
		}
		if err := s.cs.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestMeterTimesRequests: each try, by container and purpose, but none that its
// caller gave up.
func TestMeterTimesRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, delay := newAccount(), time.Duration(0)
		slow := inproc.New(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/docs/x") {
				pause(r.Context(), delay)
				w.Header().Set("Etag", `"1"`)
				w.Header().Set("X-Ms-Request-Charge", "1")
				_, _ = w.Write([]byte(`{"id":"x"}`))
				return
			}
			a.ServeHTTP(w, r)
		}))
		s, err := New(testConfig(t), Deps{Cosmos: slow, CS: &clusterService{}})
		if err != nil {
			t.Fatal(err)
		}
		st, err := s.connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer st.client.Close()
		defer s.closeClients()
		want := func(when string, count uint64, sum float64) {
			t.Helper()
			families, err := s.registry.Gather()
			if err != nil {
				t.Fatal(err)
			}
			found := false
			for _, f := range families {
				if f.GetName() != "opfeed_cosmos_request_duration_seconds" {
					continue
				}
				for _, m := range f.GetMetric() {
					h, of := m.GetHistogram(), m.GetLabel()
					here := of[0].GetValue() == roleLocks && of[1].GetValue() == string(purpose.Lock)
					found = found || here
					if here && (h.GetSampleCount() != count || h.GetSampleSum() != sum) {
						t.Errorf("%s: %d requests, %v s, want %d, %v", when, h.GetSampleCount(), h.GetSampleSum(), count, sum)
					}
					if !here && h.GetSampleSum() != 0 {
						t.Errorf("%s: %v s of %v", when, h.GetSampleSum(), of)
					}
				}
			}
			if !found {
				t.Errorf("%s: not told", when)
			}
		}
		read := func(ctx context.Context) error {
			_, err := st.locks.ReadItem(ctx, azcosmos.NewPartitionKeyString("a"), "x", nil)
			return err
		}
		want("before", 0, 0)
		for range 2 {
			delay += 1500 * time.Millisecond
			if err := read(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		want("slow", 2, 4.5)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if err := read(ctx); err == nil {
			t.Error("no error")
		}
		want("given up", 2, 4.5)
	})
}
