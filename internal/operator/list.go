package operator

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"opfeed/processor"
	"opfeed/processor/dispatch"
	"opfeed/processor/notification"
	"opfeed/processor/operations"
)

// ListOptions say what List shows.
type ListOptions struct {
	Subscription string // "" = all
	All          bool   // those that have ended, too
	JSON         bool   // one array, for programs
}

// maxRows bounds what a list holds in memory. What is beyond is an error, not an
// answer that looks whole.
const maxRows = 200_000

// States of a row.
const (
	stateActive      = "active"
	stateOwed        = "owed"
	stateQuarantined = "quarantined"
	stateEnded       = "ended"
)

// row is one line of a list.
type row struct {
	Subscription string           `json:"subscription"`
	ID           string           `json:"id"` // of the document
	Name         string           `json:"name"`
	Kind         string           `json:"kind"`
	Request      string           `json:"request"`
	Status       string           `json:"status"`
	Start        time.Time        `json:"startTime,omitzero"`
	InternalID   string           `json:"internalId"`
	ExternalID   string           `json:"externalId"`
	State        string           `json:"state"`
	WaitsFor     string           `json:"waitsFor"`
	Quarantine   *quarantineShown `json:"quarantine,omitempty"`

	since time.Time // what it is sorted by
}

// quarantineShown is a quarantine record as it is shown.
type quarantineShown struct {
	Reason   string    `json:"reason"`
	At       time.Time `json:"at"`
	Instance string    `json:"instance"`
	ETag     string    `json:"etag"`
	Ends     time.Time `json:"ends"`
	// Holds is false for the record of another version than the stored one: the
	// document was changed since, and is not held back by it.
	Holds bool `json:"holds"`
}

// List shows what is active, owed to ARM or quarantined, oldest first.
func (o *Operator) List(ctx context.Context, w io.Writer, opts ListOptions) error {
	now := time.Now()
	var rows []row
	for _, partition := range partitions(opts.Subscription) {
		var err error
		if rows, err = o.rows(ctx, partition, opts.All, now); err != nil {
			return err
		}
		if len(rows) > 0 {
			break
		}
	}
	slices.SortFunc(rows, func(a, b row) int {
		return cmp.Or(a.since.Compare(b.since), cmp.Compare(a.Subscription, b.Subscription), cmp.Compare(a.ID, b.ID))
	})
	out := bufio.NewWriter(w)
	write := writeRows
	if opts.JSON {
		write = writeJSONRows
	}
	if err := write(out, rows, now); err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write list: %w", err)
	}
	return nil
}

// rows reads page by page and keeps of each operation one row of bounded texts.
func (o *Operator) rows(ctx context.Context, partition string, all bool, now time.Time) ([]row, error) {
	records := map[dispatch.Key]processor.Record{}
	var unnamed []processor.Record // of documents without a partition, whose keys mean something in their range alone
	err := o.records.Each(ctx, func(r processor.Record) {
		switch {
		case partition != "" && r.Partition != partition:
		case r.Partition == "":
			unnamed = append(unnamed, r)
		default:
			records[r.Key()] = r
		}
	})
	if err != nil {
		return nil, err
	}
	var rows []row
	beyond := 0
	err = o.viewer.List(ctx, partition, all, func(op operations.Operation) {
		if len(rows) == maxRows {
			beyond++
			return
		}
		var record *processor.Record
		if r, ok := records[op.Key]; ok {
			delete(records, op.Key)
			record = &r
		}
		rows = append(rows, o.rowOf(op, record, now))
	})
	if err != nil {
		return nil, err
	}
	if beyond > 0 {
		return nil, refuse("%d operations are more than one list takes: name a subscription", len(rows)+beyond)
	}
	for _, r := range records {
		unnamed = append(unnamed, r)
	}
	for _, r := range unnamed {
		rows = append(rows, o.rowOfRecord(r, now))
	}
	return rows, nil
}

