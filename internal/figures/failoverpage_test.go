package figures_test

import (
	"fmt"
	"strings"
	"time"
)

// failoverPage is what the page says of it.
func failoverPage(ours, theirs figures) string {
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format, args...) }

	say("| a range is handled by nobody for | changes of hands | p50 | p99 | slowest | wanted | .NET's intervals: p50 | p99 | slowest | times as long, p99 |\n" +
		"|---|---|---|---|---|---|---|---|---|---|\n")
	for _, row := range gapRows(ours, theirs) {
		say("| %s | %d | %s | %s | %s | p99 ≤ %.0f s | %s | %s | %s | %s |\n", row.what, row.ours.tries(),
			seconds(row.ours, .5), seconds(row.ours, .99), seconds(row.ours, 1), row.wanted.Seconds(),
			seconds(row.theirs, .5), seconds(row.theirs, .99), seconds(row.theirs, 1), ratio(row.theirs, row.ours))
	}

	say("\n| six ranges | tries | p50 | slowest | in intervals | wanted | .NET's intervals: p50 | slowest |\n|---|---|---|---|---|---|---|---|\n")
	for _, row := range []struct {
		what         string
		ours, theirs *sample
	}{
		{"two join one: each has two", &ours.spread, &theirs.spread},
		{"two of three leave: one has all", &ours.gather, &theirs.gather},
	} {
		intervals := notReached
		if slowest, reached := row.ours.quantile(1); reached {
			intervals = fmt.Sprintf("%.1f", slowest.Seconds()/ours.set.leases.AcquireInterval.Seconds())
		}
		say("| %s | %d | %s | %s | %s | ≤ %.0f | %s | %s |\n", row.what, row.ours.tries(),
			seconds(row.ours, .5), seconds(row.ours, 1), intervals, mostBalance, seconds(row.theirs, .5), seconds(row.theirs, 1))
	}
	return b.String()
}

// gapRow is one way in which a range changes hands.
type gapRow struct {
	what         string
	ours, theirs *sample
	wanted       time.Duration // p99
}

func gapRows(ours, theirs figures) []gapRow {
	return []gapRow{
		{"crash", &ours.crash, &theirs.crash, mostCrash},
		{"stop", &ours.stop, &theirs.stop, mostHandOver},
		{"join", &ours.join, &theirs.join, mostHandOver},
		{"1→3→1", &ours.moved, &theirs.moved, mostHandOver},
	}
}

const notReached = "not reached"

func seconds(s *sample, q float64) string {
	d, reached := s.quantile(q)
	if !reached {
		return notReached
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}

func ratio(theirs, ours *sample) string {
	a, reachedA := theirs.quantile(.99)
	b, reachedB := ours.quantile(.99)
	if !reachedA || !reachedB || b < time.Millisecond {
		return "–"
	}
	return fmt.Sprintf("%.1f", a.Seconds()/b.Seconds())
}
