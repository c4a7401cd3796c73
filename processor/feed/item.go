package feed

import (
	"cmp"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"time"
)

// newItems decodes a page. No document can fail it: what is not as it should be
// stays zero, and is the business of whoever looks into the document.
func newItems(documents [][]byte, pageLSN int64) []Item {
	items := make([]Item, 0, len(documents))
	for _, d := range documents {
		items = append(items, newItem(d, pageLSN))
	}
	slices.SortStableFunc(items, func(a, b Item) int { return cmp.Compare(a.LSN, b.LSN) })
	return items
}

func newItem(document []byte, pageLSN int64) Item {
	item := Item{Document: document, LSN: pageLSN}
	// A map, because a struct would take "ID" for "id".
	var fields map[string]json.RawMessage
	if json.Unmarshal(document, &fields) != nil || fields == nil {
		return item
	}
	item.ID = text(fields["id"])
	item.ETag = text(fields["_etag"])
	if lsn, ok := whole(fields["_lsn"]); ok {
		item.LSN = lsn
	}
	if seconds, ok := whole(fields["_ts"]); ok && seconds > 0 && seconds < maxSeconds {
		item.Written = time.Unix(seconds, 0).UTC()
	}
	return item
}

// maxSeconds is the end of year 9999, after which a time does not encode.
const maxSeconds = 253402300800

func text(raw json.RawMessage) (s string) {
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// whole reads a JSON number that is a whole one, 1e3 and 1000.0 included.
func whole(raw json.RawMessage) (int64, bool) {
	if n, err := strconv.ParseInt(string(raw), 10, 64); err == nil {
		return n, n >= 0
	}
	var f float64
	if string(raw) == "null" || json.Unmarshal(raw, &f) != nil || f != math.Trunc(f) || f < 0 || f > 1<<53 {
		return 0, false
	}
	return int64(f), true
}
