package system_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// phase is a part of the flood's time line: a trouble, and the recovery from it.
type phase struct {
	name, what string
	// must are the alerts that have to fire, and how soon after the beginning.
	must map[string]time.Duration
	// may are those that are right to fire, and why, and need not.
	may map[string]string

	begin, mended, end time.Time // mended: the trouble is taken away
}

// row is one thing that is checked.
type row struct {
	phase, what, seen, bound string
	ok                       bool
	late                     bool // it came, but not in the time that is wanted
}

func (r row) kept() bool { return r.ok && !r.late }

// settled is how long after the end of a trouble its alerts may fire: windows of
// rules have to pass.
func alertRows(phases []phase, spans []span, settled time.Duration) (rows []row) {
	for i, p := range phases {
		var wrong, open []string
		began := map[string]time.Time{}
		last := time.Time{}
		for _, s := range spans {
			if s.from.Before(p.begin) || i+1 < len(phases) && !s.from.Before(p.end) {
				continue
			}
			_, must := p.must[s.alert]
			_, may := p.may[s.alert]
			switch {
			case !must && !may:
				wrong = append(wrong, s.alert+" "+s.detail)
			case must && began[s.alert].IsZero():
				began[s.alert] = s.from
			}
			if last = later(last, s.to); s.to.After(p.end) {
				open = append(open, s.alert)
			}
		}
		rows = append(rows, firedRows(p, began)...)
		rows = append(rows, row{
			phase: p.name, what: others(p), seen: cmp.Or(strings.Join(unique(wrong), ", "), "none"),
			bound: "none" + besides(p), ok: len(wrong) == 0,
		})
		if last.IsZero() {
			continue
		}
		after := max(0, last.Sub(p.mended))
		rows = append(rows, row{
			phase: p.name, what: "all alerts resolve", seen: seconds(after) + " after the trouble ended",
			bound: "≤ " + seconds(settled), ok: len(open) == 0, late: after > settled,
		})
	}
	return rows
}

func firedRows(p phase, began map[string]time.Time) (rows []row) {
	for _, alert := range sorted(p.must) {
		r := row{phase: p.name, what: alert + " fires", seen: "never", bound: "≤ " + seconds(p.must[alert])}
		if at := began[alert]; !at.IsZero() {
			took := at.Sub(p.begin)
			r.seen, r.ok, r.late = "after "+seconds(took), true, took > p.must[alert]
		}
		rows = append(rows, r)
	}
	return rows
}

func others(p phase) string {
	if len(p.must) == 0 {
		return "no alert fires"
	}
	return "no other alert fires"
}

func besides(p phase) string {
	if len(p.may) == 0 {
		return ""
	}
	return " but " + strings.Join(sorted(p.may), ", ")
}

func sorted[T any](m map[string]T) []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func unique(list []string) []string {
	slices.Sort(list)
	return slices.Compact(list)
}

func seconds(d time.Duration) string {
	if d < 10*time.Second {
		return fmt.Sprintf("%.2f s", d.Seconds())
	}
	return fmt.Sprintf("%.0f s", d.Seconds())
}

// An alert that is late, one that is missing, one that is wrong and one that does
// not resolve are each told.
func TestAlertRows(t *testing.T) {
	zero := time.Unix(1000, 0)
	at := func(s int) time.Time { return zero.Add(time.Duration(s) * time.Second) }
	phases := []phase{
		{name: "before", begin: at(0), mended: at(10), end: at(10)},
		{name: "flood", begin: at(10), mended: at(40), end: at(60), must: map[string]time.Duration{"A": 10 * time.Second, "B": 10 * time.Second}, may: map[string]string{"C": "so"}},
	}
	good := []span{{"A", "", at(15), at(45)}, {"B", "", at(20), at(30)}, {"C", "", at(20), at(21)}}
	for what, test := range map[string]struct {
		spans []span
		wrong string
	}{
		"right":    {good, ""},
		"missing":  {good[:1], "flood: B fires"},
		"late":     {append([]span{{"A", "", at(21), at(45)}}, good[1:]...), "flood: A fires (late)"},
		"wrong":    {append([]span{{"C", "", at(5), at(6)}}, good...), "before: no alert fires"},
		"resolves": {append([]span{{"C", "", at(40), at(57)}}, good...), "flood: all alerts resolve (late)"},
		"open":     {append([]span{{"C", "", at(40), at(61)}}, good...), "flood: all alerts resolve"},
		"early":    {append([]span{{"D", "", at(10), at(11)}}, good...), "flood: no other alert fires"},
	} {
		var wrong []string
		for _, r := range alertRows(phases, test.spans, 15*time.Second) {
			switch {
			case !r.ok:
				wrong = append(wrong, r.phase+": "+r.what)
			case r.late:
				wrong = append(wrong, r.phase+": "+r.what+" (late)")
			}
		}
		if got := strings.Join(wrong, "; "); got != test.wrong {
			t.Errorf("%s: %q, want %q", what, got, test.wrong)
		}
	}
}

// What Prometheus tells once a second becomes spans of time.
func TestSpansOf(t *testing.T) {
	zero := time.Unix(1000, 0)
	s := series{labels: map[string]string{"alertname": "A", "range": "0", "severity": "warning"}}
	for _, n := range []int{0, 1, 2, 7, 8} {
		s.points = append(s.points, point{zero.Add(time.Duration(n) * time.Second), 1})
	}
	got := fmt.Sprint(spansOf(s))
	want := fmt.Sprint([]span{
		{"A", "range=0", zero, zero.Add(3 * time.Second)},
		{"A", "range=0", zero.Add(7 * time.Second), zero.Add(9 * time.Second)},
	})
	if got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
