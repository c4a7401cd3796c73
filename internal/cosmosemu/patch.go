package cosmosemu

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"opfeed/internal/cosmosemu/sql"
)

// maxPatch is the service's limit for the operations of a patch.
const maxPatch = 10

// patch is a patch document, checked as far as possible without the item.
type patch struct {
	condition  *sql.Statement // nil: none
	operations []patchOperation
}

type patchOperation struct {
	op    string
	path  []string
	value []byte
}

// parsePatch reads {"condition", "operations"}, or the bare list of operations. For
// the condition it is now.
func parsePatch(d *definition, body []byte, now time.Time) (*patch, error) {
	if _, err := checkJSON(body); err != nil {
		return nil, refuse(http.StatusBadRequest, "%v", err)
	}
	p := &patch{}
	list, bare := splitArray(body)
	if !bare {
		object, ok := splitObject(body)
		if !ok {
			return nil, refuse(http.StatusBadRequest, "a patch must be a JSON object or array")
		}
		operations, _ := object.get("operations")
		if operations == nil {
			operations = []byte("[]")
		}
		if list, ok = splitArray(operations); !ok {
			return nil, refuse(http.StatusBadRequest, "the operations of a patch must be an array")
		}
		if err := p.parseCondition(object, now); err != nil {
			return nil, err
		}
	}
	if len(list) == 0 || len(list) > maxPatch {
		return nil, refuse(http.StatusBadRequest, "a patch has 1 to %d operations, not %d", maxPatch, len(list))
	}
	for _, text := range list {
		operation, err := parsePatchOperation(d, text)
		if err != nil {
			return nil, err
		}
		p.operations = append(p.operations, operation)
	}
	return p, nil
}

func (p *patch) parseCondition(object members, now time.Time) error {
	raw, ok := object.get("condition")
	if !ok || string(raw) == "null" {
		return nil
	}
	text, ok := stringValue(raw)
	if !ok {
		return refuse(http.StatusBadRequest, "the condition of a patch must be a string")
	}
	query, err := sql.ParseCondition(text)
	if err != nil {
		return refuse(http.StatusBadRequest, "the condition of the patch: %v", err)
	}
	p.condition, err = query.Bind(nil, now)
	return err
}

func parsePatchOperation(d *definition, text []byte) (patchOperation, error) {
	object, ok := splitObject(text)
	if !ok {
		return patchOperation{}, refuse(http.StatusBadRequest, "an operation of a patch must be an object")
	}
	opText, _ := object.get("op")
	op, _ := stringValue(opText)
	value, hasValue := object.get("value")
	switch op {
	case "add", "set", "replace", "incr":
		if !hasValue {
			// azcosmos leaves out a nil value: write json.RawMessage("null").
			return patchOperation{}, refuse(http.StatusBadRequest, "the patch operation %s needs a value", op)
		}
	case "remove":
	default:
		return patchOperation{}, refuse(http.StatusBadRequest, "the patch operation %.50q is not supported", op)
	}
	pathText, _ := object.get("path")
	path, _ := stringValue(pathText)
	names, ok := parsePointer(path)
	if !ok {
		return patchOperation{}, refuse(http.StatusBadRequest, "the patch path %.200q is malformed", path)
	}
	if d.fixed(names) {
		return patchOperation{}, refuse(http.StatusBadRequest, "the patch path %.200q cannot be changed", path)
	}
	if op == "incr" {
		if _, err := strconv.ParseFloat(string(value), 64); err != nil {
			return patchOperation{}, refuse(http.StatusBadRequest, "incr needs a number, not %.50s", value)
		}
	}
	return patchOperation{op, names, value}, nil
}

// parsePointer splits a JSON pointer into names.
func parsePointer(path string) ([]string, bool) {
	rest, ok := strings.CutPrefix(path, "/")
	if !ok || rest == "" {
		return nil, false
	}
	names := strings.Split(rest, "/")
	for i, name := range names {
		for at := strings.IndexByte(name, '~'); at >= 0; {
			if at+1 == len(name) || name[at+1] != '0' && name[at+1] != '1' {
				return nil, false
			}
			next := strings.IndexByte(name[at+1:], '~')
			if next < 0 {
				break
			}
			at += 1 + next
		}
		names[i] = strings.ReplaceAll(strings.ReplaceAll(name, "~1", "/"), "~0", "~")
	}
	return names, true
}

