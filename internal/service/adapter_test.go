package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"opfeed/cs"
	"opfeed/processor"
	"opfeed/processor/dispatch"
	"opfeed/processor/operations"
)

// stub is a handler of which one answer at a time is of interest.
type stub struct {
	route    operations.Route
	sighting operations.Sighting
	step     operations.Step
	lookErr  error
	stepErr  error
	pending  []operations.Sighting
}

func (s *stub) Route([]byte) operations.Route { return s.route }

func (s *stub) Look(_ context.Context, sighting operations.Sighting) (func(context.Context) (operations.Step, error), error) {
	s.sighting = sighting
	return func(context.Context) (operations.Step, error) { return s.step, s.stepErr }, s.lookErr
}

func (s *stub) Pending(_ context.Context, session string, documents bool, yield func(operations.Sighting)) error {
	for _, p := range s.pending {
		p.Session = fmt.Sprint(session, documents)
		yield(p)
	}
	return nil
}

func TestAdaptRoute(t *testing.T) {
	for from, to := range map[operations.Action]processor.Action{
		operations.Skip: processor.Skip, operations.Drop: processor.Drop,
		operations.Take: processor.Take, operations.Poison: processor.Poison,
	} {
		h := adapt(&stub{route: operations.Route{Action: from, Partition: "p", ID: "i", Reason: "r"}})
		want := processor.Route{Action: to, Key: dispatch.Key{Partition: "p", ID: "i"}, Reason: "r"}
		if have := h.Route(nil); have != want {
			t.Errorf("have %+v, want %+v", have, want)
		}
	}
}

func TestAdaptHandle(t *testing.T) {
	written := time.Unix(1_700_000_000, 0)
	lost := errors.New("lost")
	ctx := processor.WithTrust(t.Context(), func() error { return lost })
	s := &stub{step: operations.Step{
		Verdict: operations.Again, After: time.Second, Reason: "r", ETag: "2", Document: []byte("{}"), Session: "s2", Seen: 2, Label: "l",
	}}
	apply, err := adapt(s).Handle(ctx, dispatch.Change{
		Key: dispatch.Key{Partition: "p", ID: "i"}, ETag: "1", Document: json.RawMessage("[]"), Session: "s1",
		Written: written, LSN: 7, Source: dispatch.Due, Attempt: 3, Seen: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	if s.sighting.Trusted == nil || !errors.Is(s.sighting.Trusted(), lost) {
		t.Error("the lease's trust is not handed on")
	}
	s.sighting.Trusted = nil
	want := operations.Sighting{
		Partition: "p", ID: "i", ETag: "1", Document: []byte("[]"), Session: "s1", Source: operations.SourceDue,
		Written: written, Attempt: 3, Seen: 1,
	}
	if !reflect.DeepEqual(s.sighting, want) {
		t.Errorf("have %+v\nwant %+v", s.sighting, want)
	}
	have, err := apply(ctx)
	if err != nil {
		t.Fatal(err)
	}
	wantOutcome := dispatch.Outcome{
		Verdict: dispatch.Again, After: time.Second, Reason: "r", ETag: "2", Document: json.RawMessage("{}"), Session: "s2", Seen: 2, Label: "l",
	}
	if !reflect.DeepEqual(have, wantOutcome) {
		t.Errorf("have %+v\nwant %+v", have, wantOutcome)
	}
	for from, to := range map[operations.Verdict]dispatch.Verdict{
		operations.Done: dispatch.Done, operations.LeftAlone: dispatch.LeftAlone, operations.Quarantine: dispatch.Quarantine,
	} {
		if have := outcome(operations.Step{Verdict: from}); have.Verdict != to {
			t.Errorf("%v became %v", from, have.Verdict)
		}
	}
	for from, to := range map[dispatch.Source]string{
		dispatch.Feed: operations.SourceFeed, dispatch.List: operations.SourceList, dispatch.Due: operations.SourceDue,
	} {
		if have := sighting(ctx, dispatch.Change{Source: from}); have.Source != to {
			t.Errorf("%v became %s", from, have.Source)
		}
	}
}

func TestAdaptErrors(t *testing.T) {
	plain := errors.New("plain")
	busy := fmt.Errorf("look: %w", &cs.UnavailableError{RetryAfter: time.Minute})
	asked := func(err error) time.Duration {
		if asking, ok := errors.AsType[interface {
			error
			RetryAfter() time.Duration
		}](err); ok {
			return asking.RetryAfter()
		}
		return 0
	}
	for err, want := range map[error]time.Duration{plain: 0, busy: time.Minute} {
		_, have := adapt(&stub{lookErr: err}).Handle(t.Context(), dispatch.Change{})
		if !errors.Is(have, err) || asked(have) != want {
			t.Errorf("look: have %v, asking for %v, want %v", have, asked(have), want)
		}
		apply, lookErr := adapt(&stub{stepErr: err}).Handle(t.Context(), dispatch.Change{})
		if lookErr != nil {
			t.Fatal(lookErr)
		}
		if _, have = apply(t.Context()); !errors.Is(have, err) || asked(have) != want {
			t.Errorf("step: have %v, asking for %v, want %v", have, asked(have), want)
		}
	}
}

func TestAdaptPending(t *testing.T) {
	written := time.Unix(1_700_000_000, 0)
	s := &stub{pending: []operations.Sighting{{Partition: "p", ID: "i", ETag: "1", Document: []byte("{}"), Written: written}, {ID: "j"}}}
	var have []dispatch.Change
	err := adapt(s).Pending(t.Context(), processor.PendingRequest{Session: "s", Documents: true}, func(c dispatch.Change) { have = append(have, c) })
	want := []dispatch.Change{
		{Key: dispatch.Key{Partition: "p", ID: "i"}, ETag: "1", Document: json.RawMessage("{}"), Session: "strue", Written: written, Source: dispatch.List},
		{Key: dispatch.Key{ID: "j"}, Session: "strue", Source: dispatch.List},
	}
	if err != nil || !reflect.DeepEqual(have, want) {
		t.Errorf("have %+v, %v\nwant %+v", have, err, want)
	}
}
