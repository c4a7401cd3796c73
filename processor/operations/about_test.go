package operations

import (
	"encoding/json"
	"strings"
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
		"as it should be": {-30 * time.Minute, 30 * time.Minute},
		"missing":         {nil, 10 * time.Minute},
		"no time":         {"yesterday", 10 * time.Minute},
		"the epoch":       {"1970-01-01T00:00:00Z", 10 * time.Minute},
		"in the future":   {time.Hour, 10 * time.Minute},
		"a number":        {5, 10 * time.Minute},
		// These parse, and cannot be written as JSON.
		"no offset of a day":     {offset("+24:00", 24*time.Hour), 10 * time.Minute},
		"no offset of 60 min":    {offset("-23:60", -24*time.Hour), 10 * time.Minute},
		"year 10000 in UTC":      {"9999-12-31T23:59:59-23:00", 10 * time.Minute},
		"before all time in UTC": {"0000-01-01T00:00:00+23:00", 10 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.plant(clusterID, "installing")
				d := operationDoc("op-1", Create)
				switch start := c.start.(type) {
				case nil:
					delete(props(d), "startTime")
				case func() string:
					props(d)["startTime"] = start()
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
				if _, err := step.About.Began.MarshalJSON(); err != nil {
					t.Errorf("it cannot be told: %v", err)
				}
				if age := time.Since(step.About.Began); age < c.age-2*time.Second || age > c.age+2*time.Second {
					t.Errorf("it began %v ago, want %v", age, c.age)
				}
			})
		})
	}
}

// offset writes a moment shortly ago as a clock in that zone would show it.
func offset(zone string, of time.Duration) func() string {
	return func() string { return time.Now().Add(of-time.Minute).UTC().Format("2006-01-02T15:04:05") + zone }
}

// TestLongTextsAreToldWithTheirLength: what is cut says so, and is not cut again by
// who shows it.
func TestLongTextsAreToldWithTheirLength(t *testing.T) {
	for length, told := range map[int]string{511: strings.Repeat("é", 255) + "x", 512: strings.Repeat("é", 256), 513: strings.Repeat("é", 240) + "… (513 bytes)", 2_000_001: strings.Repeat("é", 240) + "… (2000001 bytes)"} {
		long := strings.Repeat("é", length/2) + strings.Repeat("x", length%2)
		l := look{op: operation{document: document{id: "o"}, name: long}}
		l.op.properties = object{"externalId": json.RawMessage(`"` + long + `"`)}
		if about := l.about(); about.Name != told || about.Resource != told {
			t.Errorf("%d bytes: told as %q", length, about.Name)
		}
	}
}

// TestTimesCanBeWrittenAgain: what cannot is none, in whatever shape it comes.
func TestTimesCanBeWrittenAgain(t *testing.T) {
	for text, known := range map[string]bool{
		"2026-03-01T12:00:00Z": true, "2026-03-01T12:00:00.123456789+23:59": true, "2026-03-01T12:00:00-11:00": true,
		"2026-03-01T12:00:00+24:00": false, "2026-03-01T12:00:00-24:00": false, "2026-03-01T12:00:00+23:60": false,
		"9999-12-31T23:59:59-23:00": false, "0000-01-01T00:00:00+23:00": false, "9999-12-31T23:59:59Z": true,
	} {
		d, _ := parseDocument([]byte(`{"id":"x","partitionKey":"s","properties":{"startTime":"` + text + `"}}`))
		o := view(d)
		if _, err := json.Marshal([]time.Time{o.Start, o.Start.UTC()}); err != nil || o.Start.IsZero() == known {
			t.Errorf("%s: %v, %v", text, o.Start, err)
		}
	}
}