// fixed reports whether a path touches what no patch may change: the id, the
// partition key, and system properties.
func (d *definition) fixed(path []string) bool {
	if path[0] == "id" || slices.Contains(systemProperties, path[0]) {
		return true
	}
	return slices.ContainsFunc(d.paths, func(key []string) bool {
		n := min(len(key), len(path))
		return slices.Equal(key[:n], path[:n])
	})
}

// apply returns the item as the patch makes it.
func (p *patch) apply(d *definition, old *document, key partitionKey) (*item, error) {
	if p.condition != nil && !p.condition.Matches(old.value()) {
		return nil, refuse(http.StatusPreconditionFailed, "the condition of the patch is not met")
	}
	next := &tree{text: old.user}
	for _, o := range p.operations {
		if err := o.edit(next, o.path); err != nil {
			return nil, refuse(http.StatusBadRequest, "patch %s %.200q: %v", o.op, "/"+strings.Join(o.path, "/"), err)
		}
	}
	patched, err := d.parseItem(next.append(nil))
	if err != nil {
		return nil, err
	}
	if patched.id != old.slot.id || !patched.key.equal(key) {
		return nil, refuse(http.StatusBadRequest, "a patch cannot change the id or the partition key")
	}
	return patched, nil
}

// edit applies the operation to what is at path below a value.
func (o *patchOperation) edit(in *tree, path []string) error {
	b := in.open()
	switch {
	case b == nil:
		return refuse(http.StatusBadRequest, "there is no object or array that could hold %.200q", path[0])
	case b.array:
		return o.editArray(b, path)
	default:
		return o.editObject(b, path)
	}
}

func (o *patchOperation) editObject(b *branch, path []string) error {
	name := path[0]
	at := slices.Index(b.names, name)
	if at < 0 && (len(path) > 1 || o.op == "remove" || o.op == "replace") {
		return refuse(http.StatusBadRequest, "there is no %.200q", name)
	}
	switch {
	case len(path) > 1:
		return o.edit(&b.values[at], path[1:])
	case o.op == "remove":
		b.names = slices.Delete(b.names, at, at+1)
		b.values = slices.Delete(b.values, at, at+1)
		return nil
	case at < 0:
		at = len(b.names)
		b.names = append(b.names, name)
		b.values = append(b.values, tree{text: []byte("0")}) // what incr begins with
	}
	return o.put(&b.values[at])
}

func (o *patchOperation) editArray(b *branch, path []string) error {
	length := len(b.values)
	index, err := strconv.Atoi(path[0])
	appends := len(path) == 1 && (o.op == "add" || o.op == "set")
	if path[0] == "-" && appends {
		index, err = length, nil
	}
	if err != nil || index < 0 || path[0] != "-" && strconv.Itoa(index) != path[0] {
		return refuse(http.StatusBadRequest, "%.200q is no index of an array", path[0])
	}
	if index > length || index == length && !appends {
		return refuse(http.StatusBadRequest, "the array has %d elements", length)
	}
	switch {
	case len(path) > 1:
		return o.edit(&b.values[index], path[1:])
	case o.op == "remove":
		b.values = slices.Delete(b.values, index, index+1)
		return nil
	case o.op == "add", index == length:
		b.values = slices.Insert(b.values, index, tree{text: o.value})
		return nil
	default:
		return o.put(&b.values[index])
	}
}

// put changes a value that is there.
func (o *patchOperation) put(at *tree) error {
	if o.op != "incr" {
		*at = tree{text: o.value}
		return nil
	}
	sum, err := o.increased(at.append(nil))
	*at = tree{text: sum}
	return err
}

// increased is the number that follows the old one.
func (o *patchOperation) increased(old []byte) ([]byte, error) {
	if sum, ok := addWhole(old, o.value); ok {
		return sum, nil
	}
	a, err := strconv.ParseFloat(string(old), 64)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "%.50s is not a number", old)
	}
	b, _ := strconv.ParseFloat(string(o.value), 64)
	sum, err := json.Marshal(a + b)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "the sum is out of range")
	}
	return sum, nil
}

// addWhole adds whole numbers exactly where int64 can.
func addWhole(a, b []byte) ([]byte, bool) {
	x, err := strconv.ParseInt(string(a), 10, 64)
	if err != nil {
		return nil, false
	}
	y, err := strconv.ParseInt(string(b), 10, 64)
	sum := x + y
	if err != nil || (sum > x) != (y > 0) {
		return nil, false
	}
	return strconv.AppendInt(nil, sum, 10), true
}
