package cosmosemu

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// FuzzStored holds that what may be stored can be decoded for a query.
func FuzzStored(f *testing.F) {
	for _, text := range []string{
		`{}`, ` [ ] `, `null`, ` -1.5e3 `, `"a\"\u00e9\ud83d\ude00\ud83d"`, `{"a":1,"a":{"b":[true,false,null,"",{}]}}`,
		"\t{ \"a\\n\" :\r\n[ 1 , \"}\" , [ ] ] , \"\" : 0 } ", `123456789012345678901234567890`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if _, err := checkJSON(text); err != nil {
			return // never stored, so never decoded
		}
		var want any
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatalf("%q was accepted: %v", text, err)
		}
	})
}

// TestDecodedItemsAreBounded holds that of more than may be kept decoded as much
// is kept as may be, and that what is forgotten is decoded again.
func TestDecodedItemsAreBounded(t *testing.T) {
	const size, count = 1 << 20, 2 * maxDecoded >> 20
	owner := &container{account: New(Options{}), database: &database{}}
	text := []byte(`{"text":"` + strings.Repeat("x", size-len(`{"text":""}`)) + `"}`)
	documents := make([]*document, count)
	for i := range documents {
		documents[i] = &document{slot: &slot{serial: uint64(i)}, owner: owner, user: text}
		documents[i].parsed.Store(new(any))
		owner.account.decoded.keep(documents[i])
	}
	kept := 0
	var forgotten *document
	for _, d := range documents {
		if d.parsed.Load() != nil {
			kept += d.size()
		} else {
			forgotten = d
		}
	}
	if kept != maxDecoded {
		t.Fatalf("%d bytes are kept decoded, of at most %d", kept, maxDecoded)
	}
	value, ok := forgotten.value().(map[string]any)
	if !ok || len(fmt.Sprint(value["text"])) != size-len(`{"text":""}`) || forgotten.parsed.Load() == nil {
		t.Error("what was forgotten is not decoded again")
	}
}
