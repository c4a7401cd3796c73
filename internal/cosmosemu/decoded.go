package cosmosemu

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
)

// maxDecoded is how many bytes of items, before decoding, are kept decoded: as
// values they need about three times as much again.
const maxDecoded = 32 << 20

// decodedItems bounds what queries keep decoded. Without any, a query would
// decode the same items again and again; without a bound, one query over
// everything would triple the memory that the account needs. The zero value is
// ready, and safe for concurrent use.
type decodedItems struct {
	mu    sync.Mutex
	items []*document
	bytes int
}

// value is the document for a query, decoded when first asked for.
func (d *document) value() any {
	if value := d.parsed.Load(); value != nil {
		return *value
	}
	var value any
	if err := json.Unmarshal(d.raw(), &value); err != nil {
		panic(fmt.Sprintf("cosmosemu: decode an item that was checked: %v", err))
	}
	if d.owner != nil && d.parsed.CompareAndSwap(nil, &value) {
		d.owner.account.decoded.keep(d)
	}
	return value
}

// keep makes room for a document by forgetting others, drawn by lot. The oldest
// would be the wrong ones: a query that is repeated asks for them next.
func (k *decodedItems) keep(d *document) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for k.bytes += d.size(); k.bytes > maxDecoded && len(k.items) > 0; {
		i, last := rand.IntN(len(k.items)), len(k.items)-1
		k.bytes -= k.items[i].size()
		k.items[i].parsed.Store(nil)
		k.items[i], k.items[last] = k.items[last], nil
		k.items = k.items[:last]
	}
	k.items = append(k.items, d)
}
