package feed

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
)

// Headers that azcosmos does not show.
const (
	headerRangeID = "x-ms-documentdb-partitionkeyrangeid" // of the request
	headerSession = "x-ms-session-token"
)

// Reader reads pages of one container. It keeps no position. Safe for
// concurrent use.
type Reader struct {
	container *azcosmos.ContainerClient
	pageSize  int32
	timeout   time.Duration
}

// NewReader returns a reader of pages of about pageSize items (0: as the service
// likes; a page never cuts a transaction, so that it may hold more). Each call
// of a method gets timeout, retries included; 0 leaves it to the context.
func NewReader(c *azcosmos.ContainerClient, pageSize int32, timeout time.Duration) *Reader {
	return &Reader{container: c, pageSize: pageSize, timeout: timeout}
}

// Ranges gives the physical ranges of the container as azcosmos has them cached
// for this process: it notices a split only after a read ran into it.
func (r *Reader) Ranges(ctx context.Context) ([]azcosmos.FeedRange, error) {
	ctx, cancel := r.deadline(ctx)
	defer cancel()
	ranges, err := r.container.ReadFeedRanges(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("read feed ranges: %w", err)
	}
	return ranges, nil
}

// Read gives the next page of rng after a position: the Continuation of an
// earlier page, Now, or "" for the beginning. Without changes the page is empty
// and has a position all the same. A *SplitError means that rng has to be read
// as its children from now on.
func (r *Reader) Read(ctx context.Context, rng azcosmos.FeedRange, continuation string) (Page, error) {
	if err := checkPosition(continuation); err != nil {
		return Page{}, describe(rng, err)
	}
	ctx, cancel := r.deadline(ctx)
	defer cancel()
	page, err := r.read(ctx, rng, continuation)
	if err != nil {
		return Page{}, describe(rng, err)
	}
	return page, nil
}

// ReadPart is Read for a range that may be a part of a physical partition. It
// asks the service for that part alone, by headers that azcosmos does not send;
// a service that overlooks them gives the changes of the whole partition.
func (r *Reader) ReadPart(ctx context.Context, rng azcosmos.FeedRange, continuation string) (Page, error) {
	if err := checkPosition(continuation); err != nil {
		return Page{}, describe(rng, err)
	}
	limited, cancel := r.deadline(ctx)
	defer cancel()
	filtered, err := r.withHeaders(limited, map[string]string{
		"x-ms-start-epk": rng.MinInclusive, "x-ms-end-epk": rng.MaxExclusive,
		"x-ms-read-key-type": "EffectivePartitionKeyRange",
	})
	if err != nil {
		return Page{}, describe(rng, err)
	}
	page, err := r.read(filtered, rng, continuation)
	if reply := (*azcore.ResponseError)(nil); errors.As(err, &reply) && reply.StatusCode == http.StatusGone {
		// The headers name more than the partition has, once it was split. Without
		// them azcosmos finds the children.
		return r.Read(ctx, rng, continuation)
	}
	if err != nil {
		return Page{}, describe(rng, err)
	}
	return page, nil
}

// ReadFrom gives the first page of changes written after t. The service counts
// whole seconds of its own clock, and t's second itself is left out: name an
// earlier one where nothing may be missed. Accounts that are written in several
// regions do not support it.
func (r *Reader) ReadFrom(ctx context.Context, rng azcosmos.FeedRange, t time.Time) (Page, error) {
	ctx, cancel := r.deadline(ctx)
	defer cancel()
	// azcosmos' StartFrom ends in "UTC"; HTTP and the service want "GMT".
	ctx, err := r.withHeaders(ctx, map[string]string{"If-Modified-Since": t.UTC().Format(http.TimeFormat)})
	if err != nil {
		return Page{}, describe(rng, err)
	}
	page, err := r.read(ctx, rng, "")
	if err != nil {
		return Page{}, describe(rng, err)
	}
	return page, nil
}

// withHeaders adds headers to every request of a call. The first call reads the
// account, the container and its ranges, too, which must not be filtered: they
// are cached before.
func (r *Reader) withHeaders(ctx context.Context, fields map[string]string) (context.Context, error) {
	if _, err := r.container.ReadFeedRanges(ctx, nil); err != nil {
		return nil, err
	}
	header := http.Header{}
	for name, value := range fields {
		header.Set(name, value)
	}
	return policy.WithHTTPHeader(ctx, header), nil
}

func (r *Reader) read(ctx context.Context, rng azcosmos.FeedRange, continuation string) (Page, error) {
	// Always the token, never the FeedRange option: that one is widened to the
	// whole physical partition.
	token, err := encodeToken(rng, continuation)
	if err != nil {
		return Page{}, err
	}
	reply, err := r.container.ReadChangeFeed(ctx, &azcosmos.ChangeFeedOptions{
		MaxItemCount: r.pageSize,
		Continuation: &token,
	})
	if err != nil {
		return Page{}, err
	}
	if reply.FeedRange == nil || reply.RawResponse == nil {
		return Page{}, errors.New("the reply does not say which range it is of")
	}
	if !sameRange(*reply.FeedRange, rng) {
		children, err := decodeChildren(rng, reply.ContinuationToken)
		if err != nil {
			return Page{}, err
		}
		return Page{}, &SplitError{Range: rng, Children: children}
	}
	if reply.ETag == "" {
		// Going on without one would start again at the beginning.
		return Page{}, errors.New("the reply has no ETag")
	}
	return newPage(reply), nil
}

func newPage(reply azcosmos.ChangeFeedResponse) Page {
	header := reply.RawResponse.Header
	page := Page{
		Continuation:  string(reply.ETag),
		Session:       header.Get(headerSession),
		RequestCharge: float64(reply.RequestCharge),
	}
	if reply.RawResponse.Request != nil {
		page.RangeID = reply.RawResponse.Request.Header.Get(headerRangeID)
	}
	page.LSN = sessionLSN(page.Session)
	if t, err := http.ParseTime(header.Get("Date")); err == nil {
		page.ServerTime = t
	}
	page.Items = newItems(reply.Items, page.LSN)
	return page
}

func (r *Reader) deadline(ctx context.Context) (context.Context, context.CancelFunc) {
	if r.timeout <= 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, r.timeout)
}

func describe(rng azcosmos.FeedRange, err error) error {
	return fmt.Errorf("read change feed of [%s,%s): %w", rng.MinInclusive, rng.MaxExclusive, err)
}
