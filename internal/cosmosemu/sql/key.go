package sql

import (
	"encoding/json"
	"errors"
)

// Key is what a document is ordered by: one value for each path of ORDER BY. As
// JSON each value is in a list of its own, which is empty for undefined.
type Key []any

// MarshalJSON writes the lists.
func (k Key) MarshalJSON() ([]byte, error) {
	lists := make([][]any, len(k))
	for i, value := range k {
		lists[i] = []any{}
		if !isUndefined(value) {
			lists[i] = []any{value}
		}
	}
	return json.Marshal(lists)
}

// UnmarshalJSON reads the lists.
func (k *Key) UnmarshalJSON(text []byte) error {
	var lists [][]any
	if err := json.Unmarshal(text, &lists); err != nil {
		return err
	}
	*k = make(Key, len(lists))
	for i, list := range lists {
		switch len(list) {
		case 0:
			(*k)[i] = Undefined{}
		case 1:
			(*k)[i] = list[0]
		default:
			return errors.New("a key has more than one value for a path")
		}
	}
	return nil
}

// Ordered reports whether there is an ORDER BY, and whether its first path is
// descending. What is equal in all paths is in the order of creation, from the
// last to the first if the first path is descending; for several paths that is
// not verified.
func (s *Statement) Ordered() (ordered, descending bool) {
	order := s.query.order
	return len(order) > 0, len(order) > 0 && order[0].descending
}

// Key is what the document is ordered by.
func (s *Statement) Key(document any) Key {
	key := make(Key, len(s.query.order))
	r := s.row(document)
	for i, item := range s.query.order {
		key[i] = item.of.eval(r)
	}
	return key
}

// Compare orders two keys as ORDER BY says. Paths that a key lacks are equal.
func (s *Statement) Compare(a, b Key) int {
	for i, item := range s.query.order[:min(len(a), len(b), len(s.query.order))] {
		c := Order(a[i], b[i])
		if item.descending {
			c = -c
		}
		if c != 0 {
			return c
		}
	}
	return 0
}
