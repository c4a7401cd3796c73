package operator

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"opfeed/processor"
	"opfeed/processor/dispatch"
	"opfeed/processor/operations"
)

// target is the one document that an id means.
type target struct {
	dispatch.Key

	operation *operations.Operation // nil: it is no operation that can be found
	records   []processor.Record    // mostly none or one; of a key without a partition there may be one for each range
}

// maxCandidates bounds how many are listed of those that an id may mean.
const maxCandidates = 20

// find finds the document that an id means: an operation, or whatever is in
// quarantine. Where it may mean several, it is refused with their list; but within
// one subscription a document's exact id means that document.
func (o *Operator) find(ctx context.Context, subscription, id string) (target, error) {
	var found map[dispatch.Key]*target
	for _, partition := range searched(subscription, id) {
		var err error
		if found, err = o.candidates(ctx, partition, id); err != nil {
			return target{}, err
		}
		if len(found) > 0 {
			break
		}
	}
	var list []*target
	for _, t := range found {
		if subscription != "" && t.ID == id {
			return *t, nil
		}
		list = append(list, t)
	}
	switch len(list) {
	case 0:
		if t, err := o.ofResource(ctx, subscription, id); t.operation != nil || err != nil {
			return t, err
		}
		where := ""
		if subscription != "" {
			where = " in subscription " + shown(subscription, maxCell)
		}
		return target{}, refuse("no operation, and nothing in quarantine, is called %s%s", shown(id, maxLine), where)
	case 1:
		return *list[0], nil
	default:
		return target{}, ambiguous(id, list)
	}
}

// ofResource finds the operation of a resource whose whole ARM id is given: the one
// that has not ended, else the last.
func (o *Operator) ofResource(ctx context.Context, subscription, id string) (target, error) {
	if !strings.Contains(id, "/") {
		return target{}, nil
	}
	for _, partition := range searched(subscription, id) {
		ops, err := o.viewer.FindOfResource(ctx, partition, id)
		if err != nil {
			return target{}, err
		}
		if len(ops) == 0 {
			continue
		}
		op := slices.MaxFunc(ops, func(a, b operations.Operation) int {
			if a.Ended != b.Ended {
				if a.Ended {
					return -1
				}
				return 1
			}
			return cmp.Or(a.Start.Compare(b.Start), a.Written.Compare(b.Written), cmp.Compare(a.ID, b.ID))
		})
		t := target{Key: op.Key, operation: &op}
		err = o.records.Each(ctx, func(r processor.Record) {
			if r.Key() == t.Key {
				t.records = append(t.records, r)
			}
		})
		return t, err
	}
	return target{}, nil
}

// searched are the partitions to be searched, one after the other. A whole ARM id
// names its own; but the document may be elsewhere.
func searched(subscription, id string) []string {
	if subscription != "" {
		return partitions(subscription)
	}
	if segments := strings.Split(strings.Trim(id, "/"), "/"); len(segments) > 2 && strings.EqualFold(segments[0], "subscriptions") {
		return append(partitions(segments[1]), "")
	}
	return []string{""}
}

func (o *Operator) candidates(ctx context.Context, partition, id string) (map[dispatch.Key]*target, error) {
	found := map[dispatch.Key]*target{}
	ops, err := o.viewer.Find(ctx, partition, id)
	if err != nil {
		return nil, err
	}
	for _, op := range ops {
		found[op.Key] = &target{Key: op.Key, operation: &op}
	}
	err = o.records.Each(ctx, func(r processor.Record) {
		t := found[r.Key()]
		if t == nil && (partition == "" || r.Partition == partition) && meant(r.DocumentID, id) {
			t = &target{Key: r.Key()}
			found[r.Key()] = t
		}
		if t != nil {
			t.records = append(t.records, r)
		}
	})
	return found, err
}

// meant tells whether an id that a person gives is that of a quarantined document.
// A hostile one is given as it is shown.
func meant(documentID, id string) bool {
	names := []string{documentID, short(documentID), shown(documentID, maxLine), cell(short(documentID))}
	if strings.Contains(id, "/") {
		names = append(names, strings.ReplaceAll(documentID, "|", "/"))
	}
	return slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, strings.TrimRight(id, "/")) })
}

func ambiguous(id string, list []*target) error {
	slices.SortFunc(list, func(a, b *target) int {
		return cmp.Or(cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.ID, b.ID))
	})
	var b strings.Builder
	b.WriteString(shown(id, maxLine) + " may mean any of these; name the subscription, the whole document id, or the whole ARM id:\n")
	cells := [][]string{{"  SUBSCRIPTION", "DOCUMENT ID", "NAME"}}
	for _, t := range list[:min(len(list), maxCandidates)] {
		name := ""
		if t.operation != nil {
			name = t.operation.Name
		}
		cells = append(cells, []string{"  " + cell(t.Partition), cmp.Or(shown(t.ID, maxLine), none), cell(name)})
	}
	_ = table(&b, cells) // a builder does not fail
	if n := len(list) - maxCandidates; n > 0 {
		b.WriteString("  and others\n")
	}
	return refuse("%s", strings.TrimSuffix(b.String(), "\n"))
}
