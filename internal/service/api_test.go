package service

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"opfeed/cs/cssim"
	"opfeed/internal/inproc"
	"opfeed/processor/status"
)

// TestNoStartTimeHidesTheOperations: an answer tells of all operations, so what one
// document says must not make an error of it.
func TestNoStartTimeHidesTheOperations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, account := t.Context(), emulated(t)
		clusters := cssim.New(cssim.Options{Speed: 1, Seed: 1})
		r := start(t, testConfig(t), Deps{Cosmos: inproc.New(account), CS: inproc.New(clusters)})
		pause(ctx, 10*time.Second)
		const internalID = "/api/aro_hcp/v1alpha1/clusters/2k3j4h5g"
		if err := clusters.Plant(internalID, "installing"); err != nil {
			t.Fatal(err)
		}
		st, err := r.connect(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer st.client.Close()
		// A minute ago, but that no zone is a day ahead.
		began := time.Now().UTC().Add(24*time.Hour-time.Minute).Format("2006-01-02T15:04:05") + "+24:00"
		_, err = st.resources.CreateItem(ctx, azcosmos.NewPartitionKeyString("s"), []byte(`{"id":"o","partitionKey":"s",
			"resourceType":"Microsoft.RedHatOpenShift/hcpOperationStatuses","ttl":604800,"properties":{
			"request":"Create","status":"Accepted","internalId":"`+internalID+`","startTime":"`+began+`","lastTransitionTime":"`+began+`",
			"operationId":"/subscriptions/s/providers/Microsoft.RedHatOpenShift/locations/x/hcpOperationStatuses/o",
			"externalId":"/subscriptions/s/resourceGroups/g/providers/Microsoft.RedHatOpenShift/hcpOpenShiftClusters/c"}}`), nil)
		if err != nil {
			t.Fatal(err)
		}
		pause(ctx, time.Minute)
		var o status.Operations
		code, body := r.ask("/api/v1/operations")
		if err := json.Unmarshal([]byte(body), &o); code != http.StatusOK || err != nil || len(o.Operations) != 1 ||
			o.Operations[0].Kind != "Cluster" || time.Since(o.Operations[0].Began) > 2*time.Minute || !o.Now.Equal(time.Now()) {
			t.Errorf("status %d: %s, %v", code, body, err)
		}
		r.stop()
		<-r.result
	})
}

// TestWhoWaitsForAPlaceIsToldOfTheEnd: an empty answer is one that says nothing of
// what went wrong.
func TestWhoWaitsForAPlaceIsToldOfTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := surfaces(t, nil)
		end := make(chan struct{})
		s.running.Store(&engine{changes: func() []status.Change { <-end; return nil }})
		h := s.AdminHandler()
		var under sync.WaitGroup
		for range computed {
			under.Go(func() {
				if w := asked(h, "GET", "/api/v1/operations", ""); w.Code != http.StatusOK {
					t.Errorf("one that has a place: status %d", w.Code)
				}
			})
		}
		synctest.Wait()
		ctx, hangUp := context.WithCancel(t.Context())
		under.Go(func() {
			w := asked(h, "GET", "/api/v1/operations", "", func(r *http.Request) { *r = *r.WithContext(ctx) })
			if w.Code != http.StatusServiceUnavailable || w.Header().Get("Content-Type") != "application/json" || !json.Valid(w.Body.Bytes()) {
				t.Errorf("one that waits: status %d, %q", w.Code, w.Body)
			}
		})
		synctest.Wait()
		hangUp()
		synctest.Wait()
		close(end)
		under.Wait()
	})
}

// TestWhoTakesItsTimeKeepsNobodyWaiting: to make an answer is work, to send it is
// not. A page on a line that hangs must not be in the way of the others.
func TestWhoTakesItsTimeKeepsNobodyWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := surfaces(t, nil)
		s.running.Store(&engine{changes: func() []status.Change { return make([]status.Change, 200) }})
		admin, ctx := newPipes(), t.Context()
		server := &http.Server{Handler: s.AdminHandler(), WriteTimeout: 2 * time.Minute, ReadHeaderTimeout: time.Second}
		go func() { _ = server.Serve(admin) }()
		defer func() { _ = server.Close() }()
		const question = "GET /api/v1/operations HTTP/1.1\r\nHost: localhost\r\n\r\n"
		for range computed { // ask, and read nothing
			c, err := admin.dial(ctx, "", "")
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			if _, err := c.Write([]byte(question)); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		began := time.Now()
		resp, err := admin.client().Get("http://localhost/api/v1/operations")
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if took := time.Since(began); resp.StatusCode != http.StatusOK || took > time.Second {
			t.Errorf("status %d after %v", resp.StatusCode, took)
		}
	})
}
