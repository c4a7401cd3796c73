package cosmosemu_test

import (
	"net/http"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
)

func TestSession(t *testing.T) {
	r, ctx := newRig(t), t.Context()
	created := r.create("p", `{"id":"a","pk":"p"}`)
	if created.SessionToken == nil || *created.SessionToken != "0:-1#1" {
		t.Fatalf("session token %v", created.SessionToken)
	}
	read := func(token string) error {
		_, err := r.items.ReadItem(ctx, pk("p"), "a", &azcosmos.ItemOptions{SessionToken: &token})
		return err
	}
	query := func(token string) error {
		_, _, err := r.query("SELECT * FROM c", pk("p"), &azcosmos.QueryOptions{SessionToken: &token})
		return err
	}
	for name, request := range map[string]func(string) error{"read": read, "query": query} {
		for _, token := range []string{*created.SessionToken, "0:-1#0", "7:-1#99", "7:-1#99,0:-1#1", "0:5#1#3=9"} {
			if err := request(token); err != nil {
				t.Errorf("%s with %s: %v", name, token, err)
			}
		}
		r.refused(request("0:-1#2"), http.StatusNotFound, "1002")
		r.refused(request("7:-1#1,0:-1#2,0:-1#1"), http.StatusNotFound, "1002")
		if got := r.transport.last.Header.Get("x-ms-session-token"); got != "0:-1#1" {
			t.Errorf("%s: a refused session got the token %q", name, got)
		}
		for _, token := range []string{"0", "0:-1", "0:-1#x", ":-1#1", "#"} {
			r.refused(request(token), http.StatusBadRequest, "0")
		}
	}
	feed := r.raw(http.MethodGet, "/dbs/db/colls/items/docs", "", "A-IM", "Incremental Feed", "x-ms-session-token", "0:-1#2")
	if feed.StatusCode != http.StatusNotFound || feed.Header.Get("x-ms-substatus") != "1002" {
		t.Errorf("feed: %d/%s", feed.StatusCode, feed.Header.Get("x-ms-substatus"))
	}
	deleted, err := r.items.DeleteItem(ctx, pk("p"), "a", nil)
	if err != nil || deleted.SessionToken == nil || *deleted.SessionToken != "0:-1#2" {
		t.Errorf("delete: %v, session token %v", err, deleted.SessionToken)
	}
	// The 404 tells that the session was served: the item is really gone.
	r.refused(read("0:-1#2"), http.StatusNotFound, "0")
}
