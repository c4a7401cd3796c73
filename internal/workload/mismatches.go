package workload

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/sourcegraph/conc/pool"
)

// readers bounds the reads of the final check that run at once.
const readers = 16

// mismatch is everything that is wrong with one operation and its resource, or
// with one loaded document.
type mismatch struct {
	subject string
	words   []string
}

// sentences lists all that is wrong, in alphabetical order.
func sentences(ms []mismatch) []string {
	var out []string
	for _, m := range ms {
		for _, w := range m.words {
			out = append(out, m.subject+": "+w)
		}
	}
	slices.Sort(out)
	return out
}

// mismatches reads what is stored in the end, and says everything that
// disagrees with what the simulator did, or with what was loaded.
func (f *FrontEnd) mismatches(ctx context.Context) ([]mismatch, error) {
	j, err := f.admin.journal(ctx)
	if err != nil {
		return nil, err
	}
	es := f.ledger.snapshot()
	docs, err := f.readFinal(ctx, es)
	if err != nil {
		return nil, err
	}
	objects, last := j.byID(), lastOnResource(es)
	var out []mismatch
	for i, e := range es {
		if e.Terminal.IsZero() || (e.Loaded && terminal(text(e.Before, "properties", "status"))) {
			continue
		}
		fin := final{
			Operation: docs[key{e.Partition, e.DocumentID}],
			Resource:  docs[key{e.Partition, e.ResourceDocument}],
		}
		w := check(e, last[i], fin, objectOf(e, objects))
		if e.URI != "" {
			w = append(w, checkTold(e, fin.Operation, f.deps.ARM.of(e.URI))...)
		}
		if len(w) > 0 {
			out = append(out, mismatch{fmt.Sprintf("operation %s (%s of %s)", e.ID, e.Step, e.Resource), w})
		}
	}
	bills, err := f.billingMismatches(ctx, es)
	if err != nil {
		return nil, err
	}
	out = append(out, bills...)
	if l := f.loaded.Load(); l != nil {
		out = append(out, l.mismatches(es, docs)...)
	}
	return out, nil
}

// mismatches of the loaded documents that are no pending operations: those are
// checked with the front end's own.
func (l *loaded) mismatches(es []entry, docs map[key]map[string]any) []mismatch {
	operations := map[string][]ended{}
	worked := map[key]bool{}
	for _, e := range es {
		if !e.Loaded {
			continue
		}
		before := text(e.Before, "properties", "status")
		o := ended{Name: e.ID, Before: before, Delete: e.Request == Delete}
		if !e.Terminal.IsZero() {
			o.Status = text(docs[key{e.Partition, e.DocumentID}], "properties", "status")
		}
		operations[e.Partition] = append(operations[e.Partition], o)
		worked[key{e.Partition, e.DocumentID}] = !terminal(before)
	}
	var out []mismatch
	for _, k := range l.order {
		d, ok := l.documents[k]
		if !ok || worked[k] {
			continue
		}
		check := checkTouched
		if isResource(text(d.Body, "resourceType")) {
			check = func(before, after map[string]any) []string {
				return checkLoadedResource(before, after, operations[k.Partition])
			}
		}
		if w := check(d.Body, docs[k]); len(w) > 0 {
			out = append(out, mismatch{fmt.Sprintf("document %s (%s)", k.ID, d.File), w})
		}
	}
	return out
}

// lastOnResource marks the entries that no later one follows on their resource.
func lastOnResource(es []entry) map[int]bool {
	last := map[key]int{}
	for i, e := range es {
		if !e.Loaded && e.ResourceDocument != "" {
			last[key{e.Partition, e.ResourceDocument}] = i
		}
	}
	out := map[int]bool{}
	for _, i := range last {
		out[i] = true
	}
	return out
}

// readFinal reads every document of the entries and of the loaded folder.
func (f *FrontEnd) readFinal(ctx context.Context, es []entry) (map[key]map[string]any, error) {
	want := map[key]bool{}
	for _, e := range es {
		want[key{e.Partition, e.DocumentID}] = true
		if e.ResourceDocument != "" {
			want[key{e.Partition, e.ResourceDocument}] = true
		}
	}
	if l := f.loaded.Load(); l != nil {
		for k := range l.documents {
			want[k] = true
		}
	}
	type found struct {
		key key
		doc map[string]any
	}
	p := pool.NewWithResults[found]().WithMaxGoroutines(readers).WithContext(ctx).WithCancelOnError().WithFirstError()
	for k := range want {
		p.Go(func(ctx context.Context) (found, error) {
			it, _, err := f.store.read(ctx, k.Partition, k.ID)
			return found{k, it.Document}, err
		})
	}
	all, err := p.Wait()
	if err != nil {
		return nil, fmt.Errorf("check documents: %w", err)
	}
	docs := make(map[key]map[string]any, len(all))
	for _, d := range all {
		docs[d.key] = d.doc
	}
	return docs, nil
}

// decoded is a document as it comes back from the wire.
func decoded(d map[string]any) map[string]any {
	raw, err := json.Marshal(d)
	if err != nil {
		return d
	}
	var out map[string]any
	if json.Unmarshal(raw, &out) != nil {
		return d
	}
	return out
}
