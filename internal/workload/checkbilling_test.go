package workload

import (
	"fmt"
	"testing"
	"time"
)

func TestCheckBilling(t *testing.T) {
	end := time.Now()
	op := func(r Request, status string) entry {
		return entry{Request: r, Status: status, Terminal: end, Resource: "/subscriptions/s/C", Target: Target{Kind: Cluster}}
	}
	open, closed := map[string]any{"resourceId": "/subscriptions/S/c"}, map[string]any{"resourceId": "/Subscriptions/s/c", "deletionTime": "2026-01-01T00:00:00Z"}
	loaded, pool, pending := op(Create, "Succeeded"), op(Create, "Succeeded"), op(Create, "Accepted")
	loaded.Loaded, pool.Target.Kind, pending.Terminal = true, NodePool, time.Time{}
	for name, c := range map[string]struct {
		es    []entry
		bills []map[string]any
		wrong bool
	}{
		"created":                       {[]entry{op(Create, "Succeeded")}, []map[string]any{open}, false},
		"created, none":                 {[]entry{op(Create, "Succeeded")}, nil, true},
		"created, two":                  {[]entry{op(Create, "Succeeded")}, []map[string]any{open, closed}, true},
		"created, closed":               {[]entry{op(Create, "Succeeded"), op(Update, "Succeeded")}, []map[string]any{closed}, true},
		"created and deleted":           {[]entry{op(Create, "Succeeded"), op(Delete, "Succeeded")}, []map[string]any{closed}, false},
		"created and deleted, open":     {[]entry{op(Create, "Succeeded"), op(Delete, "Succeeded")}, []map[string]any{open}, true},
		"created, and deleted in vain":  {[]entry{op(Create, "Succeeded"), op(Delete, "Failed")}, []map[string]any{open}, false},
		"there before, and deleted":     {[]entry{op(Delete, "Succeeded")}, nil, false},
		"canceled and deleted, open":    {[]entry{op(Create, "Canceled"), op(Delete, "Succeeded")}, []map[string]any{open}, true},
		"canceled and deleted, closed":  {[]entry{op(Create, "Canceled"), op(Delete, "Succeeded")}, []map[string]any{closed}, false},
		"failed":                        {[]entry{op(Create, "Failed")}, nil, false},
		"loaded, of a pool, or pending": {[]entry{loaded, pool, pending}, nil, false},
	} {
		if have := checkBilling(c.es, c.bills); (len(have) > 0) != c.wrong {
			t.Errorf("%s: have %s", name, fmt.Sprint(sentences(have)))
		}
	}
}
