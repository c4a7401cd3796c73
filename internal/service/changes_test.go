package service

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"opfeed/processor/operations"
	"opfeed/processor/status"
)

// The oldest counts that has not ended: one that waits for ARM to be told does
// not, and one without a start has no age.
func TestOperationsByKind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ago := func(d time.Duration) time.Time { return time.Now().Add(-d) }
		c := newChangesCollector(func() []status.Change {
			return []status.Change{
				{Kind: "Cluster", Request: operations.Create, State: "Provisioning", Began: ago(time.Minute)},
				{Kind: "Cluster", Request: operations.Create, State: "Provisioning", Began: ago(time.Hour)},
				{Kind: "Cluster", Request: operations.Create, State: operations.LabelOwed, Began: ago(24 * time.Hour)},
				{Kind: "Cluster", Request: operations.Update, State: "Updating", Began: ago(-time.Hour)}, // another's clock
				{State: "New"},
			}
		})
		r := prometheus.NewRegistry()
		if err := r.Register(c); err != nil {
			t.Fatal(err)
		}
		families, err := r.Gather()
		if err != nil {
			t.Fatal(err)
		}
		have := map[string]float64{}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				words := []string{f.GetName()}
				for _, l := range m.GetLabel() {
					words = append(words, l.GetValue())
				}
				have[strings.Join(words, " ")] = m.GetGauge().GetValue()
			}
		}
		for name, want := range map[string]float64{
			"opfeed_operations Cluster Create Provisioning":  2,
			"opfeed_operations Cluster Create Owed":          1,
			"opfeed_operations Cluster Update Updating":      1,
			"opfeed_operations none other New":               1,
			"opfeed_operation_oldest_seconds Cluster Create": 3600,
			"opfeed_operation_oldest_seconds Cluster Update": 0,
			"opfeed_operation_oldest_seconds Cluster Delete": 0,
			"opfeed_notifications_owed":                      1,
		} {
			if n, ok := have[name]; !ok || n != want {
				t.Errorf("%s: have %v, %t, want %v", name, n, ok, want)
			}
		}
		if want := 5 + len(operations.KindsByRequest()); len(have) != want {
			t.Errorf("%d series, want %d: %s", len(have), want, fmt.Sprint(have))
		}
	})
}
