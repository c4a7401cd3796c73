package cs_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"opfeed/cs"
)

func TestDeadline(t *testing.T) {
	// A body that stops in the middle, headers long since sent, is a hang, too.
	for name, slow := range map[string]http.HandlerFunc{
		"hang": hang,
		"late": func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-time.After(time.Hour):
			case <-r.Context().Done():
			}
			static(200, asJSON, `{"state":"ready"}`)(w, r)
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, slow)
			start := time.Now()
			_, err := r.Status(t.Context(), clusterRef)
			if sortOf(err) != unavailable || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: %v", name, err)
			}
			if took := time.Since(start); took != 10*time.Second {
				t.Errorf("%s: took %v, want the 10s of the configuration", name, took)
			}
			if counts := r.counts(t); counts["Cluster/timeout"] != 1 {
				t.Errorf("%s: counted %v", name, counts)
			}
			if ok, _, _ := r.Healthy(); ok {
				t.Errorf("%s: counts as healthy", name)
			}

			// The caller's own deadline is shorter.
			start = time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if err := r.Exists(ctx, clusterRef); sortOf(err) != unavailable {
				t.Errorf("%s: %v", name, err)
			}
			if took := time.Since(start); took != time.Second {
				t.Errorf("%s: took %v, want the 1s of the caller", name, took)
			}
		})
	}
}

// TestCallerGivesUp: that tells nothing about CS.
func TestCallerGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, http.HandlerFunc(hang))
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		_, err := r.Status(ctx, clusterRef)
		if !errors.Is(err, context.Canceled) || sortOf(err) != unavailable {
			t.Errorf("%v", err)
		}
		if ok, since, _ := r.Healthy(); ok || !since.IsZero() {
			t.Errorf("healthy %v since %v, want nothing known", ok, since)
		}
		if counts := r.counts(t); counts["Cluster/canceled"] != 1 {
			t.Errorf("counted %v", counts)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	for _, status := range []int{429, 503} {
		for _, contentType := range []string{asJSON, "text/plain"} {
			for _, c := range []struct {
				header string
				want   time.Duration
			}{
				{"7", 7 * time.Second}, {"0", 0}, {"-5", 0}, {"soon", 0}, {"", 0},
				{"99999999999", 5 * time.Minute}, {"10000000000", 5 * time.Minute}, {"99999999999999999999999", 0}, {"-9223372036854775808", 0}, {"-10000000000", 0},
				{"date+30s", 30 * time.Second}, {"date-30s", 0},
			} {
				synctest.Test(t, func(t *testing.T) {
					header := c.header
					switch header {
					case "date+30s":
						header = time.Now().Add(30 * time.Second).UTC().Format(http.TimeFormat)
					case "date-30s":
						header = time.Now().Add(-30 * time.Second).UTC().Format(http.TimeFormat)
					}
					r := newRig(t, static(status, contentType, `{"id":"x","reason":"busy"}`, "Retry-After", header))
					_, err := r.Status(t.Context(), clusterRef)
					var u *cs.UnavailableError
					if !errors.As(err, &u) || u.RetryAfter != c.want {
						t.Errorf("%d %s, Retry-After %q: %v, want %v", status, contentType, c.header, err, c.want)
					}
				})
			}
		}
	}
}

func TestConcurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int64
		r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			most.Store(max(most.Load(), now.Add(1)))
			defer now.Add(-1)
			time.Sleep(time.Second)
			static(200, asJSON, `{"state":"ready"}`)(w, req)
		}), func(c *cs.Config) { c.Concurrency = 3 })
		start := time.Now()
		var wg sync.WaitGroup
		for range 30 {
			wg.Go(func() {
				if _, err := r.Status(t.Context(), clusterRef); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		// One more gives up while it waits; its place goes to nobody.
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		if _, err := r.Status(ctx, clusterRef); !errors.Is(err, context.DeadlineExceeded) || sortOf(err) != unavailable {
			t.Errorf("a caller that waits: %v", err)
		}
		if took := time.Since(start); took != 1500*time.Millisecond {
			t.Errorf("a caller that waits gave up after %v", took)
		}
		wg.Wait()
		if most.Load() != 3 {
			t.Errorf("%d calls at once, want 3", most.Load())
		}
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("30 calls of 1s, 3 at once, took %v", took)
		}
		if counts := r.counts(t); counts["Cluster/ok"] != 30 || len(counts) != 1 {
			t.Errorf("counted %v", counts)
		}
	})
}

// TestWaitIsNotTheCall: waiting for one's turn takes nothing from the deadline
// of the call, but has the same one.
func TestWaitIsNotTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			time.Sleep(6 * time.Second)
			static(200, asJSON, `{"state":"ready"}`)(w, req)
		}), func(c *cs.Config) { c.Concurrency = 1 })
		start := time.Now()
		var wg sync.WaitGroup
		var served, refused atomic.Int64
		for range 5 {
			wg.Go(func() {
				switch _, err := r.Status(t.Context(), clusterRef); {
				case err == nil:
					served.Add(1)
				case sortOf(err) == unavailable && errors.Is(err, context.DeadlineExceeded):
					refused.Add(1)
					if took := time.Since(start); took != 10*time.Second {
						t.Errorf("waited for %v, want the 10s of the configuration", took)
					}
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if served.Load() != 2 || refused.Load() != 3 {
			t.Errorf("%d served, %d waited in vain, want 2 and 3", served.Load(), refused.Load())
		}
	})
}

// TestRateHasADeadline: who would have to wait too long for the rate limit is
// told so instead, and keeps nobody out.
func TestRateHasADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, static(200, asJSON, `{"state":"ready"}`), func(c *cs.Config) { c.Concurrency, c.Rate = 1, 0.01 })
		status(t, r.Client, clusterRef)
		start := time.Now()
		if _, err := r.Status(t.Context(), clusterRef); sortOf(err) != unavailable {
			t.Errorf("%v", err)
		}
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("waited for %v", took)
		}
		time.Sleep(100 * time.Second)
		status(t, r.Client, clusterRef)
	})
}

