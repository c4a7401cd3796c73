package feed

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
)

// ErrNoPosition says that there is no lag, because there is no position to count
// from. It is neither 0 nor the whole history.
var ErrNoPosition = errors.New("no position is stored")

// Lag is how far a position is behind the end of its feed, as .NET's estimator
// counts it: in transactions (LSNs), not in documents. What was written together
// counts once; a version that a newer one has replaced, and a deletion, count too
// if they lie behind the oldest change that is still to come.
type Lag struct {
	Transactions int64 // 0: nothing is to come
	// AtMost: transactions of others are among them, or some were counted twice.
	// A range that is only a part of a partition has its own changes but not its
	// own LSNs, and the parts of a range that was split share their history.
	AtMost bool
	// Parts is how many partitions were asked: several when the range was split
	// since the position was stored. Transactions is then the sum, which is what
	// the leases of the parts will show.
	Parts         int
	RequestCharge float64
}

// Lag estimates how far a position is behind, with one request of one item for
// each partition that the range lies in. Without a position it sends none and
// fails with ErrNoPosition. An answer that cannot be read is an error, never 0.
func (r *Reader) Lag(ctx context.Context, rng azcosmos.FeedRange, continuation string) (Lag, error) {
	if continuation == "" || continuation == Now {
		return Lag{}, describe(rng, ErrNoPosition)
	}
	if err := checkPosition(continuation); err != nil {
		return Lag{}, describe(rng, err)
	}
	ctx, cancel := r.deadline(ctx)
	defer cancel()
	lag, err := r.lag(ctx, rng, continuation)
	if err != nil {
		return Lag{}, describe(rng, err)
	}
	return lag, nil
}

func (r *Reader) lag(ctx context.Context, rng azcosmos.FeedRange, continuation string) (Lag, error) {
	const tries = 3 // a split or merge that nobody here knew of shows in the first
	for try := 1; ; try++ {
		parts, err := r.parts(ctx, rng)
		if err != nil {
			return Lag{}, err
		}
		lag, err := r.lagOfParts(ctx, parts, continuation)
		if err != nil && !moved(err) {
			return Lag{}, err
		}
		// azcosmos hides a merge: what was asked for as a whole partition may have
		// been answered with the changes of a wider one.
		now, errParts := r.parts(ctx, rng)
		if err == nil && errParts == nil && slices.Equal(parts, now) {
			return lag, nil
		}
		if try == tries {
			return Lag{}, cmp.Or(err, errParts, errors.New("its partitions keep changing"))
		}
	}
}

func (r *Reader) lagOfParts(ctx context.Context, parts []part, continuation string) (Lag, error) {
	sum := Lag{Parts: len(parts)}
	for _, p := range parts {
		page, err := r.first(ctx, p, continuation)
		if err != nil {
			return Lag{}, err
		}
		n, err := estimate(page.Session, page.Items)
		if err != nil {
			return Lag{}, err
		}
		sum.Transactions += n
		sum.AtMost = sum.AtMost || n > 0 && (p.narrow || len(parts) > 1)
		sum.RequestCharge += page.RequestCharge
	}
	return sum, nil
}

// first reads the oldest change of a part after a position.
func (r *Reader) first(ctx context.Context, p part, continuation string) (Page, error) {
	one := *r
	one.pageSize = 1
	if p.narrow {
		// azcosmos names the partition alone, whose oldest change may be another's.
		header := http.Header{}
		header.Set("x-ms-start-epk", p.rng.MinInclusive)
		header.Set("x-ms-end-epk", cmp.Or(p.rng.MaxExclusive, "FF"))
		header.Set("x-ms-read-key-type", "EffectivePartitionKeyRange")
		ctx = policy.WithHTTPHeader(ctx, header)
	}
	return one.read(ctx, p.rng, continuation)
}

// estimate computes the lag from an answer to a request of one item after a
// position: the session token says where the feed ends, the item where it goes
// on. Where there is an item, there is a lag, even if the token comes from a
// replica that has not seen it.
func estimate(session string, items []Item) (int64, error) {
	end, ok := parseSession(session)
	if !ok {
		return 0, fmt.Errorf("session token %.40q holds no LSN", session)
	}
	if len(items) == 0 {
		return 0, nil
	}
	first, ok := lsnOf(items[0].Document)
	if !ok {
		return 0, errors.New("the oldest change to come has no LSN")
	}
	return Distance(end, first), nil
}

// Distance is the lag of a reader whose oldest change to come is first, while the
// feed ends at end.
func Distance(end, first int64) int64 { return max(1, end-max(first, 1)+1) }

// lsnOf reads _lsn, which .NET takes in any casing.
func lsnOf(document json.RawMessage) (int64, bool) {
	var fields map[string]json.RawMessage
	if json.Unmarshal(document, &fields) != nil {
		return 0, false
	}
	if lsn, ok := whole(fields["_lsn"]); ok {
		return lsn, true
	}
	for name, value := range fields {
		if strings.EqualFold(name, "_lsn") {
			if lsn, ok := whole(value); ok {
				return lsn, true
			}
		}
	}
	return 0, false
}

// part is what of a range lies in one partition.
type part struct {
	rng    azcosmos.FeedRange
	narrow bool // the partition is wider
}

// parts cuts a range along the partitions as azcosmos has them cached.
func (r *Reader) parts(ctx context.Context, rng azcosmos.FeedRange) ([]part, error) {
	if !isKey(rng.MinInclusive) || !isKey(rng.MaxExclusive) {
		return nil, errors.New("it is no range of effective partition keys")
	}
	partitions, err := r.container.ReadFeedRanges(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("read feed ranges: %w", err)
	}
	slices.SortFunc(partitions, func(a, b azcosmos.FeedRange) int { return compareKeys(a.MinInclusive, b.MinInclusive) })
	var parts []part
	at, end := rng.MinInclusive, cmp.Or(rng.MaxExclusive, "FF")
	for _, p := range partitions {
		pEnd := cmp.Or(p.MaxExclusive, "FF")
		if compareKeys(at, p.MinInclusive) < 0 || compareKeys(at, pEnd) >= 0 || compareKeys(at, end) >= 0 {
			continue
		}
		own := p // in the partition's own spelling
		if compareKeys(p.MinInclusive, at) < 0 {
			own.MinInclusive = at
		}
		if compareKeys(end, pEnd) < 0 {
			own.MaxExclusive = end
		}
		parts = append(parts, part{own, own != p})
		at = pEnd
	}
	if len(parts) == 0 || compareKeys(at, end) < 0 {
		return nil, errors.New("it is no range of this container")
	}
	return parts, nil
}

// moved tells whether a read failed because the partitions are not those that
// were asked for. azcosmos knows the new ones then.
func moved(err error) bool {
	if _, split := errors.AsType[*SplitError](err); split {
		return true
	}
	reply, ok := errors.AsType[*azcore.ResponseError](err)
	return ok && reply.StatusCode == http.StatusGone
}

// isKey tells whether a stored bound may go into a header.
func isKey(key string) bool { return strings.Trim(key, "0123456789ABCDEF") == "" }

// compareKeys compares effective partition keys, of which a missing tail counts
// as zeros.
func compareKeys(a, b string) int {
	return strings.Compare(strings.TrimRight(a, "0"), strings.TrimRight(b, "0"))
}
