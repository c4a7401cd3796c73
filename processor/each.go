package processor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"opfeed/internal/logkey"
	"opfeed/processor/dispatch"
)

// Item is one changed document in its latest version.
type Item struct {
	ID string
	// PartitionKey is the document's, as azcosmos takes it: empty where the
	// property is missing.
	PartitionKey azcosmos.PartitionKey
	// Partition is the same as a JSON array of one value for each level, such as
	// ["a"], [7], [null] or, where the property is missing, [{}].
	Partition string
	Document  json.RawMessage // it must not be changed
	ETag      azcore.ETag
	Written   time.Time // by the server's clock, whole seconds
	LSN       int64     // position in the log of its range; 0 if it was read anew
	Attempt   int       // how often in a row this version has failed in this process

	trusted func() error
}

// Trusted returns nil while this process may still work on the item, and
// otherwise why not: its lease is lost, and another process may be at the same
// item. The context of the call ends then, too, but a process that was stopped
// for a while may get to know it a moment late: ask right before a write that
// nothing else guards. An Item that is not from Each, as in a test of a function
// for it, is always trusted.
func (i Item) Trusted() error {
	if i.trusted == nil {
		return nil
	}
	return i.trusted()
}

// Each returns a handler that calls do for every changed document, of a container
// with any partition key. The container tells what its key is.
//
//   - A document counts as handled when do has returned nil for it, or for a newer
//     version. Until then no position after it is stored, so that a crash repeats
//     it. do must bear to see a version twice.
//   - After an error it is tried again, after 1 s, 2 s and so on up to
//     Config.RetryMax, or after RetryAfter() where the error has that method. What
//     comes meanwhile is delivered; a newer version takes its place at once.
//   - Calls for one document never overlap. Those for others do: Config.Looks at
//     most, and Config.LooksBeside for one partition key; 1 there makes them follow
//     each other in the order of the feed, but for those that are tried again.
//   - A version that fails for Config.GiveUpAfter while others succeed, makes do
//     panic, or for which do returns GiveUp, goes into quarantine: a record in the
//     lease container, the log, metrics and Snapshot show it, and what comes after
//     it is handled. The next version is tried as any other, and so is this one
//     when its record has ended; see Records.Remove.
//
// The context ends when the lease is lost, or on shutdown after
// Config.DrainTimeout. A call that hangs keeps its place and holds positions
// back: give requests a deadline.
func Each(do func(ctx context.Context, item Item) error) Handler {
	return Handler{each: do}
}

// GiveUp is an error that makes Each put the document into quarantine at once: no
// other try would help it. GiveUp(nil) is nil.
func GiveUp(err error) error {
	if err == nil {
		return nil
	}
	return &hopeless{err}
}

type hopeless struct{ error }

func (h *hopeless) Unwrap() error { return h.error }

// each is the work of Each on one container.
type each struct {
	do        func(context.Context, Item) error
	container *azcosmos.ContainerClient
	keys      keys
}

func (e each) handler() Handler {
	return Handler{Route: e.route, Handle: e.handle}
}

func (e each) route(document []byte) Route {
	// A map, because a struct would take "ID" for "id".
	var fields map[string]json.RawMessage
	if json.Unmarshal(document, &fields) != nil || fields == nil {
		return Route{Action: Poison, Reason: "it is no JSON object", Fault: dispatch.Undecodable}
	}
	var id string
	if json.Unmarshal(fields["id"], &id) != nil || id == "" {
		return Route{Action: Poison, Reason: "it has no id", Fault: dispatch.Unaddressable}
	}
	partition, err := e.keys.of(fields)
	if err != nil {
		return Route{Action: Poison, Reason: err.Error(), Fault: dispatch.Unaddressable, Key: dispatch.Key{ID: id}}
	}
	return Route{Action: Take, Key: dispatch.Key{Partition: partition, ID: id}}
}

func (e each) handle(ctx context.Context, c dispatch.Change) (dispatch.Apply, error) {
	read := c.Document == nil
	if read {
		var err error
		if c, err = e.read(ctx, c); err != nil || c.Document == nil {
			return nil, err // a document that is not there any more has no change
		}
	}
	err := e.do(ctx, Item{
		ID:           c.ID,
		PartitionKey: e.keys.sdkKey(c.Partition),
		Partition:    c.Partition,
		Document:     c.Document,
		ETag:         azcore.ETag(c.ETag),
		Written:      c.Written,
		LSN:          c.LSN,
		Attempt:      c.Attempt,
		trusted:      c.Trusted,
	})
	var out dispatch.Outcome
	if h, ok := errors.AsType[*hopeless](err); ok {
		out.Verdict, out.Fault = dispatch.Quarantine, dispatch.GivenUp
		out.Reason, err = "handler gave up: "+logkey.Words(h.error), nil
	}
	if err != nil {
		return nil, err
	}
	if read {
		out.ETag = c.ETag // the feed may be about to bring it
	}
	return func(context.Context) (dispatch.Outcome, error) { return out, nil }, nil
}

// read reads the newest version of a document whose version is not at hand; it has
// no document if there is none any more.
func (e each) read(ctx context.Context, c dispatch.Change) (dispatch.Change, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	options := &azcosmos.ItemOptions{}
	if c.Session != "" {
		options.SessionToken = &c.Session
	}
	// The SDK cannot say every key, and spells some as no JSON: ours replaces it.
	header := map[string][]string{"X-Ms-Documentdb-Partitionkey": {c.Partition}}
	reply, err := e.container.ReadItem(policy.WithHTTPHeader(ctx, header), azcosmos.NewPartitionKeyString(""), c.ID, options)
	if refused, ok := errors.AsType[*azcore.ResponseError](err); ok && absent(refused) {
		return c, nil
	}
	var fields struct {
		ETag string  `json:"_etag"`
		TS   float64 `json:"_ts"`
	}
	if err == nil {
		err = json.Unmarshal(reply.Value, &fields)
	}
	if err == nil && (fields.ETag == "" || reply.RequestCharge <= 0) {
		err = errNotTheAccount
	}
	if err != nil {
		return c, fmt.Errorf("read document: %w", err)
	}
	if c.ETag != fields.ETag {
		c.LSN = 0
	}
	c.Document, c.ETag, c.Written = reply.Value, fields.ETag, time.Unix(int64(fields.TS), 0).UTC()
	return c, nil
}

// readTimeout is the deadline of one read of a document.
const readTimeout = 10 * time.Second