func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, static(200, asJSON, `{"state":"ready"}`), func(c *cs.Config) { c.Rate = 5 })
		start := time.Now()
		var wg sync.WaitGroup
		for range 55 {
			wg.Go(func() {
				if _, err := r.Status(t.Context(), clusterRef); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		// 5 at once, 50 more at 5 a second.
		if took := time.Since(start); took < 9900*time.Millisecond || took > 10100*time.Millisecond {
			t.Errorf("55 calls took %v at 5 a second, want 10s", took)
		}
		ctx, cancel := context.WithCancel(t.Context())
		for range 5 {
			wg.Go(func() { r.Status(t.Context(), clusterRef) })
		}
		synctest.Wait()
		cancel()
		if _, err := r.Status(ctx, clusterRef); !errors.Is(err, context.Canceled) {
			t.Errorf("a caller that waits for the rate: %v", err)
		}
		wg.Wait()
	})
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			time.Sleep(2 * time.Second)
			static(200, asJSON, `{"state":"ready"}`)(w, req)
		}), func(c *cs.Config) { c.Concurrency = 2 })
		var wg sync.WaitGroup
		var done, refused atomic.Int64
		for range 10 {
			wg.Go(func() {
				switch _, err := r.Status(t.Context(), clusterRef); {
				case err == nil:
					done.Add(1)
				case errors.Is(err, cs.ErrClosed):
					refused.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		time.Sleep(time.Second)
		start := time.Now()
		for range 2 { // at the same time, too
			wg.Go(func() {
				if err := r.Close(); err != nil {
					t.Error(err)
				}
				if took := time.Since(start); took != time.Second {
					t.Errorf("close took %v, want 1s for the calls in flight", took)
				}
			})
		}
		wg.Wait()
		if done.Load() != 2 || refused.Load() != 8 {
			t.Errorf("%d done, %d refused, want 2 and 8", done.Load(), refused.Load())
		}
		if err := r.Exists(t.Context(), clusterRef); !errors.Is(err, cs.ErrClosed) || sortOf(err) != unavailable {
			t.Errorf("after close: %v", err)
		}
	})
}

func TestHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up, down := static(200, asJSON, `{"state":"ready"}`), static(503, "text/plain", "outage")
		missing := static(404, asJSON, gone)
		reply := up
		r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { reply(w, req) }))
		if ok, since, last := r.Healthy(); ok || !since.IsZero() || last != "" {
			t.Errorf("before the first call: %v %v %q", ok, since, last)
		}
		poll := func(h http.HandlerFunc, n int) {
			reply = h
			for range n {
				r.Status(t.Context(), clusterRef)
				time.Sleep(time.Second)
			}
		}
		start := time.Now()
		poll(up, 30)
		poll(missing, 30)
		if ok, since, _ := r.Healthy(); !ok || !since.Equal(start) {
			t.Errorf("healthy %v since %v, want since the start", ok, since)
		}
		poll(down, 60)
		ok, since, last := r.Healthy()
		if ok || since.Sub(start) != time.Minute || last == "" {
			t.Errorf("in the outage: %v since %v %q", ok, since.Sub(start), last)
		}
		poll(missing, 60)
		if ok, since, last := r.Healthy(); !ok || since.Sub(start) != 2*time.Minute || last != "" {
			t.Errorf("after the outage: %v since %v %q", ok, since.Sub(start), last)
		}
		var lines []string
		for _, e := range r.logs.All() {
			lines = append(lines, fmt.Sprint(e.Time.Sub(start).Round(time.Second), " ", e.Level, " ", e.Message))
		}
		want := "[0s info cluster service works 1m0s warn cluster service does not work 2m0s info cluster service works]"
		if fmt.Sprint(lines) != want {
			t.Errorf("logged %v, want %v", lines, want)
		}
		// A server that fails every other call does not fill the log, and the log
		// ends with what holds.
		for range 60 {
			poll(down, 1)
			poll(up, 1)
		}
		poll(up, 20)
		if n := len(r.logs.All()) - len(lines); n < 2 || n > 13 {
			t.Errorf("%d lines in two minutes of flapping", n)
		}
		if m := r.logs.All()[len(r.logs.All())-1].Message; m != "cluster service works" {
			t.Errorf("the last line is %q", m)
		}
	})
}

func TestMetricsArePreset(t *testing.T) {
	r := newRig(t, static(200, asJSON, `{"state":"ready"}`))
	families, err := r.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	series := map[string]int{}
	for _, f := range families {
		series[f.GetName()] = len(f.GetMetric())
	}
	if series["opfeed_cluster_service_requests_total"] != 4*11 || series["opfeed_cluster_service_request_duration_seconds"] != 4 {
		t.Errorf("series before the first call: %v", series)
	}
	if _, err := cs.New(cs.Config{URL: "http://x", Auth: "none", Timeout: 1, Concurrency: 1}, cs.Deps{Metrics: r.registry}); err == nil {
		t.Error("a second client on one registry would count into the first one's metrics")
	}
}
