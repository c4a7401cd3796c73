package cosmosemu

import (
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"
)

// The service finds the few items that have a value by its index. Here every item
// of a logical partition is looked at, and to decode thousands of them for each
// query would take tens of milliseconds. So a document keeps a hash of each text
// that it has: what has none of those that a WHERE asks for need not be decoded.

// texts are the hashes of a document's texts. Its marks tell most of those that it
// does not have at one look: each hash marks one of 512 bits.
type texts struct {
	marks [8]uint64
	list  []uint32
}

func (t *texts) add(h uint32) {
	if !t.has(h) {
		t.marks[h>>6&7] |= 1 << (h & 63)
		t.list = append(t.list, h)
	}
}

func (t *texts) has(h uint32) bool {
	return t.marks[h>>6&7]&(1<<(h&63)) != 0 && slices.Contains(t.list, h)
}

// mentions reports whether the document may have one of the texts, by their hashes;
// without any every document may.
func (d *document) mentions(wanted []uint32) bool {
	if len(wanted) == 0 {
		return true
	}
	found := d.texts.Load()
	if found == nil {
		found = textsIn(d.user)
		d.texts.Store(found)
	}
	return slices.ContainsFunc(wanted, found.has)
}

// hashes is never nil.
func hashes(texts []string) []uint32 {
	list := make([]uint32, 0, len(texts))
	for _, text := range texts {
		list = append(list, hashText(text, func(uint32) {}))
	}
	return list
}

// textsIn finds the texts that are values in well-formed JSON.
func textsIn(text []byte) *texts {
	found := &texts{}
	for at := 0; at < len(text); at++ {
		if text[at] != '"' {
			continue
		}
		start, plain := at, true
		for at++; text[at] != '"'; at++ {
			if text[at] == '\\' {
				at++ // what follows does not end the text
				plain = false
			}
			plain = plain && text[at] < utf8.RuneSelf
		}
		if !isName(text[at+1:]) {
			found.add(hashText(unquoted(text[start:at+1], plain), found.add))
		}
	}
	found.list = slices.Clip(found.list)
	return found
}

// isName reports whether the text before was the name of a property.
func isName(rest []byte) bool {
	for _, c := range rest {
		switch c {
		case ' ', '\t', '\r', '\n':
		default:
			return c == ':'
		}
	}
	return false
}

// unquoted reads a text; a plain one has no escapes, and ASCII alone.
func unquoted(quoted []byte, plain bool) (text string) {
	if plain {
		return string(quoted[1 : len(quoted)-1])
	}
	_ = json.Unmarshal(quoted, &text) // it was checked when it was stored
	return text
}

// hashText is the same for texts that the query language takes for equal when it
// ignores case. It tells the hash of each beginning that ends with a slash. It is
// FNV-1a.
func hashText(text string, beginning func(uint32)) uint32 {
	const offset, prime = 2166136261, 16777619
	h := uint32(offset)
	for _, c := range []byte(strings.ToLower(text)) {
		h = (h ^ uint32(c)) * prime
		if c == '/' {
			beginning(h)
		}
	}
	return h
}
