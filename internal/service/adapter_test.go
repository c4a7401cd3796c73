package service

import (
	"context"
	"fmt"
	"reflect"
	"sync/atomic"
	"testing"

	"opfeed/processor"
	"opfeed/processor/dispatch"
	"opfeed/processor/operations"
)

// stub is a handler of which one answer at a time is of interest.
type stub struct {
	route   operations.Route
	change  dispatch.Change
	pending []dispatch.Change
}

func (s *stub) Route([]byte) operations.Route { return s.route }

func (s *stub) Handle(_ context.Context, c dispatch.Change) (dispatch.Apply, error) {
	s.change = c
	return nil, nil
}

func (s *stub) Pending(_ context.Context, session string, documents bool, yield func(dispatch.Change)) error {
	for _, c := range s.pending {
		c.Session = fmt.Sprint(session, documents)
		yield(c)
	}
	return nil
}

func TestAdaptRoute(t *testing.T) {
	key := dispatch.Key{Partition: "p", ID: "i"}
	for from, to := range map[operations.Action]processor.Action{
		operations.Skip: processor.Skip, operations.Drop: processor.Drop,
		operations.Take: processor.Take, operations.Poison: processor.Poison,
	} {
		h := adapt(&stub{route: operations.Route{Action: from, Key: key, Reason: "r"}}, new(atomic.Int64))
		want := processor.Route{Action: to, Key: key, Reason: "r"}
		if have := h.Route(nil); have != want {
			t.Errorf("have %+v, want %+v", have, want)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("an unknown action passes")
		}
	}()
	adapt(&stub{route: operations.Route{Action: operations.Poison + 1}}, new(atomic.Int64)).Route(nil)
}

func TestAdaptHandle(t *testing.T) {
	s, want := &stub{}, dispatch.Change{Key: dispatch.Key{Partition: "p", ID: "i"}, ETag: "1", LSN: 7, Source: dispatch.Due}
	if _, err := adapt(s, new(atomic.Int64)).Handle(t.Context(), want); err != nil || !reflect.DeepEqual(s.change, want) {
		t.Errorf("have %+v, %v", s.change, err)
	}
}

func TestAdaptPending(t *testing.T) {
	s := &stub{pending: []dispatch.Change{{Key: dispatch.Key{ID: "i"}, ETag: "1"}, {Key: dispatch.Key{ID: "j"}}}}
	var have []dispatch.Change
	err := adapt(s, new(atomic.Int64)).Pending(t.Context(), processor.PendingRequest{Session: "s", Documents: true}, func(c dispatch.Change) { have = append(have, c) })
	want := []dispatch.Change{
		{Key: dispatch.Key{ID: "i"}, ETag: "1", Session: "strue"},
		{Key: dispatch.Key{ID: "j"}, Session: "strue"},
	}
	if err != nil || !reflect.DeepEqual(have, want) {
		t.Errorf("have %+v, %v\nwant %+v", have, err, want)
	}
}
