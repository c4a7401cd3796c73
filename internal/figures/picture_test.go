package figures_test

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"testing"
	"time"
)

const pictureOfFailover = "../../docs/failover.svg"

func writePicture(t *testing.T, ours, theirs figures) {
	t.Helper()
	if err := os.WriteFile(pictureOfFailover, []byte(picture(gapRows(ours, theirs))), 0o644); err != nil {
		t.Fatal(err)
	}
}

// The picture is as wide as a page, on a logarithmic scale from the least to the
// most; its colours do on a light and on a dark ground.
const (
	pictureWidth, rowHeight     = 720, 56
	left, right, top            = 90, 70, 54
	widthOfText                 = 45
	leastShown, mostShown       = 100 * time.Millisecond, 100 * time.Second
	grey, blue, orange, lighter = "#808080", "#2f81f7", "#d9822b", "#9a9a9a"
	pictureFont                 = "font-family=\"sans-serif\" font-size=\"12\""
	markedOnScale, betweenBars  = "0.1 s,1 s,10 s,100 s", 22
)

// picture draws, for each way in which a range changes hands, two bars, solid to
// the median and pale to the 99th percentile, and what is wanted.
func picture(rows []gapRow) string {
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	height := top + rowHeight*len(rows) + 30
	say(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img" %s>`,
		pictureWidth, height, pictureWidth, height, pictureFont)
	say(`<title>How long a range is handled by nobody</title>`)
	legend := func(x int, colour, text string) {
		say(`<rect x="%d" y="10" width="14" height="10" rx="2" fill="%s"/><text x="%d" y="19" fill="%s">%s</text>`, x, colour, x+20, grey, text)
	}
	legend(left, blue, "defaults: to p50, pale to p99")
	legend(left+210, lighter, "with .NET's intervals")
	legend(left+390, orange, "wanted of p99")
	for i, text := range strings.Split(markedOnScale, ",") {
		x := position(leastShown * time.Duration(math.Pow10(i)))
		say(`<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="%s" stroke-opacity="0.35"/>`, x, top-14, x, height-26, grey)
		say(`<text x="%.1f" y="%d" fill="%s" text-anchor="middle">%s</text>`, x, height-10, grey, text)
	}
	for i, row := range rows {
		y := top + rowHeight*i
		say(`<text x="%d" y="%d" fill="%s" text-anchor="end">%s</text>`, left-12, y+20, grey, row.what)
		x := position(row.wanted)
		bar(say, y, blue, row.ours, x)
		bar(say, y+betweenBars, lighter, row.theirs, 0)
		say(`<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="%s" stroke-width="2"/>`, x, y-4, x, y+betweenBars-4, orange)
	}
	say(`</svg>`)
	return b.String()
}

func bar(say func(string, ...any), y int, colour string, s *sample, wanted float64) {
	p50, reached50 := s.quantile(.5)
	p99, reached99 := s.quantile(.99)
	if !reached50 || !reached99 {
		say(`<text x="%d" y="%d" fill="%s">%s</text>`, left+4, y+12, colour, notReached)
		return
	}
	half, to := position(p50), max(position(p99), left+3)
	say(`<rect x="%d" y="%d" width="%.1f" height="14" fill="%s"/>`, left, y, half-left, colour)
	say(`<rect x="%.1f" y="%d" width="%.1f" height="14" fill="%s" fill-opacity="0.5"/>`, half, y, to-half, colour)
	if wanted > to && wanted < to+widthOfText { // the line would strike the text out
		to = wanted
	}
	say(`<text x="%.1f" y="%d" fill="%s">%.1f s</text>`, to+6, y+12, colour, p99.Seconds())
}

// position is where a duration is on the scale.
func position(d time.Duration) float64 {
	d = min(max(d, leastShown), mostShown)
	part := math.Log(float64(d)/float64(leastShown)) / math.Log(float64(mostShown)/float64(leastShown))
	return left + part*(pictureWidth-left-right)
}

func TestPicture(t *testing.T) {
	one, none := &sample{}, &sample{}
	one.add(time.Second)
	none.miss()
	text := picture([]gapRow{{"crash", one, none, 10 * time.Second}, {"stop", none, one, time.Second}})
	for d := xml.NewDecoder(strings.NewReader(text)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if strings.Count(text, "1.0 s") != 2 || strings.Count(text, notReached) != 2 {
		t.Errorf("not what was measured:\n%s", text)
	}
	third := float64(pictureWidth-left-right) / 3
	if a, b := position(time.Second), position(10*time.Second); math.Abs(a-left-third) > .01 || math.Abs(b-a-third) > .01 {
		t.Errorf("1 s is at %v, 10 s at %v", a, b)
	}
}
