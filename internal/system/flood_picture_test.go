package system_test

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

// The picture of the flood: panels above each other, on one line of time.
const (
	floodWidth, floodLeft, floodRight, floodTop = 860, 62, 10, 62
	panelHeight, panelGap, alertHeight          = 110, 34, 18
	// Times are on a logarithmic scale.
	leastTime, mostTime = 0.01, 100.
)

const floodStyle = `
text { font: 12px sans-serif; fill: #57606a }
.title { fill: #1f2328; font-weight: bold }
.phase { fill: #0969da; fill-opacity: .08 }
.grid { stroke: #57606a; stroke-opacity: .25 }
.a { stroke: #0969da } .b { stroke: #bc4c00 }
.fa { fill: #0969da } .fb { fill: #bc4c00 }
.line { fill: none; stroke-width: 1.5 }
.alert { fill: #cf222e }
.limit { stroke: #cf222e; stroke-dasharray: 4 3 }
@media (prefers-color-scheme: dark) {
text { fill: #9198a1 }
.title { fill: #f0f6fc }
.phase { fill: #4493f8; fill-opacity: .16 }
.grid { stroke: #9198a1 }
.a { stroke: #4493f8 } .b { stroke: #f0883e }
.fa { fill: #4493f8 } .fb { fill: #f0883e }
.alert { fill: #f85149 }
.limit { stroke: #f85149 }
}
`

// drawing is what the picture of the flood shows.
type drawing struct {
	from, to         time.Time
	phases           []phase
	pending, waiting []point
	oldest, overdue  []point
	pickups          []pickup
	spans            []span
}

func (r *floodReport) picture() string {
	f := r.f
	line := func(expression string) []point { return f.monitor.line(f.began, f.ended, expression) }
	return drawing{
		from: f.began, to: f.ended, phases: f.phases, pickups: r.v.pickups, spans: r.spans,
		pending: line(`sum(opfeed_changes_pending)`),
		waiting: line(`sum(opfeed_changes_waiting)`),
		oldest:  line(`max(opfeed_changes_oldest_waiting_seconds)`),
		overdue: line(`max(opfeed_sweep_overdue_seconds)`),
	}.svg()
}

