package workload

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"opfeed/cs"
)

// loaded is what was loaded from the folder of documents: the last of each
// address counts.
type loaded struct {
	documents map[key]loadedDocument
	order     []key
	// leftAlone counts pending operations of requests or kinds that opfeed
	// leaves to others.
	leftAlone int
}

type loadedDocument struct {
	File string
	Body map[string]any
}

// load reads a folder, gives the resources that non-terminal operations name a
// life in the simulator, and writes the documents.
func (f *FrontEnd) load(ctx context.Context, folder string) (*loaded, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.json"))
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", folder, err)
	}
	if len(files) == 0 {
		_, err := os.Stat(folder)
		return nil, errors.Join(fmt.Errorf("no *.json in %s", folder), err)
	}
	slices.Sort(files)
	l := &loaded{documents: map[key]loadedDocument{}}
	for _, file := range files {
		if err := l.read(file, f.deps.Say); err != nil {
			return nil, err
		}
	}
	entries := l.operations(f.deps.Say)
	if err := f.giveLife(ctx, entries); err != nil {
		return nil, err
	}
	f.ledger.add(entries...)
	byKey := map[key]*entry{}
	for _, e := range entries {
		byKey[key{e.Partition, e.DocumentID}] = e
	}
	for _, k := range l.order {
		if e := byKey[k]; e != nil && e.Terminal.IsZero() {
			f.ledger.edit(func() { e.Written = time.Now() })
		}
		if err := upsert(ctx, f.store.resources, k.Partition, l.documents[k].Body); err != nil {
			// Not an address, or nothing that Cosmos DB would take.
			f.deps.Say("documents: %s is refused: %v", l.documents[k].File, err)
			delete(l.documents, k)
			if e := byKey[k]; e != nil {
				f.ledger.forget(e)
			}
		}
	}
	return l, ctx.Err()
}

func (l *loaded) read(file string, say func(string, ...any)) error {
	raw, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read document: %w", err)
	}
	name := filepath.Base(file)
	d, ok := jsonObject(raw)
	if !ok {
		say("documents: %s is no JSON object: left out", name)
		return nil
	}
	d = bare(d)
	k := key{text(d, "partitionKey"), text(d, "id")}
	if k.Partition == "" || k.ID == "" {
		say("documents: %s has no id or no partitionKey: left out", name)
		return nil
	}
	if before, ok := l.documents[k]; ok {
		say("documents: %s has the partition and id of %s, and replaces it", name, before.File)
		l.order = slices.DeleteFunc(l.order, func(o key) bool { return o == k })
	}
	l.documents[k] = loadedDocument{File: name, Body: d}
	l.order = append(l.order, k)
	return nil
}

func jsonObject(raw []byte) (d map[string]any, ok bool) {
	err := json.Unmarshal(raw, &d)
	return d, err == nil && d != nil
}

// operations lists the loaded operations, terminal ones with their end.
func (l *loaded) operations(say func(string, ...any)) []*entry {
	var es []*entry
	taken := map[string]bool{}
	for _, k := range l.order {
		d := l.documents[k]
		if !isOperation(text(d.Body, "resourceType")) {
			continue
		}
		e, left, why := loadedOperation(k, d)
		if left {
			l.leftAlone++
			say("documents: %s is left alone: %s", d.File, why)
			continue
		}
		if e == nil {
			say("documents: %s is not followed: %s", d.File, why)
			continue
		}
		if e.Terminal.IsZero() {
			e.Shared = taken[e.Object]
			taken[e.Object] = true
		}
		es = append(es, e)
	}
	return es
}

// loadedOperation is the ledger's entry for a document, or why there is none: the
// service leaves it to others, or nobody will ever end it.
func loadedOperation(k key, d loadedDocument) (e *entry, left bool, why string) {
	p := func(name string) string { return text(d.Body, "properties", name) }
	e = &entry{
		Partition: k.Partition, DocumentID: k.ID, ID: operationName(d.Body), Resource: p("externalId"),
		Object: canonical(p("internalId")), Loaded: true, Before: d.Body, Status: p("status"),
		Step: "loaded " + d.File,
	}
	if terminal(e.Status) {
		e.Terminal = time.Now()
		return e, false, ""
	}
	if _, ok := d.Body["deletionTimestamp"]; ok {
		return nil, false, "it is deleted"
	}
	r, ok := requestOf(p("request"))
	if !ok {
		return nil, true, fmt.Sprintf("its request is %q", p("request"))
	}
	e.Request = r
	if e.Object == "" {
		return e, false, ""
	}
	ref, err := cs.ParseRef(e.Object)
	switch {
	case err != nil:
		return nil, false, fmt.Sprintf("its internalId is %q", p("internalId"))
	case (r == RequestCredential) != (ref.Kind == cs.BreakGlassCredential), r == RevokeCredentials && ref.Kind != cs.Cluster:
		return nil, true, fmt.Sprintf("its request is %s, and it is about a %s", r, ref.Kind)
	}
	return e, false, ""
}

func requestOf(name string) (r Request, ok bool) {
	for _, r := range []Request{Create, Update, Delete, RequestCredential, RevokeCredentials} {
		if strings.EqualFold(name, r.String()) {
			return r, true
		}
	}
	return 0, false
}

// operationName is the name by which resources link to an operation.
func operationName(d map[string]any) string {
	for _, field := range []string{"operationId", "resourceId"} {
		if id := text(d, "properties", field); id != "" {
			return lastSegment(id)
		}
	}
	return text(d, "id")
}

// giveLife plants the objects of pending operations in a state from which they
// reach an outcome, parents first. Of several operations on one object the
// most final decides; a revocation is on none.
func (f *FrontEnd) giveLife(ctx context.Context, entries []*entry) error {
	requests := map[string]Request{}
	for _, e := range entries {
		if e.Object != "" && e.Terminal.IsZero() {
			if before, ok := requests[e.Object]; !ok || before == RevokeCredentials || e.Request > before && e.Request != RevokeCredentials {
				requests[e.Object] = e.Request
			}
		}
	}
	objects := slices.Collect(maps.Keys(requests))
	slices.SortFunc(objects, func(a, b string) int {
		if n := strings.Count(a, "/") - strings.Count(b, "/"); n != 0 {
			return n
		}
		return strings.Compare(a, b)
	})
	for _, o := range objects {
		if err := f.admin.plant(ctx, o, lifeFor(o, requests[o])); err != nil {
			return err
		}
	}
	return nil
}

// lifeFor is a state in which an object is while a request is carried out.
func lifeFor(object string, r Request) string {
	ref, _ := cs.ParseRef(object) // all were read before
	switch {
	case r == RequestCredential:
		return "created"
	case r == RevokeCredentials:
		return "ready" // the cluster, whose credentials they are
	case r == Delete:
		return "uninstalling"
	case ref.Kind == cs.ExternalAuth:
		return "ready" // it knows no state on the way
	case r == Update:
		return "updating"
	default:
		return "installing"
	}
}
