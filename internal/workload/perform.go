package workload

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// conflictTries is how often a write is decided anew after a 412.
	conflictTries = 8
	// lateAfter is how long an operation stays without an internalId in the
	// generation that fills it later.
	lateAfter = 300 * time.Millisecond
)

// perform carries out one request of a user: lock, Cluster Service, batch.
func (f *FrontEnd) perform(ctx context.Context, s Step, victim *entry) (*entry, error) {
	unlock, err := f.store.lock(ctx, s.Target.Subscription)
	if err != nil {
		return nil, err
	}
	e, err := f.locked(ctx, s, victim)
	// The lock is given back even when the request was interrupted.
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), clusterServiceTimeout)
	unlock(last)
	cancel()
	if err != nil || !s.LateID {
		return e, err
	}
	if err := sleep(ctx, lateAfter); err != nil {
		return e, err
	}
	if err := f.call(ctx, s, e); err != nil {
		return e, err
	}
	return e, f.fill(ctx, e)
}

func (f *FrontEnd) locked(ctx context.Context, s Step, victim *entry) (*entry, error) {
	e := f.newEntry(s.Target, s.Request, s.Operation, false)
	if s.Request == Update || s.Request == Delete {
		// Refuse before Cluster Service is told: a front end answers 409.
		if err := f.idle(ctx, s.Target, victim); err != nil {
			return nil, err
		}
	}
	if !s.LateID {
		if err := f.call(ctx, s, e); err != nil {
			return nil, err
		}
	}
	es := []*entry{e}
	for _, c := range s.Implicit {
		child := f.newEntry(c.Target, Delete, c.Operation, true)
		child.Called, child.Answered = e.Called, e.Answered // one call deletes them all
		es = append(es, child)
	}
	f.ledger.add(es...)
	if err := f.write(ctx, s, es, victim); err != nil {
		f.ledger.forget(es...)
		return nil, err
	}
	return e, nil
}

func (f *FrontEnd) newEntry(t Target, r Request, n Named, implicit bool) *entry {
	o := operation{Target: t, Request: r, Named: n, Implicit: implicit}
	what := "user's"
	if implicit {
		what = "implicit"
	}
	uri := ""
	if f.deps.ARM != nil {
		uri = o.uri()
	}
	return &entry{
		Partition: t.Subscription, DocumentID: o.documentID(), ID: n.ID, Request: r,
		Object: t.Object(), Resource: t.ResourceID(), ResourceDocument: t.DocumentID, Target: t,
		Step: fmt.Sprintf("%s %s %s", what, t.Kind, r), Implicit: implicit, Status: o.status(), URI: uri,
	}
}

// call tells Cluster Service. The times around it tell the journal's entry for
// this call from others.
func (f *FrontEnd) call(ctx context.Context, s Step, e *entry) error {
	called := time.Now()
	err := f.service.apply(ctx, s.Target, s.Request)
	f.ledger.edit(func() { e.Called, e.Answered = called, time.Now() })
	return err
}

func (f *FrontEnd) idle(ctx context.Context, t Target, victim *entry) error {
	it, ok, err := f.store.read(ctx, t.Subscription, t.DocumentID)
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("%s: no such resource", t.ResourceID())
	}
	active := text(it.Document, t.places().Active...)
	if active != "" && (victim == nil || active != victim.ID) {
		return fmt.Errorf("%s: operation %s is still pending", t.ResourceID(), active)
	}
	return nil
}

// write sends operation and resource, the children's as well, and the
// cancellation of the victim, in one transaction.
func (f *FrontEnd) write(ctx context.Context, s Step, es []*entry, victim *entry) error {
	for range conflictTries {
		b := f.store.batch(s.Target.Subscription)
		now := time.Now()
		cancelled, err := f.supersede(ctx, b, victim, now)
		if err != nil {
			return err
		}
		targets, names := []Target{s.Target}, []Named{s.Operation}
		for _, c := range s.Implicit {
			targets, names = append(targets, c.Target), append(names, c.Operation)
		}
		for i, e := range es {
			o := operation{Target: targets[i], Request: e.Request, Named: names[i], Implicit: e.Implicit, Start: now, URI: e.URI}
			if !s.LateID {
				o.InternalID = targets[i].InternalID()
			}
			if err := f.stage(ctx, b, o, e); err != nil {
				return err
			}
		}
		written := time.Now()
		f.ledger.edit(func() {
			for _, e := range es {
				e.Written, e.Shared = written, cancelled
			}
		})
		err = b.send(ctx)
		if errors.Is(err, errConflict) {
			continue
		}
		if err == nil && cancelled {
			f.ledger.edit(func() { victim.Superseded = true })
		}
		return err
	}
	return fmt.Errorf("%s: %w, %d times", s.Target.ResourceID(), errConflict, conflictTries)
}

