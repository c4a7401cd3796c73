package workload

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestARMIsHeldToWhatIsStored plays the one who tells: too early, wrongly, too
// late, not at all.
func TestARMIsHeldToWhatIsStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		target := sampleTarget(Cluster, Envelope, 0)
		o := operation{Target: target, Request: Create, Named: Named{ID: "50c1a0ba-3bc4-48fb-857e-eb0974df1e1c", Variant: 2}, Start: time.Now()}
		o.URI = o.uri()
		arm := NewARM(1)
		arm.stored = b.ask
		b.ledger.add(&entry{Partition: target.Subscription, DocumentID: o.documentID(), URI: o.URI})
		tell := func(status string) int {
			t.Helper()
			w := httptest.NewRecorder()
			arm.ServeHTTP(w, httptest.NewRequest(http.MethodPost, o.URI, strings.NewReader(fmt.Sprintf(`{"status":%q}`, status))))
			return w.Code
		}
		d := o.document()
		save := func() {
			t.Helper()
			if err := upsert(t.Context(), b.store.resources, target.Subscription, d); err != nil {
				t.Fatal(err)
			}
		}
		want := func(words string) {
			t.Helper()
			got := strings.Join(checkTold(entry{URI: o.URI}, d, arm.of(o.URI)), "\n")
			if words == "" && got != "" || !strings.Contains(got, words) {
				t.Errorf("said %q, want %q", got, words)
			}
		}
		save()
		if tell("Succeeded") != http.StatusServiceUnavailable {
			t.Error("the first try was taken")
		}
		want("ARM was not told")
		tell("Succeeded")
		put(d, []string{"properties", "status"}, "Succeeded")
		want(`was told "Succeeded" when "Accepted" was stored`)

		save()
		arm.told = map[string][]telling{}
		tell("Succeeded")
		want("")
		time.Sleep(2 * removedWithin)
		want("its URI is still there")
		delete(d["properties"].(map[string]any), "notificationUri")
		save()
		want("")
		tell("Succeeded") // twice is in order
		want("")
		tell("Failed")
		want("ARM was told Failed, stored is Succeeded")
	})
}
