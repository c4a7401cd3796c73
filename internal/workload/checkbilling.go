package workload

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
)

// billingMismatches reads what is to be paid for, where there is a container for
// it, and says everything that disagrees with how the operations ended.
func (f *FrontEnd) billingMismatches(ctx context.Context, es []entry) ([]mismatch, error) {
	if f.store.billing == nil {
		return nil, nil
	}
	var bills []map[string]any
	pager := f.store.billing.NewQueryItemsPager("SELECT * FROM c", azcosmos.NewPartitionKey(), nil)
	for pager.More() {
		page, err := pager.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("read billing documents: %w", err)
		}
		for _, row := range page.Items {
			var bill map[string]any
			if err := json.Unmarshal(row, &bill); err != nil {
				return nil, fmt.Errorf("decode billing document: %w", err)
			}
			bills = append(bills, bill)
		}
	}
	return checkBilling(es, bills), nil
}

// checkBilling holds the documents of billing to the operations: a cluster that
// was created has one, and it is open until the cluster was deleted. Clusters that
// were there before have none, and loaded operations are not looked at. It does no
// I/O.
func checkBilling(es []entry, bills []map[string]any) []mismatch {
	created, deleted := map[string]bool{}, map[string]bool{}
	var clusters []string
	for _, e := range es {
		if e.Loaded || e.Target.Kind != Cluster || e.Terminal.IsZero() {
			continue
		}
		id := strings.ToLower(e.Resource)
		clusters = append(clusters, id)
		created[id] = created[id] || e.Request == Create && e.Status == "Succeeded"
		deleted[id] = deleted[id] || e.Request == Delete && e.Status == "Succeeded"
	}
	all, open := map[string]int{}, map[string]int{}
	for _, bill := range bills {
		id := strings.ToLower(text(bill, "resourceId"))
		all[id]++
		if text(bill, "deletionTime") == "" {
			open[id]++
		}
	}
	var out []mismatch
	slices.Sort(clusters)
	for _, id := range slices.Compact(clusters) {
		var words []string
		switch {
		case created[id] && all[id] != 1:
			words = append(words, fmt.Sprintf("the cluster was created, and has %d billing documents", all[id]))
		case created[id] && !deleted[id] && open[id] != 1:
			words = append(words, "the cluster is there, but its billing document says that it was deleted")
		case deleted[id] && open[id] != 0:
			words = append(words, fmt.Sprintf("the cluster was deleted, and has %d billing documents that do not say so", open[id]))
		}
		if words != nil {
			out = append(out, mismatch{"cluster " + id, words})
		}
	}
	return out
}
