package alerts

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// times are the durations of the template: <5m>, which becomes a duration of
// Prometheus, or <5m in seconds>, which becomes a number to compare with.
var times = regexp.MustCompile(`<(\d+[smh])( in seconds)?>`)

// rewrite scales what times has found.
func rewrite(found string, scale float64) string {
	parts := times.FindStringSubmatch(found)
	d, err := time.ParseDuration(parts[1])
	if err != nil { // the pattern allows none such
		panic(fmt.Sprintf("alerts: %v", err))
	}
	// Prometheus knows no duration below a millisecond, and no empty range.
	d = max(time.Duration(float64(d)*scale).Round(time.Millisecond), time.Millisecond)
	if parts[2] != "" {
		return strconv.FormatFloat(d.Seconds(), 'f', -1, 64)
	}
	return duration(d)
}

// duration writes whole milliseconds as Prometheus reads them: 1h30m, 1s500ms.
func duration(d time.Duration) string {
	var b strings.Builder
	for _, unit := range []struct {
		name string
		size time.Duration
	}{{"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}, {"ms", time.Millisecond}} {
		if d >= unit.size {
			fmt.Fprintf(&b, "%d%s", d/unit.size, unit.name)
			d %= unit.size
		}
	}
	return b.String()
}