// stage adds one operation and its resource to the batch.
func (f *FrontEnd) stage(ctx context.Context, b *batch, o operation, e *entry) error {
	doc := o.document()
	b.create(doc)
	var resource map[string]any
	switch o.Request {
	case RequestCredential: // no resource names it
	case Create:
		resource = o.Target.document(link{Active: o.Named.ID, State: o.status(), InternalID: o.InternalID})
		b.create(resource)
	case Update, Delete, RevokeCredentials:
		it, ok, err := f.store.read(ctx, o.Target.Subscription, o.Target.DocumentID)
		if err != nil {
			return err
		}
		if !ok {
			return fmt.Errorf("%s: no such resource", o.Target.ResourceID())
		}
		resource = it.Document
		if o.name(resource) {
			raise(resource)
			b.replace(resource, it.ETag)
		}
	}
	f.ledger.edit(func() { e.Before, e.ResBefore = doc, resource })
	return nil
}

// name puts an operation into the document of its resource, and says whether that
// has a place for it.
func (o operation) name(resource map[string]any) bool {
	at := o.Target.places()
	if o.Request == RevokeCredentials {
		if at.Revoking != nil {
			put(resource, at.Revoking, o.Named.ID)
		}
		return at.Revoking != nil
	}
	put(resource, at.State, o.status())
	put(resource, at.Active, o.Named.ID)
	return true
}

// supersede cancels the victim, unless it has ended by itself.
func (f *FrontEnd) supersede(ctx context.Context, b *batch, victim *entry, now time.Time) (bool, error) {
	if victim == nil {
		return false, nil
	}
	it, ok, err := f.store.read(ctx, victim.Partition, victim.DocumentID)
	if err != nil || !ok || terminal(text(it.Document, "properties", "status")) {
		return false, err
	}
	d := it.Document
	put(d, []string{"properties", "status"}, "Canceled")
	put(d, []string{"properties", "lastTransitionTime"}, now.UTC().Format(time.RFC3339Nano))
	put(d, []string{"properties", "error"}, map[string]any{"code": "Canceled", "message": supersededMessage})
	raise(d)
	b.replace(d, it.ETag)
	return true, nil
}

const supersededMessage = "This operation was superseded by another"

// fill writes the internal id into an operation that was created without one.
func (f *FrontEnd) fill(ctx context.Context, e *entry) error {
	for range conflictTries {
		op, ok, err := f.store.read(ctx, e.Partition, e.DocumentID)
		if err != nil {
			return err
		}
		if !ok || terminal(text(op.Document, "properties", "status")) {
			return nil
		}
		res, ok, err := f.store.read(ctx, e.Partition, e.ResourceDocument)
		if err != nil {
			return err
		}
		b := f.store.batch(e.Partition)
		put(op.Document, []string{"properties", "internalId"}, e.Target.InternalID())
		raise(op.Document)
		b.replace(op.Document, op.ETag)
		if ok {
			put(res.Document, e.Target.places().InternalID, e.Target.InternalID())
			raise(res.Document)
			b.replace(res.Document, res.ETag)
		}
		written := time.Now()
		f.ledger.edit(func() {
			e.Written = written
			e.Before, e.ResBefore = op.Document, res.Document
		})
		if err := b.send(ctx); !errors.Is(err, errConflict) {
			return err
		}
	}
	return fmt.Errorf("%s: fill internal id: %w, %d times", e.Resource, errConflict, conflictTries)
}

// raise moves the version that readers of the newest generation go by.
func raise(d map[string]any) {
	at := []string{"properties", "cosmosMetadata", "instanceVersion"}
	if v, ok := find(d, at); ok {
		if n, ok := v.(float64); ok {
			put(d, at, n+1)
		}
	}
}
