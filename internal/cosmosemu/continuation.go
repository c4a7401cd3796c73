package cosmosemu

import (
	"encoding/base64"
	"encoding/json"
	"hash/fnv"
	"net/http"

	"opfeed/internal/cosmosemu/sql"
)

// maxToken is the size that the service keeps continuation tokens under.
const maxToken = 1000

// continuation is where a query or a list goes on. Clients see it as opaque.
//
// What spans several ranges is read one segment of the key space after the
// other, each in the order of creation. A segment is a range as it was when its
// first page was read. Its later pages come from whichever ranges hold it then,
// so that no split or merge in between loses a row or shows it twice.
type continuation struct {
	// Query is a hash of what was asked: a token fits only the same question.
	Query uint64 `json:"q"`
	// Min and Max bound the segment. Without Max it ends with the range that has
	// Min when it is read.
	Min string `json:"m,omitempty"`
	Max string `json:"x,omitempty"`
	// Serial is the last item that was looked at.
	Serial uint64 `json:"s,omitempty"`
	// Rows is how many rows were returned, Skipped how many OFFSET left out.
	Rows    int `json:"r,omitempty"`
	Skipped int `json:"o,omitempty"`
	// Key is the last row's key of ORDER BY. Without it, when it would be too
	// long, Rows is all there is.
	Key sql.Key `json:"k"`
}

func (c *continuation) String() string {
	return base64.RawURLEncoding.EncodeToString(encode(c))
}

// continued reads the request's token; the zero value means from the start.
func (x *exchange) continued(c *container) (*continuation, error) {
	h := fnv.New64a()
	for _, part := range []string{
		c.rid, x.header(headerPartitionKey), // by name it might be another container
		x.header("x-ms-documentdb-partitionkeyrangeid"), x.header("x-ms-start-epk"), x.header("x-ms-end-epk"), string(x.body),
	} {
		h.Write([]byte(part))
		h.Write([]byte{0xff})
	}
	question := h.Sum64()
	token := x.header("x-ms-continuation")
	if token == "" {
		return &continuation{Query: question}, nil
	}
	from, ok := parseContinuation(token)
	if !ok {
		return nil, refuse(http.StatusBadRequest, "the continuation token is malformed")
	}
	if from.Query != question {
		return nil, refuse(http.StatusBadRequest, "the continuation token belongs to another query")
	}
	return from, nil
}

func parseContinuation(token string) (*continuation, bool) {
	const most = 1 << 31 // rows: safe to add
	text, err := base64.RawURLEncoding.DecodeString(token)
	c := &continuation{}
	if err != nil || json.Unmarshal(text, c) != nil {
		return nil, false
	}
	return c, c.Rows >= 0 && c.Rows < most && c.Skipped >= 0 && c.Skipped < most
}
