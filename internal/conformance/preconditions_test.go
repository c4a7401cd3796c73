package conformance

import (
	"net/http"
	"testing"
)

const replacement = `{"id":"a","pk":"p","n":2}`

// write is a way to change the item a.
type write struct {
	name, method, path, body string
	headers                  []string
	success                  int
}

var (
	replaceA = write{"replace", http.MethodPut, "docs/a", replacement, nil, http.StatusOK}
	upsertA  = write{"upsert", http.MethodPost, "docs", replacement, []string{"x-ms-documentdb-is-upsert", "True"}, http.StatusOK}
	patchA   = write{"patch", http.MethodPatch, "docs/a", `{"operations":[{"op":"set","path":"/n","value":2}]}`, nil, http.StatusOK}
	deleteA  = write{"delete", http.MethodDelete, "docs/a", "", nil, http.StatusNoContent}
)

func (c *container) sendWrite(w write, headers ...string) reply {
	c.Helper()
	headers = append(headers, headerKey, key("p"))
	return c.send(w.method, w.path, w.body, append(headers, w.headers...)...)
}

func TestIfMatchOnOneItem(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	for _, w := range []write{replaceA, upsertA, patchA, deleteA} {
		first := c.put(item{ID: "a", PK: "p", N: 1})
		current := c.put(item{ID: "a", PK: "p", N: 1})
		for _, wrong := range []string{first.ETag, `"no ETag of ours"`} {
			if got := c.sendWrite(w, "If-Match", wrong); got.status != http.StatusPreconditionFailed {
				t.Errorf("%s with ETag %s: got %v, want 412", w.name, wrong, got)
			}
		}
		if got := decode[item](t, c.read("p", "a").body); got.ETag != current.ETag || got.N != 1 {
			t.Errorf("%s was refused, and changed %+v to %+v", w.name, current, got)
		}
		got := c.sendWrite(w, "If-Match", current.ETag)
		if got.status != w.success {
			t.Errorf("%s with the ETag: got %v, want %d", w.name, got, w.success)
		}
		if got.etag() == current.ETag {
			t.Errorf("%s left the ETag as it was", w.name)
		}
		c.put(item{ID: "a", PK: "p", N: 1})
		if got := c.sendWrite(w, "If-Match", "*"); got.status != w.success {
			t.Errorf("%s with *: got %v, want %d", w.name, got, w.success)
		}
	}
}

// An upsert's If-Match is ignored where there is no item: Microsoft's page says
// so of the operation, not of the header.
func TestIfMatchOnAnAbsentItem(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	for _, condition := range []string{"*", `"no ETag of ours"`} {
		for _, w := range []write{replaceA, patchA, deleteA} {
			if got := c.sendWrite(w, "If-Match", condition); got.status != http.StatusNotFound {
				t.Errorf("%s with %s: got %v, want 404", w.name, condition, got)
			}
		}
		if got := c.sendWrite(upsertA, "If-Match", condition); got.status != http.StatusCreated {
			t.Errorf("upsert with %s: got %v, want 201", condition, got)
		}
		c.remove(item{ID: "a", PK: "p"})
	}
}

// Which of 409 and 412 a create gets that demands absence twice is not
// documented.
func TestIfNoneMatchDemandsAbsence(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	create := write{"create", http.MethodPost, "docs", replacement, nil, http.StatusCreated}
	if got := c.sendWrite(upsertA, "If-None-Match", "*"); got.status != http.StatusCreated {
		t.Errorf("upsert of an absent item: got %v, want 201", got)
	}
	if got := c.sendWrite(upsertA, "If-None-Match", "*"); got.status != http.StatusPreconditionFailed {
		t.Errorf("upsert of an item: got %v, want 412", got)
	}
	if got := c.sendWrite(create, "If-None-Match", "*"); got.status != http.StatusConflict && got.status != http.StatusPreconditionFailed {
		t.Errorf("create of an item: got %v, want 409 or 412", got)
	}
	if got := c.sendWrite(create); got.status != http.StatusConflict {
		t.Errorf("create of an item, without a condition: got %v, want 409", got)
	}
}

func TestReadOfTheVersionThatTheClientHas(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	old := c.put(item{ID: "a", PK: "p", N: 1})
	current := c.put(item{ID: "a", PK: "p", N: 2})
	for etag, status := range map[string]int{old.ETag: http.StatusOK, current.ETag: http.StatusNotModified} {
		got := c.send(http.MethodGet, "docs/a", "", headerKey, key("p"), "If-None-Match", etag)
		if got.status != status || status == http.StatusNotModified && len(got.body) > 0 {
			t.Errorf("If-None-Match %s: got %v, want %d", etag, got, status)
		}
	}
}
