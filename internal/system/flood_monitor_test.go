package system_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// monitor is a real Prometheus, which looks at the replicas once a second, and
// evaluates the rules as often.
type monitor struct {
	t   *testing.T
	url string
}

// needPrometheus finds the program. Where it is missing the test is skipped, but
// not where the environment says that nothing may be.
func needPrometheus(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("prometheus")
	if err == nil {
		return path
	}
	if os.Getenv("REQUIRE_TOOLS") == "1" {
		t.Fatal("there is no prometheus here, and REQUIRE_TOOLS=1; Debian's package has that name")
	}
	t.Skip("SKIPPED: there is no prometheus here; Debian's package has that name")
	return ""
}

// watch starts a Prometheus over the replicas. What it looks back for a value is
// scaled like the times of the rules.
func (f *fleet) watch(program string, rules []byte, scale float64) *monitor {
	f.t.Helper()
	var targets []string
	for _, s := range f.seats {
		targets = append(targets, strconv.Quote(strings.TrimPrefix(s.url, "http://")))
	}
	dir := f.t.TempDir()
	for name, text := range map[string]string{
		"rules.yaml": string(rules),
		"prometheus.yaml": `global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}
rule_files: [rules.yaml]
scrape_configs:
  - job_name: opfeed
    static_configs: [{targets: [` + strings.Join(targets, ", ") + `], labels: {namespace: opfeed}}]
`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			f.t.Fatal(err)
		}
	}
	address := freeAddress(f.t)
	m := &monitor{t: f.t, url: "http://" + address}
	lookBack := time.Duration(float64(5*time.Minute) * scale).Round(time.Second)
	p := launch(f.t, []string{"GOMEMLIMIT=256MiB"}, program, "--log.level=error",
		"--config.file="+filepath.Join(dir, "prometheus.yaml"),
		"--web.listen-address="+address,
		"--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--storage.tsdb.retention.time=1h", "--storage.tsdb.retention.size=256MB",
		"--query.lookback-delta="+lookBack.String(), "--query.max-concurrency=4")
	f.until("Prometheus is ready", func() bool {
		select {
		case err := <-p.ended:
			f.t.Fatalf("prometheus ended: %v", err)
		default:
		}
		resp, err := probe.Get(m.url + "/-/ready")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	f.until("Prometheus has seen the replicas", func() bool {
		up := m.line(time.Now(), time.Now(), "sum(up)")
		return len(up) == 1 && up[0].value == float64(len(f.seats)) && len(m.firing()) == 0
	})
	return m
}

// freeAddress is one that nobody listens on. Somebody might before we do: then
// Prometheus ends, and says so.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// series is one line of an answer.
type series struct {
	labels map[string]string
	points []point
}

type point struct {
	at    time.Time
	value float64
}

// over asks for an expression over a span of time, once a second.
func (m *monitor) over(from, to time.Time, expression string) []series {
	m.t.Helper()
	var answer struct {
		Data struct {
			Result []struct {
				Metric map[string]string
				Values [][2]any
			}
		}
	}
	at := func(t time.Time) string { return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64) }
	m.ask("/api/v1/query_range?"+url.Values{
		"query": {expression}, "start": {at(from)}, "end": {at(to)}, "step": {"1"},
	}.Encode(), &answer)
	var list []series
	for _, r := range answer.Data.Result {
		s := series{labels: r.Metric}
		for _, v := range r.Values {
			seconds, _ := v[0].(float64)
			text, _ := v[1].(string)
			value, err := strconv.ParseFloat(text, 64)
			if err != nil {
				m.t.Fatalf("%s: value %q", expression, text)
			}
			s.points = append(s.points, point{time.UnixMilli(int64(seconds * 1000)), value})
		}
		list = append(list, s)
	}
	return list
}

// line is an expression that has one series at most.
func (m *monitor) line(from, to time.Time, expression string) []point {
	m.t.Helper()
	switch found := m.over(from, to, expression); len(found) {
	case 0:
		return nil
	case 1:
		return found[0].points
	default:
		m.t.Fatalf("%s has %d series", expression, len(found))
		return nil
	}
}

// firing are the names of the alerts that fire now.
func (m *monitor) firing() []string {
	m.t.Helper()
	var answer struct {
		Data struct {
			Alerts []struct {
				State  string
				Labels map[string]string
			}
		}
	}
	m.ask("/api/v1/alerts", &answer)
	var names []string
	for _, a := range answer.Data.Alerts {
		if a.State == "firing" {
			names = append(names, a.Labels["alertname"])
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (m *monitor) ask(path string, into any) {
	m.t.Helper()
	client := http.Client{Timeout: 30 * time.Second}
	resp, err := client.Get(m.url + path)
	if err == nil {
		defer resp.Body.Close()
		if err = json.NewDecoder(resp.Body).Decode(into); err == nil && resp.StatusCode != http.StatusOK {
			err = fmt.Errorf("answered %d", resp.StatusCode)
		}
	}
	if err != nil {
		m.t.Fatalf("ask Prometheus for %s: %v", path, err)
	}
}

// span is how long an alert fired without a break.
type span struct {
	alert, detail string // its name; the labels that tell it from others of the name
	from, to      time.Time
}

// fired is when which alert fired, in order of time.
func (m *monitor) fired(from, to time.Time) []span {
	m.t.Helper()
	var spans []span
	for _, s := range m.over(from, to, `ALERTS{alertstate="firing"}`) {
		spans = append(spans, spansOf(s)...)
	}
	slices.SortFunc(spans, func(a, b span) int { return a.from.Compare(b.from) })
	return spans
}

// spansOf puts points that follow each other within the step together. The end of a
// span is the first moment at which the alert did not fire.
func spansOf(s series) (spans []span) {
	const step = time.Second
	var details []string
	for name, value := range s.labels {
		switch name {
		case "__name__", "alertname", "alertstate", "namespace", "job", "severity":
		default:
			details = append(details, name+"="+value)
		}
	}
	slices.Sort(details)
	for _, p := range s.points {
		if n := len(spans); n > 0 && p.at.Sub(spans[n-1].to) < step {
			spans[n-1].to = p.at.Add(step)
			continue
		}
		spans = append(spans, span{s.labels["alertname"], strings.Join(details, " "), p.at, p.at.Add(step)})
	}
	return spans
}