func (d drawing) svg() string {
	var names []string
	for _, s := range d.spans {
		if !slices.Contains(names, s.alert) {
			names = append(names, s.alert)
		}
	}
	const panels = 3
	bottom := floodTop + panels*(panelHeight+panelGap)
	height := bottom + alertHeight*len(names) + 30
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	say(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img">`, floodWidth, height, floodWidth, height)
	say(`<title>A flood, and what else goes wrong, as the metrics and the alerts tell it</title>`)
	say(`<style>%s</style>`, floodStyle)
	for i, p := range d.phases {
		say(`<rect class="phase" x="%.1f" y="%d" width="%.1f" height="%d"/>`, d.x(p.begin), 40, d.x(p.mended)-d.x(p.begin), height-40-24)
		say(`<text x="%.1f" y="%d">%s</text>`, d.x(p.begin), 16+16*(i%2), escaped(p.name)) // one that is short has no room beside the next
	}
	d.numbers(say, floodTop)
	d.ages(say, floodTop+panelHeight+panelGap)
	d.served(say, floodTop+2*(panelHeight+panelGap))
	say(`<text class="title" x="%d" y="%d">alerts that fire</text>`, floodLeft, bottom-8)
	for i, name := range names {
		y := bottom + alertHeight*i
		var last float64
		for _, s := range d.spans {
			if s.alert == name {
				say(`<rect class="alert" x="%.1f" y="%d" width="%.1f" height="%d" rx="2"/>`, d.x(s.from), y+2, max(2, d.x(s.to)-d.x(s.from)), alertHeight-4)
				last = max(last, d.x(s.to))
			}
		}
		x, anchor := last+6, "start"
		if last > floodWidth*2/3 {
			x, anchor = d.x(d.first(name))-6, "end"
		}
		say(`<text x="%.1f" y="%d" text-anchor="%s">%s</text>`, x, y+alertHeight-5, anchor, escaped(name))
	}
	for at := time.Duration(0); at <= d.to.Sub(d.from); at += time.Minute {
		say(`<text x="%.1f" y="%d" text-anchor="middle">%.0f min</text>`, d.x(d.from.Add(at)), height-8, at.Minutes())
	}
	say(`</svg>`)
	return b.String()
}

func (d drawing) first(alert string) time.Time {
	for _, s := range d.spans {
		if s.alert == alert {
			return s.from
		}
	}
	return d.from
}

type sayer func(format string, args ...any)

// numbers is the panel of what is pending and what waits.
func (d drawing) numbers(say sayer, top int) {
	most := 1.
	for _, p := range slices.Concat(d.pending, d.waiting) {
		most = max(most, p.value)
	}
	// A round number of which there are at most four on the scale.
	step := math.Pow(10, math.Floor(math.Log10(most)))
	for most/step > 4 {
		step *= 2
	}
	y := func(v float64) float64 { return float64(top+panelHeight) - v/most*panelHeight }
	legend(say, top, "operations", "fa", "pending", "fb", "waiting for a step")
	for v := 0.; v <= most; v += step {
		grid(say, y(v), fmt.Sprintf("%.0f", v))
	}
	d.line(say, "a", d.pending, y)
	d.line(say, "b", d.waiting, y)
}

// ages is the panel of how late things are.
func (d drawing) ages(say sayer, top int) {
	legend(say, top, "seconds", "fa", "the most overdue look", "fb", "the oldest that waits")
	times(say, top)
	d.line(say, "a", d.overdue, func(v float64) float64 { return onTimes(top, v) })
	d.line(say, "b", d.oldest, func(v float64) float64 { return onTimes(top, v) })
}

// served is the panel of how soon quiet subscriptions are: for each second a line from
// the median to the longest.
func (d drawing) served(say sayer, top int) {
	legend(say, top, "seconds", "fa", "until a new operation of a quiet subscription is picked up: median to longest, each second", "", "")
	times(say, top)
	limit := onTimes(top, pickupLimit.Seconds())
	say(`<line class="limit" x1="%d" y1="%.1f" x2="%d" y2="%.1f"/>`, floodLeft, limit, floodWidth-floodRight, limit)
	for rest := d.pickups; len(rest) > 0; {
		second := rest[0].written.Truncate(time.Second)
		n := slices.IndexFunc(rest, func(p pickup) bool { return !p.written.Truncate(time.Second).Equal(second) })
		if n < 0 {
			n = len(rest)
		}
		var took []time.Duration
		for _, p := range rest[:n] {
			took = append(took, p.took)
		}
		rest = rest[n:]
		slices.Sort(took)
		x := d.x(second.Add(500 * time.Millisecond))
		if x < floodLeft {
			continue
		}
		say(`<line class="a" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`, x,
			onTimes(top, took[len(took)/2].Seconds())+1, x, onTimes(top, took[len(took)-1].Seconds()))
	}
}

func (d drawing) line(say sayer, class string, points []point, y func(float64) float64) {
	if len(points) == 0 {
		return
	}
	var b strings.Builder
	for _, p := range points {
		fmt.Fprintf(&b, "%.1f,%.1f ", d.x(p.at), y(p.value))
	}
	say(`<polyline class="line %s" points="%s"/>`, class, strings.TrimSpace(b.String()))
}

// x is where a moment is.
func (d drawing) x(at time.Time) float64 {
	part := float64(at.Sub(d.from)) / float64(d.to.Sub(d.from))
	return floodLeft + part*(floodWidth-floodLeft-floodRight)
}

func legend(say sayer, top int, title, a, aText, b, bText string) {
	say(`<text class="title" x="%d" y="%d">%s</text>`, floodLeft, top-8, title)
	x := floodLeft + 80
	for _, one := range [][2]string{{a, aText}, {b, bText}} {
		if one[0] != "" {
			say(`<rect class="%s" x="%d" y="%d" width="12" height="4"/><text x="%d" y="%d">%s</text>`, one[0], x, top-14, x+18, top-8, one[1])
			x += 170
		}
	}
}

func grid(say sayer, y float64, text string) {
	say(`<line class="grid" x1="%d" y1="%.1f" x2="%d" y2="%.1f"/>`, floodLeft, y, floodWidth-floodRight, y)
	say(`<text x="%d" y="%.1f" text-anchor="end">%s</text>`, floodLeft-6, y+4, text)
}

func times(say sayer, top int) {
	for v := leastTime; v <= mostTime*1.01; v *= 10 {
		grid(say, onTimes(top, v), fmt.Sprintf("%g", math.Round(v*100)/100))
	}
}

// onTimes is where a number of seconds is in a panel.
func onTimes(top int, v float64) float64 {
	v = min(max(v, leastTime), mostTime)
	return float64(top+panelHeight) - math.Log(v/leastTime)/math.Log(mostTime/leastTime)*panelHeight
}

func escaped(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text))
	return b.String()
}

func TestFloodPicture(t *testing.T) {
	zero := time.Unix(1000, 0)
	at := func(s int) time.Time { return zero.Add(time.Duration(s) * time.Second) }
	d := drawing{
		from: zero, to: at(100),
		phases:  []phase{{name: "before", begin: zero, mended: at(10)}, {name: "a < b", begin: at(10), mended: at(60)}},
		pending: []point{{at(0), 0}, {at(50), 40000}}, oldest: []point{{at(0), 1}},
		pickups: []pickup{{at(1), time.Second}, {at(1), 2 * time.Second}, {at(3), time.Millisecond}},
		spans:   []span{{"A", "", at(20), at(40)}, {"B", "", at(90), at(95)}, {"A", "", at(50), at(55)}},
	}
	text := d.svg()
	for x := xml.NewDecoder(strings.NewReader(text)); ; {
		if _, err := x.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	for what, n := range map[string]int{
		`class="alert"`: 3, ">A</text>": 1, ">a &lt; b</text>": 1, `<line class="a"`: 2, "polyline": 2, ">40000<": 1,
		`<line class="limit"`: 1,
	} {
		if got := strings.Count(text, what); got != n {
			t.Errorf("%s: %d times, want %d", what, got, n)
		}
	}
	if a, b, c := onTimes(0, .01), onTimes(0, 1), onTimes(0, 1000); a != panelHeight || math.Abs(b-panelHeight/2.) > .01 || c != 0 {
		t.Errorf("%v, %v, %v", a, b, c)
	}
}
