package workload

import (
	"context"
	"encoding/json"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
)

// follow tells the ledger every status that the change feed shows, read every so
// often, until ctx ends. Trouble is told once per change of state: the feed is the front end's
// only eye, but it can wait.
func (s *store) follow(ctx context.Context, every time.Duration, l *ledger, say func(string, ...any)) {
	whole := azcosmos.FeedRange{MinInclusive: "", MaxExclusive: "FF"}
	var continuation *string
	failing := false
	for ctx.Err() == nil {
		more, next, err := s.page(ctx, l, whole, continuation)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !failing:
			failing = true
			say("front end: the change feed cannot be read: %v", err)
		case err == nil && failing:
			failing = false
			say("front end: the change feed can be read again")
		}
		continuation = next
		if !more && sleep(ctx, every) != nil {
			return
		}
	}
}

func (s *store) page(ctx context.Context, l *ledger, rng azcosmos.FeedRange, from *string) (more bool, next *string, err error) {
	r, err := s.resources.ReadChangeFeed(ctx, &azcosmos.ChangeFeedOptions{
		MaxItemCount: 500, FeedRange: &rng, Continuation: from,
	})
	if err != nil {
		return false, from, err
	}
	now := time.Now()
	for _, d := range r.Items {
		var o struct {
			ID           string `json:"id"`
			Partition    string `json:"partitionKey"`
			ResourceType string `json:"resourceType"`
			Properties   struct {
				Status string `json:"status"`
			} `json:"properties"`
		}
		// What does not decode is none of the front end's operations.
		if json.Unmarshal(d, &o) == nil && isOperation(o.ResourceType) {
			l.seen(o.Partition, o.ID, o.Properties.Status, now)
		}
	}
	// Not GetCompositeContinuationToken: that one names only the range just
	// read, and forgets its siblings after a split.
	if r.ContinuationToken != "" {
		from = &r.ContinuationToken
	}
	return len(r.Items) > 0, from, nil
}
