package operations

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"opfeed/processor/dispatch"
)

// TestLesson01AFailedPageIsAFailedList: the predecessor's iterators swallowed their
// errors, and for seven months a page that failed looked like "no operations". Here
// a list fails as a whole, whichever of its pages does.
func TestLesson01AFailedPageIsAFailedList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		for i := range 2100 {
			r.put(operationDoc(fmt.Sprintf("op-%d", i), Create))
			r.put(clusterDoc(fmt.Sprintf("r-%d", i), fmt.Sprintf("op-%d", i)))
		}
		r.put(with(operationDoc("ended", Create), Succeeded))
		r.put(clusterDoc("orphan", "ended"))
		pages, fail := 0, 0
		r.cosmos.before = func(req *http.Request) error {
			if isQuery(req) {
				if pages++; fail > 0 && pages >= fail { // for good: azcore tries again
					return errCut
				}
			}
			return nil
		}
		r.list(false)
		whole := pages
		if whole < 5 {
			t.Fatalf("only %d pages", whole)
		}
		for fail = 1; fail <= whole; fail++ {
			pages = 0
			if err := r.h.Pending(t.Context(), "", false, func(dispatch.Change) {}); err == nil {
				t.Errorf("page %d of %d failed, the list did not", fail, whole)
			}
		}
	})
}

// TestLesson20OneBadSubscriptionHidesNoOther: the predecessor read each listed
// subscription by itself, and one whose document was missing ended the list: nobody
// else's operations were looked for. Here all are read at once, what is missing or
// damaged is a state of its own, and no operation is looked for by subscription.
func TestLesson20OneBadSubscriptionHidesNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		for i := range 20 {
			id := fmt.Sprintf("sub-%02d", i)
			d := subscriptionDoc(id, id, registered)
			switch i {
			case 3: // no document at all
			case 5:
				d["properties"] = nil
			case 7:
				d["properties"] = "damaged"
			case 11:
				d["properties"] = doc{"state": 5}
			case 13:
				d["properties"] = doc{"state": doc{}}
			}
			if i != 3 {
				r.put(d)
			}
			raw := fmt.Appendf(nil, `{"id":%q,"partitionKey":"azure-sdk-for-go-issue-18578"}`, id)
			if _, err := r.keys.CreateItem(t.Context(), azcosmos.NewPartitionKeyString("azure-sdk-for-go-issue-18578"), raw, nil); err != nil {
				t.Fatal(err)
			}
		}
		registry, _ := r.registry(true)
		states, err := registry.load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if n := count(states); n[registered] != 15 || n[unknown] != 5 {
			t.Errorf("have %v", n)
		}
	})
}
