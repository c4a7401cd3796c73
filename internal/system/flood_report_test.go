package system_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

const (
	floodPage, floodPicture = "../../docs/flood.md", "../../docs/flood.svg"

	// pickupLimit is for the 99th percentile of quiet operations during the flood.
	pickupLimit = time.Second
	// probeLimit is what a kubelet waits for by default.
	probeLimit = time.Second
	// memoryLimit is for a replica's resident memory, in MiB, and restLimit for how
	// much of what it had at first is not given back: the runtime gives back slowly.
	memoryLimit, restLimit = 512, 192
)

// floodReport is what TestFlood has seen.
type floodReport struct {
	f     *flooded
	v     verdict
	spans []span
	rows  []row
	steps float64 // at most, a second
}

func (f *flooded) report(v verdict) *floodReport {
	f.t.Helper()
	r := &floodReport{f: f, v: v, spans: f.monitor.fired(f.began, f.ended)}
	r.rows = append(alertRows(f.phases, r.spans, f.recovers()), r.lossRows()...)
	r.rows = append(r.rows, r.pickupRow())
	r.rows = append(r.rows, r.memoryRows()...)
	r.rows = append(r.rows, r.probeRows()...)
	r.rows = append(r.rows, r.scrapeRow())
	for _, p := range f.monitor.line(f.began, f.ended, `sum(rate(opfeed_steps_total[10s]))`) {
		r.steps = max(r.steps, p.value)
	}
	return r
}

func (r *floodReport) lossRows() []row {
	for i, words := range r.v.wrong {
		if i == 20 {
			break
		}
		r.f.t.Logf("wrong: %s", words)
	}
	var statuses []string
	for _, status := range sorted(r.v.byStatus) {
		statuses = append(statuses, fmt.Sprintf("%d %s", r.v.byStatus[status], status))
	}
	want := r.f.subscriptions * r.f.each
	return []row{{
		what: "every operation ends", seen: fmt.Sprintf("%d of %d (%s)", r.v.ended, r.v.operations, strings.Join(statuses, ", ")),
		bound: fmt.Sprintf("all, and more than %d", want), ok: r.v.ended == r.v.operations && r.v.operations > want,
	}, {
		what: "operations and resources that do not agree with Cluster Service", seen: fmt.Sprint(len(r.v.wrong)), bound: "0", ok: len(r.v.wrong) == 0,
	}}
}

// flood is the phase of that name.
func (r *floodReport) flood() phase { return r.f.phases[1] }

func (r *floodReport) pickupRow() row {
	p := r.flood()
	middle, _ := r.v.quantile(p.begin, p.mended, .5)
	most, n := r.v.quantile(p.begin, p.mended, .99)
	longest, _ := r.v.quantile(p.begin, p.mended, 1)
	return row{
		phase: p.name, what: "a new operation in a quiet subscription is picked up",
		seen:  fmt.Sprintf("p50 %s, p99 %s, longest %s (of %d)", seconds(middle), seconds(most), seconds(longest), n),
		bound: "p99 ≤ " + seconds(pickupLimit), ok: n > 0, late: most > pickupLimit,
	}
}

func (r *floodReport) memoryRows() (rows []row) {
	const mib = 1 << 20
	for i, s := range r.f.monitor.over(r.f.began, r.f.ended, `process_resident_memory_bytes`) {
		first, last, most := s.points[0].value/mib, s.points[len(s.points)-1].value/mib, 0.
		for _, p := range s.points {
			most = max(most, p.value/mib)
		}
		rows = append(rows, row{
			what: fmt.Sprintf("memory of replica %d", i+1), seen: fmt.Sprintf("%.0f MiB at most", most),
			bound: fmt.Sprintf("≤ %d MiB", memoryLimit), ok: most <= memoryLimit,
		}, row{
			what: fmt.Sprintf("memory of replica %d, in the end", i+1), seen: fmt.Sprintf("%.0f MiB, %.0f MiB at first", last, first),
			bound: fmt.Sprintf("≤ %d MiB more", restLimit), ok: last <= first+restLimit,
		})
	}
	if len(rows) != 2*len(r.f.seats) {
		rows = append(rows, row{what: "memory", seen: "not measured", bound: "of each replica"})
	}
	return rows
}

func (r *floodReport) probeRows() (rows []row) {
	f := r.f
	for _, path := range []string{"/healthz", "/readyz"} {
		a := f.prober.of(path, f.began, f.ended)
		seen := fmt.Sprintf("%d of %d, the longest after %s", a.asked-a.none-a.refused, a.asked, seconds(a.longest))
		rows = append(rows, row{
			what: path + " answers 200", seen: seen, bound: "always, ≤ " + seconds(probeLimit),
			ok: a.asked > 0 && a.none+a.refused == 0, late: a.longest > probeLimit,
		})
	}
	return rows
}

