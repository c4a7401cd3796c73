package system_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// mutations are what is done to a document, by name.
var mutations = map[string]func(*mutator){
	"dropped":       func(m *mutator) { m.holder.members = slices.Delete(m.holder.members, m.i, m.i+1) },
	"retyped":       func(m *mutator) { m.set(m.retyped()) },
	"huge":          (*mutator).grow,
	"name cased":    func(m *mutator) { m.member().name = quoted(m.cased(m.name())) },
	"value cased":   func(m *mutator) { m.set(stringed(m.cased(m.text()))) },
	"doubled":       (*mutator).double,
	"odd text":      func(m *mutator) { m.set(literal(m.odd())) },
	"odd name":      func(m *mutator) { m.holder.members = append(m.holder.members, &member{m.odd(), stringed("odd")}) },
	"nested":        func(m *mutator) { m.set(nested(m.member().value, 1+m.rng.IntN(60))) },
	"out of range":  func(m *mutator) { m.set(literal(pick(m.rng, numbers))) },
	"empty":         func(m *mutator) { m.set(stringed("")) },
	"blanks":        func(m *mutator) { m.set(stringed(pick(m.rng, blanks) + m.text() + pick(m.rng, blanks))) },
	"swapped":       (*mutator).swap,
	"hostile id":    func(m *mutator) { m.root.put(literal(m.hostile()), "id") },
	"hostile key":   func(m *mutator) { m.root.put(literal(m.hostile()), "partitionKey") },
	"other status":  func(m *mutator) { m.root.put(stringed(pick(m.rng, statuses)), "properties", "status") },
	"other request": func(m *mutator) { m.root.put(stringed(pick(m.rng, requests)), "properties", "request") },
	"other object":  func(m *mutator) { m.root.put(stringed(pick(m.rng, objects)), "properties", "internalId") },
	"other shape":   (*mutator).reshape,
	"deleted":       func(m *mutator) { m.root.put(literal(pick(m.rng, deletions)), "deletionTimestamp") },
}

var (
	numbers = []string{
		"-1", "0", "-0", "0.1", "1e308", "1e-400", "123456789012345678901234567890", "9223372036854775806",
		"9223372036854775807", "9223372036854775808", "-9223372036854775808", "2147483648", "1E+2", "3.0",
	}
	blanks   = []string{"", " ", "\t", "\n", "\u00a0", "\u200b", "\u2028", "/"}
	statuses = []string{
		"Accepted", "Provisioning", "Updating", "Deleting", "Succeeded", "Failed", "Canceled", "succeeded", "FAILED",
		"AwaitingSecret", "Hibernating", "\u017fucceeded", "Cancelled",
	}
	requests = []string{"Create", "Update", "Delete", "RequestCredential", "RevokeCredentials", "dELETE", "Migrate", "Create\u0000"}
	objects  = []string{
		"", "/", "x", "/api/clusters_mgmt/v1/clusters/", "/api/clusters_mgmt/v1/clusters/..", "/api/aro_hcp/v1alpha1/clusters/a/../../b",
		"/api/aro_hcp/v1alpha1/clusters/a/node_pools/", "/api/aro_hcp/v1alpha1/clusters/a%2fb", "https://elsewhere.test/api/aro_hcp/v1alpha1/clusters/a",
		"/api/aro_hcp/v1alpha1/clusters/never-there", "/api/clusters_mgmt/v1/clusters/never-there/break_glass_credentials/b",
		"/api/aro_hcp/v1alpha1/clusters/a/break_glass_credentials/b", "/API/Clusters_Mgmt/V1/Clusters/Never-There-Either",
	}
	deletions = []string{"null", `""`, `"2026-01-02T03:04:05Z"`, "0", "false", "{}"}
	// What decisions rest on is hit more often than what nobody reads.
	known = []string{
		"id", "partitionKey", "resourceType", "resourceID", "ttl", "properties", "status", "request", "internalId", "operationId",
		"resourceId", "externalId", "startTime", "lastTransitionTime", "error", "activeOperationId", "provisioningState",
		"cosmosMetadata", "instanceVersion", "serviceProviderProperties", "deletionTimestamp", "notificationUri",
	}
)

// mutator changes one member of a document.
type mutator struct {
	rng    *rand.Rand
	root   *value
	holder *value
	i      int
}

// mutate changes a document in a few places, and says how.
func mutate(rng *rand.Rand, root *value) string {
	names := sortedNames(mutations)
	var done []string
	for range 1 + rng.IntN(3) {
		m := &mutator{rng: rng, root: root}
		if !m.aim() {
			break
		}
		name := pick(rng, names)
		if name == "huge" && rng.IntN(3) > 0 || name == "deleted" && rng.IntN(3) > 0 {
			name = "retyped" // the others say more
		}
		done = append(done, fmt.Sprintf("%s %.40s", name, m.name()))
		mutations[name](m)
	}
	return strings.Join(done, ", ")
}

// aim chooses a member.
func (m *mutator) aim() bool {
	type place struct {
		holder *value
		i      int
	}
	var all, better []place
	m.root.each(func(holder *value, i int) {
		all = append(all, place{holder, i})
		if slices.Contains(known, strings.Trim(holder.members[i].name, `"`)) {
			better = append(better, place{holder, i})
		}
	})
	if len(better) > 0 && m.rng.IntN(3) > 0 {
		all = better
	}
	if len(all) == 0 {
		return false
	}
	p := pick(m.rng, all)
	m.holder, m.i = p.holder, p.i
	return true
}

