package leases

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
)

// A lease of another feed, under an id that we need, is its owner's while he
// renews it, every 17 s; after that its position is not used.
func TestLeaseOfAnotherFeed(t *testing.T) {
	inWorld(t, func(w *world) {
		w.ranges[0].Continuation = at(50)
		id := w.store.ID("0")
		body := func(n int) string {
			return fmt.Sprintf(`{"id":%q,"version":0,"LeaseToken":"0","FeedRange":{"Range":{"min":"","max":"FF"}},"Owner":"HOST-1",`+
				`"ContinuationToken":"\"7\"","properties":{"a":"b"},"timestamp":"2026-03-01T12:%02d:00Z","Mode":"Full-Fidelity Feed"}`, id, n)
		}
		w.createRaw(body(0))
		p := w.process("a").start(nil)
		for n := range 10 {
			time.Sleep(17 * time.Second)
			if _, err := w.raw.ReplaceItem(w.t.Context(), azcosmos.NewPartitionKeyString(id), id, []byte(body(n+1)), nil); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		if !strings.Contains(w.stored("0"), `"HOST-1"`) || p.holds("1") == nil {
			t.Errorf("stored %s", w.stored("0"))
		}
		time.Sleep(20 * time.Second)
		s := w.read("0")
		if p.holds("0") == nil || s.Owner != "a" || s.Continuation != at(50) || s.Mode != "" || !strings.Contains(w.stored("0"), `"a":"b"`) {
			t.Errorf("stored %s", w.stored("0"))
		}
		time.Sleep(time.Minute)
		if p.logged(messageReplaced) != 1 || len(p.seen("0")) != 1 {
			t.Errorf("replaced %d times, %d tenures", p.logged(messageReplaced), len(p.seen("0")))
		}
		p.stop()
	})
}
