package operations

import (
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"opfeed/processor/dispatch"
)

// observed returns how many values a histogram has seen, and their sum, over the
// series whose labels contain all of the given "name=value".
func (r *rig) observed(name string, labels ...string) (count uint64, sum float64) {
	r.t.Helper()
	families, err := r.metrics.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			have := map[string]bool{}
			for _, l := range m.GetLabel() {
				have[l.GetName()+"="+l.GetValue()] = true
			}
			ok := f.GetName() == name
			for _, l := range labels {
				ok = ok && have[l]
			}
			if ok {
				count += m.GetHistogram().GetSampleCount()
				sum += m.GetHistogram().GetSampleSum()
			}
		}
	}
	return count, sum
}

// TestLockIsTimed: waiting for another that holds it, and holding it, apart.
func TestLockIsTimed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.plant(clusterID, "ready")
		want := func(when, name string, count uint64, least, most float64) {
			t.Helper()
			if n, sum := r.observed(name); n != count || sum < least || sum > most {
				t.Errorf("%s: %s: %d values, %v s", when, name, n, sum)
			}
		}
		const wait, hold = "opfeed_lock_wait_seconds", "opfeed_lock_hold_seconds"

		r.put(operationDoc("op-1", Create))
		r.cosmos.after = func(req *http.Request, resp *http.Response) (*http.Response, error) {
			if isBatch(req) {
				time.Sleep(3 * time.Second)
			}
			return resp, nil
		}
		r.drive(dispatch.Change{Key: key("op-1")})
		want("free", wait, 1, 0, 0.1)
		want("free", hold, 1, 3, 3.1)

		r.cosmos.after = nil
		r.put(operationDoc("op-2", Create))
		r.hold()
		if step, err := r.step(dispatch.Change{Key: key("op-2")}); err != nil || step.Verdict != dispatch.Again {
			t.Fatalf("have %+v, %v", step, err)
		}
		want("busy", wait, 2, 2, 3.1)
		want("busy", hold, 1, 3, 3.1)

		// That nobody answers says nothing of the lock.
		time.Sleep(time.Minute)
		r.cosmos.before = func(req *http.Request) error {
			if isLock(req) {
				return errors.New("no")
			}
			return nil
		}
		if _, err := r.step(dispatch.Change{Key: key("op-2")}); err == nil {
			t.Fatal("no error")
		}
		want("no answer", wait, 2, 2, 3.1)
		want("no answer", hold, 1, 3, 3.1)
	})
}

// TestEndsAreTimed from startTime, unless that is nonsense; what others end is not.
func TestEndsAreTimed(t *testing.T) {
	const name = "opfeed_operation_duration_seconds"
	for what, c := range map[string]struct {
		start any
		skew  time.Duration
		want  float64
	}{
		"as it says":           {-40 * time.Minute, 0, 2400},
		"by the server's time": {-40 * time.Minute, time.Hour, 6000},
		"years ago":            {"0005-01-01T00:00:00Z", 0, 0},
		"to come":              {"9005-01-01T00:00:00Z", 0, 0},
		"no time":              {"\u202elong ago", 0, 0},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.plant(clusterID, "ready")
				start, d := c.start, operationDoc("op-1", Create)
				if ago, ok := start.(time.Duration); ok {
					start = time.Now().Add(ago).UTC().Format(time.RFC3339Nano)
				}
				props(d)["startTime"] = start
				r.put(d)
				if step, _ := r.drive(dispatch.Change{Key: key("op-1"), Skew: c.skew}); step.Label != Succeeded {
					t.Fatalf("have %+v", step)
				}
				all, _ := r.observed(name)
				if n, sum := r.observed(name, "kind=Cluster", "request=Create", "status=Succeeded"); n != 1 || all != 1 || sum < c.want || sum > c.want+60 {
					t.Errorf("%d of %d values, %v s", n, all, sum)
				}
			})
		})
	}
	t.Run("no object", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			d := operationDoc("op-1", Update)
			props(d)["internalId"] = ""
			r.put(d)
			if step, _ := r.drive(dispatch.Change{Key: key("op-1")}); step.Label != Failed {
				t.Fatalf("have %+v", step)
			}
			if n, sum := r.observed(name, "kind=none", "request=Update", "status=Failed"); n != 1 || sum < 3600 || sum > 3700 {
				t.Errorf("%d values, %v s", n, sum)
			}
			if n := r.metric("opfeed_operation_transitions_total", "kind=none"); n != 1 {
				t.Errorf("%v transitions", n)
			}
		})
	})
	t.Run("ended by another", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			d := operationDoc("op-1", Create)
			props(d)["status"] = Canceled
			r.put(d)
			r.drive(dispatch.Change{Key: key("op-1")})
			if n, _ := r.observed(name); n != 0 {
				t.Errorf("%d values", n)
			}
		})
	})
}