func (m *mutator) member() *member { return m.holder.members[m.i] }
func (m *mutator) set(v *value)    { m.member().value = v }
func (m *mutator) name() string    { return literal(m.member().name).text() }
func (m *mutator) text() string    { return m.member().value.text() }

func (m *mutator) retyped() *value {
	return pick(m.rng, []*value{
		literal("null"), literal("true"), literal("false"), literal("7"), literal("-2.5"), stringed("text"), object(),
		object(named("a", literal("1"))), list(), list(literal("1"), stringed("b"), literal("null")),
		list(m.member().value), object(named("value", m.member().value)), stringed(string(m.member().value.clone().append(nil))),
	})
}

// grow makes a text long, but no key: Cosmos DB takes none above 2 kB, and no
// lock's id, which a key becomes, above 1023 bytes.
func (m *mutator) grow() {
	if m.name() == "partitionKey" {
		m.set(stringed(strings.Repeat("é", 500)))
		return
	}
	size := 1000 + m.rng.IntN(20_000)
	if m.rng.IntN(12) == 0 {
		size = 100_000 + m.rng.IntN(900_000)
	}
	m.set(stringed(strings.Repeat(pick(m.rng, []string{"x", "é", "\u2713 ", `"`, "/a"}), size)[:size/8*8]))
}

// cased spells a text in another way that some compare as equal.
func (m *mutator) cased(s string) string {
	switch m.rng.IntN(4) {
	case 0:
		return strings.ToUpper(s)
	case 1:
		return strings.ToLower(s)
	case 2:
		return strings.NewReplacer("k", "\u212a", "s", "\u017f", "i", "\u0131").Replace(s)
	default:
		b := []byte(s)
		for i, c := range b {
			if 'a' <= c|0x20 && c|0x20 <= 'z' && m.rng.IntN(2) == 0 {
				b[i] = c ^ 0x20
			}
		}
		return string(b)
	}
}

// double adds a second member of the same name, before or after.
func (m *mutator) double() {
	other := &member{m.member().name, m.retyped().clone()}
	if m.rng.IntN(3) == 0 {
		other.value = stringed(m.cased(m.text()))
	}
	m.holder.members = slices.Insert(m.holder.members, m.i+m.rng.IntN(2), other)
}

// odd is a string as no encoder would write it, or no reader expect it.
func (m *mutator) odd() string {
	return pick(m.rng, []string{
		`"\ud800"`, `"\udc00x"`, `"\u0000"`, `"\u202eabc"`, `"é"`, `"😀"`, `"\ud83d\ude00"`, `"\uFFFD"`, `"\u2028"`,
		`"\/a\/b"`, `"\u0041ccepted"`, `"__proto__"`, `"~0~1/"`, `"$.a[0]"`, `"../.."`, `"%00"`, `"' OR 1=1 --"`, `"\"}]"`,
	})
}

func nested(v *value, depth int) *value {
	for i := range depth {
		if i%2 == 0 {
			v = list(v)
		} else {
			v = object(named("deep", v))
		}
	}
	return v
}

// swap exchanges the values of two members that lie in neither of them.
func (m *mutator) swap() {
	other := *m
	if other.aim() && m.member().value.shape == 'l' && other.member().value.shape == 'l' {
		a, b := m.member(), other.member()
		a.value, b.value = b.value, a.value
	}
}

// hostile is a string for an id or a key, of which Cosmos DB takes most.
func (m *mutator) hostile() string {
	own := fmt.Sprintf("h%x", m.rng.Uint64()) // an id is unique
	return pick(m.rng, []string{
		quoted(own + ` "},{"`), quoted(own + "'"), quoted(" " + own + " "), quoted(own + "\t\n"), quoted(own + "\x7f"), quoted(own + "é😀"),
		quoted(own + "%2F..%2F"), quoted(own + "a\\b"), quoted(own + "a/b"), quoted(own + "?x#y"), quoted(own + "\u2028\ufeff"),
		quoted(own + strings.Repeat("x", 900)), quoted("..." + own), quoted(own + "{}[]|"), `"` + own + `\ud800"`, quoted(own + "\ufffd"),
		quoted(strings.ToUpper(own)), quoted(own + "+&=;,"),
	})
}

// reshape puts what operations and resources have where another generation, or
// nobody, has it.
func (m *mutator) reshape() {
	v := pick(m.rng, []*value{
		stringed("Accepted"), stringed("Updating"), literal("null"), literal("5"), object(), list(), stringed(""),
	})
	path := pick(m.rng, [][]string{
		{"properties", "provisioningState"},
		{"properties", "properties"},
		{"properties", "properties", "provisioningState"},
		{"properties", "serviceProviderProperties"},
		{"properties", "serviceProviderProperties", "provisioningState"},
		{"properties", "serviceProviderProperties", "activeOperationId"},
		{"properties", "activeOperationId"},
		{"properties", "cosmosMetadata"},
		{"properties", "cosmosMetadata", "instanceVersion"},
		{"properties", "error"},
		{"properties", "customerProperties"},
		{"resourceID"},
	})
	m.root.put(v, path...)
}
