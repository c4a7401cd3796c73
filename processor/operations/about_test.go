package operations

import (
	"testing"
	"testing/synctest"
	"time"

	"opfeed/processor/dispatch"
)

// TestBeganIsToBeBelieved: how old an operation is decides who is woken up at night.
// A startTime that makes no sense neither hides one that hangs nor raises an alarm.
func TestBeganIsToBeBelieved(t *testing.T) {
	for name, c := range map[string]struct {
		start any
		age   time.Duration // as it is told when the operation was stored ten minutes ago
	}{
		"as it should be": {time.Duration(-30 * time.Minute), 30 * time.Minute},
		"missing":         {nil, 10 * time.Minute},
		"no time":         {"yesterday", 10 * time.Minute},
		"the epoch":       {"1970-01-01T00:00:00Z", 10 * time.Minute},
		"in the future":   {time.Duration(time.Hour), 10 * time.Minute},
		"a number":        {5, 10 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.plant(clusterID, "installing")
				d := operationDoc("op-1", Create)
				switch start := c.start.(type) {
				case nil:
					delete(props(d), "startTime")
				case time.Duration:
					props(d)["startTime"] = time.Now().Add(10*time.Minute + start).UTC().Format(time.RFC3339Nano)
				default:
					props(d)["startTime"] = start
				}
				r.put(d)
				r.put(clusterDoc("c1", "op-1"))
				time.Sleep(10 * time.Minute)
				step, err := r.step(dispatch.Change{Key: key("op-1")})
				if err != nil {
					t.Fatal(err)
				}
				if age := time.Since(step.About.Began); age < c.age-2*time.Second || age > c.age+2*time.Second {
					t.Errorf("it began %v ago, want %v", age, c.age)
				}
			})
		})
	}
}
