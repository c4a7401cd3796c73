package conformance

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
)

// A reader that has the session token of a write sees it, whatever replica it
// asks.
func TestReadsSeeWhatTheirSessionWrote(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	pk := azcosmos.NewPartitionKeyString("p")
	for n := range 20 {
		written, err := c.items.UpsertItem(t.Context(), pk, item{ID: "a", PK: "p", N: n}.json(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if written.SessionToken == nil || *written.SessionToken == "" {
			t.Fatal("a write without a session token")
		}
		read, err := c.newItems().ReadItem(t.Context(), pk, "a", &azcosmos.ItemOptions{SessionToken: written.SessionToken})
		if err != nil {
			t.Fatal(err)
		}
		if got := decode[item](t, read.Value); got.N != n || got.ETag != string(written.ETag) || read.ETag != written.ETag {
			t.Fatalf("write %d has ETag %s, read is %+v", n, written.ETag, got)
		}
	}
}

func TestWritesShowNothingUnlessAsked(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	pk := azcosmos.NewPartitionKeyString("p")
	for _, show := range []bool{false, true} {
		i := item{ID: fmt.Sprint(show), PK: "p"}
		o := &azcosmos.ItemOptions{EnableContentResponseOnWrite: show}
		got, err := c.items.CreateItem(t.Context(), pk, i.json(), o)
		if err != nil || len(got.Value) > 0 != show || got.ETag == "" {
			t.Errorf("create: %q, ETag %q, %v", got.Value, got.ETag, err)
		}
		got, err = c.items.ReplaceItem(t.Context(), pk, i.ID, i.json(), o)
		if err != nil || len(got.Value) > 0 != show || got.ETag == "" {
			t.Errorf("replace: %q, ETag %q, %v", got.Value, got.ETag, err)
		}
	}
}

// Every reply about items is checked on the wire, by every test. This one makes
// sure that there is one of each kind, and that a larger item costs more.
func TestEveryReplyHasACharge(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	feed := c.readKey("p")
	for _, step := range []struct {
		name   string
		status int
		reply  reply
	}{
		{"create", 201, c.create("p", `{"id":"a","pk":"p"}`)},
		{"create again", 409, c.sendCreate("p", `{"id":"a","pk":"p"}`)},
		{"read", 200, c.read("p", "a")},
		{"read nothing", 404, c.read("p", "b")},
		{"replace", 200, c.sendWrite(replaceA)},
		{"replace another version", 412, c.sendWrite(replaceA, "If-Match", `"x"`)},
		{"upsert", 200, c.sendWrite(upsertA)},
		{"patch", 200, c.sendWrite(patchA)},
		{"batch", 200, c.sendBatch(`[{"operationType":"Upsert","resourceBody":{"id":"c","pk":"p"}}]`)},
		{"batch that fails", 207, c.sendBatch(`[{"operationType":"Delete","id":"none"}]`)},
		{"feed", 200, feed.send(100)},
		{"feed from now", 304, (&reader{container: c, scope: feed.scope, from: "*"}).send(1)},
		{"query", 200, c.send(http.MethodPost, "docs", `{"query":"SELECT * FROM c","parameters":[]}`, headerKey, key("p"),
			"Content-Type", "application/query+json", "x-ms-documentdb-query", "True")},
		{"delete", 204, c.sendWrite(deleteA)},
		{"delete again", 404, c.sendWrite(deleteA)},
		{"ranges", 200, c.send(http.MethodGet, "pkranges", "")},
	} {
		if step.reply.status != step.status || charge(step.reply.header) <= 0 {
			t.Errorf("%s: got %v, charge %q, want %d", step.name, step.reply, step.reply.header.Get("x-ms-request-charge"), step.status)
		}
	}
	small := charge(c.create("p", `{"id":"small","pk":"p"}`).header)
	large := charge(c.create("p", fmt.Sprintf(`{"id":"large","pk":"p","text":"%050000d"}`, 0)).header)
	if large <= small {
		t.Errorf("50 kB cost %v, next to nothing costs %v", large, small)
	}
}

// A refusal has JSON with a message: other clients do not survive without.
func TestRefusalsSayWhy(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	for _, got := range []reply{
		c.read("p", "none"),
		c.sendCreate("p", `{}`),
		c.sendWrite(replaceA),
		c.readRange("987654").send(1),
		c.send(http.MethodGet, "docs/a", "", headerKey, key("p"), "Authorization", "type%3dmaster%26ver%3d1.0%26sig%3dAAAA"),
	} {
		body := decode[struct{ Code, Message string }](t, got.body)
		if got.status < 400 || body.Code == "" || body.Message == "" {
			t.Errorf("got %v", got)
		}
	}
}
