package cosmosemu

// tree is a JSON value that a patch takes apart only where it goes, and only
// once, however many operations go there. A large item that is nested deeply
// would otherwise be read and copied as often as its depth, for each operation,
// while nobody else has the partition.
type tree struct {
	text  []byte
	inner *branch // counts instead of the text, once it is there
}

// branch is what an object or an array holds.
type branch struct {
	array  bool
	names  []string // of an object's values
	values []tree
}

// open returns what the value holds; nil if it is a scalar.
func (t *tree) open() *branch {
	if t.inner != nil {
		return t.inner
	}
	if object, ok := splitObject(t.text); ok {
		t.inner = &branch{names: make([]string, len(object)), values: make([]tree, len(object))}
		for i, property := range object {
			t.inner.names[i], t.inner.values[i].text = property.name, property.value
		}
	} else if list, ok := splitArray(t.text); ok {
		t.inner = &branch{array: true, values: make([]tree, len(list))}
		for i, text := range list {
			t.inner.values[i].text = text
		}
	}
	return t.inner
}

// append puts the value together.
func (t *tree) append(to []byte) []byte {
	b := t.inner
	if b == nil {
		return append(to, t.text...)
	}
	first, last := byte('{'), byte('}')
	if b.array {
		first, last = '[', ']'
	}
	to = append(to, first)
	for i := range b.values {
		if i > 0 {
			to = append(to, ',')
		}
		if !b.array {
			to = append(appendString(to, b.names[i]), ':')
		}
		to = b.values[i].append(to)
	}
	return append(to, last)
}
