package operator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"opfeed/processor"
)

// Retry takes a document out of quarantine. Whoever holds its range looks at it
// again with the next list. What is not in quarantine is refused with what it waits
// for instead.
func (o *Operator) Retry(ctx context.Context, w io.Writer, subscription, id string) error {
	t, err := o.find(ctx, subscription, id)
	if err != nil {
		return err
	}
	now := time.Now()
	if len(t.records) == 0 {
		state, what := o.waitsFor(*t.operation, nil, now) // found without a record it is an operation
		text := "has ended"
		if state != stateEnded {
			text = "waits for " + what
		}
		return refuse("operation %s is not in quarantine: it %s", shown(t.ID, maxLine), text)
	}
	for _, r := range t.records {
		err := o.records.Remove(ctx, r)
		if errors.Is(err, processor.ErrRecordChanged) {
			return refuse("the quarantine of %s has changed meanwhile: look at it again", shown(t.ID, maxLine))
		}
		if err != nil {
			return err
		}
	}
	r := t.records[0]
	_, err = fmt.Fprintf(w, "out of quarantine: %s of subscription %s (was %s, since %s)\nreplicas look at it again with their next list, within a minute or so\n",
		shown(t.ID, maxLine), cell(t.Partition), shown(r.Reason, maxLine), age(now, r.At))
	if err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	return nil
}