// scrapeRow is what Prometheus itself met when it asked for the metrics.
func (r *floodReport) scrapeRow() row {
	missed, longest, asked := 0, 0., 0
	for _, s := range r.f.monitor.over(r.f.began, r.f.ended, `up`) {
		for _, p := range s.points {
			if asked++; p.value != 1 {
				missed++
			}
		}
	}
	for _, s := range r.f.monitor.over(r.f.began, r.f.ended, `scrape_duration_seconds`) {
		for _, p := range s.points {
			longest = max(longest, p.value)
		}
	}
	return row{
		what: "/metrics answers", seen: fmt.Sprintf("%d of %d, the longest after %.2f s", asked-missed, asked, longest),
		bound: "always, ≤ " + seconds(probeLimit), ok: asked > missed,
		late: missed > 0 || longest > probeLimit.Seconds(), // Prometheus waits no longer than that
	}
}

// table is the report for people.
func (r *floodReport) table() string {
	var b strings.Builder
	for _, one := range r.rows {
		mark := "ok   "
		switch {
		case !one.ok:
			mark = "WRONG"
		case one.late:
			mark = "LATE "
		}
		fmt.Fprintf(&b, "%s  %-12s %-66s %-70s %s\n", mark, one.phase, one.what, one.seen, one.bound)
	}
	fmt.Fprintf(&b, "\n%d steps a second at most; %.0f s in all\n", int(r.steps), r.f.ended.Sub(r.f.began).Seconds())
	for _, s := range r.spans {
		fmt.Fprintf(&b, "%5.0f s to %4.0f s  %s %s\n", s.from.Sub(r.f.began).Seconds(), s.to.Sub(r.f.began).Seconds(), s.alert, s.detail)
	}
	return b.String()
}

// page is the report in docs.
func (r *floodReport) page() string {
	f := r.f
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	at := func(t time.Time) string { return fmt.Sprintf("%.0f s", t.Sub(f.began).Seconds()) }
	say("# The flood\n")
	say("<!-- Written by \"make flood\". Do not edit. -->\n")
	say("Is overload seen before it hurts? `make flood` runs %d replicas of opfeed as processes, over an emulated account with %d ranges and a simulated Cluster Service, %d times as fast as the real one. A real Prometheus asks them once a second, and evaluates [the rules of production](alerts/opfeed.rules.yaml), their times scaled by 1/%.0f: what must hold for 5 minutes there must hold for %.0f s here. The settings are the defaults, with a budget of %d RU/s.\n",
		floodReplicas, floodRanges, f.speed, 1/f.scale, 300*f.scale, f.budget)
	say("Beside all of it %d quiet subscriptions go on with %.0f operations a second. In the end each operation and its resource, as they are stored, are held to what Cluster Service did.\n", f.quiet, f.rate)
	say("![What is pending and what waits, how late it is, how soon quiet subscriptions are served, and which alerts fire](flood.svg)\n")
	say("Measured once, on a machine with %s, on which everything ran, Prometheus and the front end included; %.0f s in all, %.0f steps a second at most. The bounds hold for two idle cores. Times of alerts are those of Prometheus, to a second.\n", machine(), f.ended.Sub(f.began).Seconds(), r.steps)
	say("## What was done\n")
	say("| phase | what | from | to | recovered |\n|---|---|---|---|---|")
	for _, p := range f.phases {
		say("| %s | %s | %s | %s | %s |", p.name, p.what, at(p.begin), at(p.mended), at(p.end))
	}
	say("\nThe flood lasts until all of it has ended; Cluster Service is slow for the first %.0f s.\n", f.lasts.Seconds())
	say("## What was wanted\n")
	say("| phase | what | seen | wanted |\n|---|---|---|---|")
	for _, one := range r.rows {
		phase, mark := one.phase, ""
		if phase == "" {
			phase = "all"
		}
		if !one.kept() {
			mark = "**not kept** "
		}
		say("| %s | %s | %s%s | %s |", phase, one.what, mark, one.seen, one.bound)
	}
	say("\nAlerts that may fire in a phase, and need not:\n")
	for _, p := range f.phases {
		for _, alert := range sorted(p.may) {
			say("- %s, %s: %s.", p.name, alert, p.may[alert])
		}
	}
	say("\n## Which alerts fired\n")
	say("| alert | | from | to |\n|---|---|---|---|")
	for _, s := range r.spans {
		say("| %s | %s | %s | %s |", s.alert, s.detail, at(s.from), at(s.to))
	}
	say("\n## How soon quiet subscriptions were served\n")
	say("From the write of an operation to the first question for its object.\n")
	say("| phase | operations | p50 | p99 | longest |\n|---|---|---|---|---|")
	for _, p := range f.phases {
		p50, n := r.v.quantile(p.begin, p.mended, .5)
		p99, _ := r.v.quantile(p.begin, p.mended, .99)
		longest, _ := r.v.quantile(p.begin, p.mended, 1)
		say("| %s | %d | %s | %s | %s |", p.name, n, seconds(p50), seconds(p99), seconds(longest))
	}
	say("\nWhile the feed of a range is silent, those in it have to wait for the list of the backstop, and in the outage all for the breaker to let a question through.")
	return b.String()
}

func (r *floodReport) write(t *testing.T) {
	t.Helper()
	for name, text := range map[string]string{floodPage: r.page(), floodPicture: r.picture()} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
