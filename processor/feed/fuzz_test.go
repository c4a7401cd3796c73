package feed

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
)

// azcosmosToken is what azcosmos reads from the token that we build.
type azcosmosToken struct {
	Version      int     `json:"version,omitempty"`
	ResourceID   *string `json:"resourceId"`
	Continuation []struct {
		MinInclusive      string  `json:"minInclusive"`
		MaxExclusive      string  `json:"maxExclusive"`
		ContinuationToken *string `json:"continuationToken,omitempty"`
	} `json:"continuation"`
}

func FuzzEncodeToken(f *testing.F) {
	f.Add("", "FF", `"7052"`)
	f.Add("10", "20", "")
	f.Add("10", "20", Now)
	f.Add("", "", `"<&> \ "`)
	f.Fuzz(func(t *testing.T, minimum, maximum, position string) {
		if checkPosition(position) != nil {
			if strings.Trim(position, "!#$%&'()*+,-./0123456789\"") == "" {
				t.Fatalf("%q was refused", position)
			}
			return
		}
		token, err := encodeToken(azcosmos.FeedRange{MinInclusive: minimum, MaxExclusive: maximum}, position)
		if err != nil {
			t.Fatal(err)
		}
		var got azcosmosToken
		if err := json.Unmarshal([]byte(token), &got); err != nil {
			t.Fatal(err)
		}
		if got.Version != 1 || got.ResourceID == nil || *got.ResourceID != "" || len(got.Continuation) != 1 {
			t.Fatalf("token %s", token)
		}
		part := got.Continuation[0]
		if (part.ContinuationToken == nil) != (position == "") || part.ContinuationToken != nil && *part.ContinuationToken != position {
			t.Fatalf("token %s of position %q", token, position)
		}
	})
}

func FuzzDecodeChildren(f *testing.F) {
	f.Add(`{"version":1,"continuation":[{"minInclusive":"10","maxExclusive":"FF"},{"minInclusive":"","maxExclusive":"10"}]}`)
	f.Add(`{"continuation":[{"minInclusive":"","maxExclusive":""},{"minInclusive":"","maxExclusive":""}]}`)
	f.Fuzz(func(t *testing.T, token string) {
		children, err := decodeChildren(full, token)
		if err != nil {
			return
		}
		at := ""
		for _, c := range children {
			if c.MinInclusive != at {
				t.Fatalf("children %v", children)
			}
			at = c.MaxExclusive
		}
		if len(children) < 2 || !sameEnd(at, "FF") {
			t.Fatalf("children %v", children)
		}
	})
}

func FuzzSessionLSN(f *testing.F) {
	for _, token := range []string{"0:12345", "0:-1#12345#1=1#2=2", "", "::", "0:9223372036854775808"} {
		f.Add(token)
	}
	f.Fuzz(func(t *testing.T, token string) {
		if sessionLSN(token) < 0 {
			t.Fatalf("%q: %d", token, sessionLSN(token))
		}
	})
}

func FuzzNewItem(f *testing.F) {
	for _, document := range []string{`{"id":"a","_etag":"e","_lsn":7,"_ts":1700000000}`, `7`, `null`, `{"id":null,"_lsn":1e3}`, `{"_ts":9e99}`, `{`, ``} {
		f.Add([]byte(document))
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		item := newItem(document, 42)
		if !bytes.Equal(item.Document, document) || item.LSN < 0 {
			t.Fatalf("item %+v", item)
		}
		if _, err := item.Written.MarshalJSON(); err != nil {
			t.Fatal(err)
		}
		var object map[string]any
		if json.Unmarshal(document, &object) != nil || object == nil {
			if item.ID != "" || item.ETag != "" || item.LSN != 42 || !item.Written.IsZero() {
				t.Fatalf("item of no object %+v", item)
			}
			return
		}
		if id, ok := object["id"].(string); ok && id != item.ID {
			t.Fatalf("id %q, want %q", item.ID, id)
		}
	})
}
