package feed

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
)

// compositeToken is azcosmos' continuation token. An empty resourceId is filled
// in by it.
type compositeToken struct {
	Version      int         `json:"version"`
	ResourceID   string      `json:"resourceId"`
	Continuation []tokenPart `json:"continuation"`
}

type tokenPart struct {
	MinInclusive      string `json:"minInclusive"`
	MaxExclusive      string `json:"maxExclusive"`
	ContinuationToken string `json:"continuationToken,omitempty"` // none: from the beginning
}

func encodeToken(rng azcosmos.FeedRange, continuation string) (string, error) {
	token, err := json.Marshal(compositeToken{Version: 1, Continuation: []tokenPart{{
		MinInclusive: rng.MinInclusive, MaxExclusive: rng.MaxExclusive, ContinuationToken: continuation,
	}}})
	if err != nil {
		return "", fmt.Errorf("encode continuation: %w", err)
	}
	return string(token), nil
}

// checkPosition refuses what is no ETag: it would go into a header as it is, and
// the service would read from somewhere else than was meant.
func checkPosition(continuation string) error {
	if strings.HasPrefix(continuation, "{") {
		return fmt.Errorf("position %.40q is a composite token, not an ETag", continuation)
	}
	for _, c := range []byte(continuation) {
		if c < ' ' || c >= 0x7f {
			return fmt.Errorf("position %.40q is no ETag", continuation)
		}
	}
	return nil
}

// decodeChildren reads the ranges of the token that azcosmos gives back after a
// hidden split, and checks that they are parent without gap or overlap.
func decodeChildren(parent azcosmos.FeedRange, token string) ([]azcosmos.FeedRange, error) {
	var t compositeToken
	if err := json.Unmarshal([]byte(token), &t); err != nil {
		return nil, fmt.Errorf("decode continuation after a split: %w", err)
	}
	children := make([]azcosmos.FeedRange, 0, len(t.Continuation))
	for _, part := range t.Continuation {
		children = append(children, azcosmos.FeedRange{MinInclusive: part.MinInclusive, MaxExclusive: part.MaxExclusive})
	}
	// The token is a queue: what was read has gone to its end.
	slices.SortFunc(children, func(a, b azcosmos.FeedRange) int {
		return strings.Compare(a.MinInclusive, b.MinInclusive)
	})
	if len(children) < 2 {
		return nil, fmt.Errorf("decode continuation after a split: %d ranges", len(children))
	}
	at := parent.MinInclusive
	for _, c := range children {
		if c.MinInclusive != at || sameEnd(c.MaxExclusive, at) {
			return nil, fmt.Errorf("decode continuation after a split: the ranges are not contiguous at %q", at)
		}
		at = c.MaxExclusive
	}
	if !sameEnd(at, parent.MaxExclusive) {
		return nil, fmt.Errorf("decode continuation after a split: the ranges end at %q", at)
	}
	return children, nil
}

func sameRange(a, b azcosmos.FeedRange) bool {
	return a.MinInclusive == b.MinInclusive && sameEnd(a.MaxExclusive, b.MaxExclusive)
}

// sameEnd: the end of the key space is "FF", or left open.
func sameEnd(a, b string) bool { return cmp.Or(a, "FF") == cmp.Or(b, "FF") }

// sessionLSN is parseSession, and 0 when there is no LSN.
func sessionLSN(token string) int64 {
	n, _ := parseSession(token)
	return n
}

// parseSession reads the LSN from a session token as .NET's estimator does:
// "0:12345" and "0:-1#12345#1=1" are both 12345.
func parseSession(token string) (lsn int64, ok bool) {
	if _, rest, ok := strings.Cut(token, ":"); ok {
		token = rest
	}
	parts := strings.Split(token, "#")
	part := parts[0]
	if len(parts) > 1 {
		part = parts[1]
	}
	n, err := strconv.ParseInt(part, 10, 64)
	if err != nil || n < 0 {
		return 0, false
	}
	return n, true
}