func (o *Operator) rowOf(op operations.Operation, record *processor.Record, now time.Time) row {
	r := row{
		Subscription: shown(op.Partition, maxLine), ID: shown(op.ID, maxLine), Name: shown(op.Name, maxLine), Kind: op.Kind,
		Request: shown(op.Request, maxLine), Status: shown(op.Status, maxLine), Start: writable(op.Start),
		InternalID: shown(op.InternalID, maxLine), ExternalID: shown(op.ExternalID, maxLine),
		since: writable(op.Start),
	}
	if r.since.IsZero() {
		r.since = op.Written
	}
	if record != nil {
		q := quarantineOf(*record, op.ETag)
		r.Quarantine = &q
	}
	r.State, r.WaitsFor = o.waitsFor(op, r.Quarantine, now)
	return r
}

func (o *Operator) rowOfRecord(record processor.Record, now time.Time) row {
	q := quarantineOf(record, "")
	r := row{Subscription: shown(record.Partition, maxLine), ID: shown(record.DocumentID, maxLine), Quarantine: &q, since: record.At}
	r.State, r.WaitsFor = o.waitsFor(operations.Operation{}, &q, now)
	return r
}

// quarantineOf is a record as it stands to the stored version; "" is not known.
func quarantineOf(r processor.Record, stored string) quarantineShown {
	return quarantineShown{
		Reason: shown(r.Reason, maxLine), At: r.At, Instance: shown(r.Instance, maxLine), ETag: shown(r.ETag, maxLine),
		Ends:  r.At.Add(time.Duration(r.TTL) * time.Second),
		Holds: stored == "" || r.ETag == "" || r.ETag == stored,
	}
}

// waitsFor is the state of an operation, and what it waits for.
func (o *Operator) waitsFor(op operations.Operation, q *quarantineShown, now time.Time) (state, what string) {
	switch {
	case q != nil && q.Holds:
		return stateQuarantined, "a change or a retry, quarantined " + age(now, q.At) + " ago: " + q.Reason
	case op.Owed() && !o.tells:
		return stateOwed, "nobody, notifications are off"
	case op.Owed():
		return stateOwed, "ARM to be told, at " + notification.Loggable(op.NotifyURI)
	case op.Ended:
		return stateEnded, ""
	case op.Fault != "":
		return stateActive, "a look at it: " + op.Fault
	case op.LeftAlone != "":
		return stateActive, "nobody here, left alone: " + op.LeftAlone
	case op.InternalID == "":
		return stateActive, "an internalId"
	default:
		return stateActive, "cluster service"
	}
}

func writeRows(w *bufio.Writer, rows []row, now time.Time) error {
	if len(rows) == 0 {
		_, err := w.WriteString("no operation is active, owed or quarantined\n")
		return err
	}
	cells := [][]string{{"SUBSCRIPTION", "ID", "KIND", "REQUEST", "STATUS", "AGE", "INTERNAL ID", "WAITS FOR"}}
	for _, r := range rows {
		waits := none
		if r.WaitsFor != "" {
			waits = shown(r.WaitsFor, 2*maxCell)
		}
		cells = append(cells, []string{cell(r.Subscription), cell(short(r.ID)), cell(r.Kind), cell(r.Request), cell(r.Status),
			age(now, r.Start), cell(r.InternalID), waits})
	}
	return table(w, cells)
}

func writeJSONRows(w *bufio.Writer, rows []row, _ time.Time) error {
	separator := "[\n"
	for _, r := range rows {
		body, err := encode(r, "")
		if err != nil {
			return err
		}
		_, _ = w.WriteString(separator) // the writer keeps its error
		_, _ = w.Write(body)
		separator = ",\n"
	}
	if len(rows) == 0 {
		_, _ = w.WriteString("[")
	}
	_, err := w.WriteString("\n]\n")
	return err
}

// short is the last part of an id that is an ARM id with another separator.
func short(id string) string {
	return id[strings.LastIndexByte(id, '|')+1:]
}
