// Package feed reads the change feed of a Cosmos DB container: the next page of
// one range from one position.
//
// A position is the raw ETag of a page, quotes included, as the .NET change feed
// processor keeps it in its leases. azcosmos knows only its own composite JSON
// token, silently drops a raw ETag, and re-reads from the beginning when it has
// none, so that this package builds the token itself and takes no reply without
// an ETag. It hides splits, too: then the page of one child comes back in place
// of the whole range's, which Read turns into a *SplitError.
//
// Reading does not advance anything: the position is the caller's, and a page
// may be read again.
//
// azcosmos sends no filter for a range that is only a part of a physical
// partition (as after a merge): such a range gets the changes of the whole
// partition.
package feed

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
)

// Now is the position from which only later changes are read.
const Now = "*"

// Page is one reply of the change feed.
type Page struct {
	Items         []Item // in the order of their LSNs; none when nothing changed
	Continuation  string // the next position: a raw ETag, never empty
	Session       string // x-ms-session-token: shows at least what is in this page
	RangeID       string // pk range id that was read
	LSN           int64  // of the session token: the end of the feed; 0 when unreadable
	ServerTime    time.Time
	RequestCharge float64 // request units, all requests of the read together
}

// End is the LSN of the session token: where the feed ended. It is not known when
// that token is unreadable.
func (p Page) End() (lsn int64, known bool) { return parseSession(p.Session) }

// Item is one changed document in its present version.
type Item struct {
	Document json.RawMessage // as it came; any JSON value
	ID       string          // "" unless the document is an object with a string id
	ETag     string          // _etag; "" when unreadable
	LSN      int64           // _lsn; that of the page when unreadable
	Written  time.Time       // _ts: when it was written, by the server's clock, whole seconds; zero when unreadable
}

// SplitError says that a range is not one partition any more. Nothing was
// consumed: the position that was read from is valid for every child.
type SplitError struct {
	Range    azcosmos.FeedRange
	Children []azcosmos.FeedRange // in order; together they are Range
}

func (e *SplitError) Error() string {
	return fmt.Sprintf("feed range [%s,%s) was split into %d", e.Range.MinInclusive, e.Range.MaxExclusive, len(e.Children))
}
